//! What a subscriber wants computed of publications instead of hearing them: so many figures of each window of time.

use std::collections::BTreeMap;

use jackfield_model::Millis;
use serde_json::Value;

use crate::tally::{Number, Tally};

/// Figures that one aggregate may have.
pub const MAX_FIGURES: usize = 16;
/// How long a window may be, in milliseconds.
pub const WINDOW: std::ops::RangeInclusive<Millis> = 100..=600_000;
/// Groups of a window; the rest is counted in the group "".
pub(crate) const MAX_GROUPS: usize = 100;

/// An aggregate that is in order. Equal ones have the same figures, so one reckoning serves all who have one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Aggregate {
    /// The length of a window; windows begin at its multiples since 1970.
    pub(crate) every: Millis,
    figures: Box<[(Box<str>, Figure)]>,
    by: Option<Path>,
    only: Box<[(Path, Box<str>)]>,
}

/// A place in a JSON object: names of keys, from the outside in.
type Path = Box<[Box<str>]>;

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Figure {
    what: What,
    of: Path,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum What {
    Average,
    Count,
    Last,
    Most,
    Least,
    /// The value that so many of a hundred do not exceed.
    Percentile(u8),
    Sum,
}

/// What is wrong with an aggregate. The texts fit after "bad request: ".
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AggregateError {
    /// The window.
    #[error("aggregate.every is {0}; milliseconds from 100 to 600000 are possible")]
    Every(Millis),
    /// None, or too many.
    #[error("aggregate.figures has {0} figures; 1 to {MAX_FIGURES} are possible")]
    Figures(usize),
    /// A name that says something else already.
    #[error(
        "aggregate.figures: {0:?} is no name of a figure; `from`, `to` and `groups` are taken, and it must not be empty"
    )]
    Name(String),
    /// An operation that there is not.
    #[error(
        "aggregate.figures: {0:?} is none; write count, or sum, avg, min, max, last or p1 to p99 with \":\" and a path, as \"p95:data.total\""
    )]
    What(String),
    /// Not a path.
    #[error("aggregate: {0:?} is no path; write the names of keys with dots between them")]
    Path(String),
}

impl Aggregate {
    /// Checks an aggregate and makes it ready for use. `figures`: name and what it is; `by`: the path of what groups;
    /// `only`: paths and the values that publications must have there.
    ///
    /// # Errors
    ///
    /// What is wrong with it; error 107 to the client that brought it.
    pub fn new(
        every: Millis,
        figures: &BTreeMap<String, String>,
        by: &str,
        only: &BTreeMap<String, String>,
    ) -> Result<Self, AggregateError> {
        if !WINDOW.contains(&every) {
            return Err(AggregateError::Every(every));
        }
        if !(1..=MAX_FIGURES).contains(&figures.len()) {
            return Err(AggregateError::Figures(figures.len()));
        }
        let named = |(name, what): (&String, &String)| {
            if ["", "from", "to", "groups"].contains(&name.as_str()) {
                return Err(AggregateError::Name(name.clone()));
            }
            Ok((Box::from(name.as_str()), Figure::parse(what)?))
        };
        Ok(Self {
            every,
            figures: figures.iter().map(named).collect::<Result<_, _>>()?,
            by: (!by.is_empty()).then(|| path(by)).transpose()?,
            only: only.iter().map(|(at, is)| Ok((path(at)?, is.as_str().into()))).collect::<Result<_, _>>()?,
        })
    }

    /// Takes a publication into the figures of its group; `false` if it is none of those that count.
    pub(crate) fn take(&self, json: &Value, groups: &mut BTreeMap<Box<str>, Vec<Tally>>) -> bool {
        if !self.only.iter().all(|(at, is)| find(json, at).is_some_and(|value| text(value).as_deref() == Some(&**is))) {
            return false;
        }
        let group = self.by.as_ref().and_then(|by| find(json, by)).and_then(text).unwrap_or_default();
        let is_known = groups.contains_key(&*group);
        let group = if is_known || groups.len() < MAX_GROUPS { group.into_owned() } else { String::new() };
        let tallies = groups.entry(group.into()).or_insert_with(|| vec![Tally::default(); self.figures.len()]);
        for ((_, figure), tally) in self.figures.iter().zip(tallies) {
            if figure.what == What::Count {
                tally.count();
            } else if let Some(number) = find(json, &figure.of).and_then(Number::of) {
                tally.add(number, matches!(figure.what, What::Percentile(_)));
            }
        }
        true
    }

    /// What the subscriber is told of a window: `{"from":..,"to":..,"NAME":..}`, or with groups
    /// `{"from":..,"to":..,"groups":{"GROUP":{"NAME":..}}}`.
    pub(crate) fn tell(&self, from: Millis, groups: &mut BTreeMap<Box<str>, Vec<Tally>>) -> String {
        let mut out = format!("{{\"from\":{from},\"to\":{}", from + self.every);
        if self.by.is_some() {
            out.push_str(",\"groups\":{");
            for (nth, (group, tallies)) in groups.iter_mut().enumerate() {
                let comma = if nth > 0 { "," } else { "" };
                out.push_str(&format!("{comma}{}:{{", Value::from(&**group)));
                self.figures(tallies, &mut out);
                out.push('}');
            }
            out.push('}');
        } else {
            out.push(',');
            let mut none = vec![Tally::default(); self.figures.len()];
            let tallies = groups.values_mut().next().unwrap_or(&mut none);
            self.figures(tallies, &mut out);
        }
        out.push('}');
        out
    }

    fn figures(&self, tallies: &mut [Tally], out: &mut String) {
        for (nth, ((name, figure), tally)) in self.figures.iter().zip(tallies).enumerate() {
            let comma = if nth > 0 { "," } else { "" };
            let value = match figure.what {
                What::Average => tally.average(),
                What::Count => Some(tally.counted().to_string()),
                What::Last => tally.last(),
                What::Least => tally.least(),
                What::Most => tally.most(),
                What::Percentile(of) => tally.percentile(of),
                What::Sum => Some(tally.sum()),
            };
            out.push_str(&format!("{comma}{}:{}", Value::from(&**name), value.as_deref().unwrap_or("null")));
        }
    }
}

impl Figure {
    fn parse(text: &str) -> Result<Self, AggregateError> {
        let wrong = || AggregateError::What(text.to_owned());
        let Some((what, of)) = text.split_once(':') else {
            return if text == "count" { Ok(Self { what: What::Count, of: Path::default() }) } else { Err(wrong()) };
        };
        let what = match what {
            "avg" => What::Average,
            "last" => What::Last,
            "max" => What::Most,
            "min" => What::Least,
            "sum" => What::Sum,
            other => {
                let of_hundred = other.strip_prefix('p').and_then(|of| of.parse().ok());
                What::Percentile(of_hundred.filter(|of| (1..=99).contains(of)).ok_or_else(wrong)?)
            }
        };
        Ok(Self { what, of: path(of)? })
    }
}

fn path(text: &str) -> Result<Path, AggregateError> {
    let names: Path = text.split('.').map(Box::from).collect();
    if names.iter().any(|name| name.is_empty()) || names.len() > 16 {
        return Err(AggregateError::Path(text.to_owned()));
    }
    Ok(names)
}

fn find<'j>(json: &'j Value, path: &[Box<str>]) -> Option<&'j Value> {
    path.iter().try_fold(json, |at, name| at.get(&**name))
}

/// What a value is called: texts as they are, the rest as JSON has it.
fn text(value: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string().into()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn new(figures: &[(&str, &str)], by: &str, only: &[(&str, &str)]) -> Result<Aggregate, AggregateError> {
        Aggregate::new(1000, &pairs(figures), by, &pairs(only))
    }

    fn told(aggregate: &Aggregate, all: &[Value]) -> Value {
        let mut groups = BTreeMap::new();
        for one in all {
            aggregate.take(one, &mut groups);
        }
        serde_json::from_str(&aggregate.tell(5000, &mut groups)).unwrap()
    }

    #[test]
    fn figures_of_a_window() {
        let of = |what: &str| format!("{what}:d.total");
        let figures = [
            ("n", "count"),
            ("sum", &of("sum")),
            ("avg", &of("avg")),
            ("min", &of("min")),
            ("max", &of("max")),
            ("last", &of("last")),
            ("median", &of("p50")),
            ("p95", &of("p95")),
        ];
        let aggregate = new(&figures, "", &[]).unwrap();
        let orders: Vec<_> = [0.1, 0.2, 10.0, -3.0].iter().map(|total| json!({"d": {"total": total}})).collect();
        let expected = json!({"from": 5000, "to": 6000, "n": 4, "sum": 7.3, "avg": 1.825, "min": -3, "max": 10, "last": -3,
            "median": 0.1, "p95": 10});
        assert_eq!(told(&aggregate, &orders), expected);
        let empty = json!({"from": 5000, "to": 6000, "n": 0, "sum": 0, "avg": null, "min": null, "max": null, "last": null,
            "median": null, "p95": null});
        assert_eq!(told(&aggregate, &[]), empty);
        // What has no number there counts, and adds nothing; a number may be a text, as decimals of databases are.
        let odd = [json!({"d": {"total": "12.30"}}), json!({"d": {"total": null}}), json!({"d": 1}), json!([1])];
        let told = told(&aggregate, &odd);
        assert_eq!((&told["n"], &told["sum"]), (&json!(4), &json!(12.3)));
    }

    #[test]
    fn groups_and_conditions() {
        let aggregate = new(&[("n", "count")], "state", &[("event", "paid"), ("ok", "true")]).unwrap();
        let one = |event: &str, state: Value| json!({"event": event, "ok": true, "state": state});
        let all = [
            one("paid", json!("a\"b")),
            one("paid", json!(7)),
            one("paid", json!(7)),
            one("paid", json!(null)),
            one("sent", json!(7)),
            json!({"event": "paid", "state": 7, "ok": false}),
        ];
        let expected = json!({"from": 5000, "to": 6000, "groups": {"": {"n": 1}, "7": {"n": 2}, "a\"b": {"n": 1}}});
        assert_eq!(told(&aggregate, &all), expected);
        let many: Vec<_> = (0..300).map(|n| one("paid", json!(n))).collect();
        let groups = told(&aggregate, &many)["groups"].as_object().unwrap().clone();
        assert!(groups.len() <= MAX_GROUPS + 1 && groups[""]["n"] == 200, "{groups:?}");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (figures, by, words) in [
            (&[][..], "", "has 0 figures"),
            (&[("from", "count")][..], "", "\"from\" is no name"),
            (&[("n", "sum")][..], "", "\"sum\" is none; write count"),
            (&[("n", "p100:a")][..], "", "\"p100:a\" is none"),
            (&[("n", "median:a")][..], "", "is none"),
            (&[("n", "sum:a..b")][..], "", "\"a..b\" is no path"),
            (&[("n", "count")][..], ".", "\".\" is no path"),
        ] {
            let error = new(figures, by, &[]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let counts = pairs(&[("n", "count")]);
        for every in [0, 99, 600_001] {
            assert_eq!(Aggregate::new(every, &counts, "", &pairs(&[])), Err(AggregateError::Every(every)));
        }
    }
}
