//! Members of JSON objects that stand in the names of channels and keys, found in one walk through the text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::template::Blank;

/// What is looked for: `{field:NAME}`, where dots lead into objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    paths: Vec<String>,
    tree: Vec<Member>,
}

#[derive(Clone, Debug)]
struct Member {
    name: String,
    /// Where its text goes, if it is one that is looked for itself.
    slot: Option<usize>,
    below: Vec<Self>,
}

/// What a text has of them.
#[derive(Debug)]
pub(crate) struct Found<'m, 't> {
    members: &'m Members,
    values: Vec<Option<Cow<'t, str>>>,
}

impl Members {
    /// Those that blanks ask for; `None` where none does.
    pub(crate) fn of<'b>(blanks: impl Iterator<Item = &'b Blank>) -> Option<Self> {
        let mut members = Self::default();
        for blank in blanks {
            if let Blank::Field(path) = blank
                && !members.paths.contains(path)
            {
                place(&mut members.tree, path, members.paths.len());
                members.paths.push(path.clone());
            }
        }
        (!members.paths.is_empty()).then_some(members)
    }

    /// Finds them; the error says why the bytes can have none.
    pub(crate) fn find<'t>(&self, body: &'t [u8]) -> Result<Found<'_, 't>, String> {
        let no_object = || format!("the body is no JSON object, which {} is looked for in", self.first());
        let text = std::str::from_utf8(body).map_err(|_| no_object())?;
        let mut values = vec![None; self.paths.len()];
        walk(text, &self.tree, &mut values).map_err(|_| no_object())?;
        Ok(Found { members: self, values })
    }

    fn first(&self) -> Blank {
        Blank::Field(self.paths.first().cloned().unwrap_or_default())
    }
}

impl Found<'_, '_> {
    /// The text of a member: of a string what it says, of a number or a bool what is written.
    pub(crate) fn value(&self, path: &str) -> Option<&str> {
        let slot = self.members.paths.iter().position(|known| known == path)?;
        self.values.get(slot)?.as_deref()
    }
}

/// Gives a path its place in the tree.
fn place(tree: &mut Vec<Member>, path: &str, slot: usize) {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let at = tree.iter().position(|member| member.name == name).unwrap_or_else(|| {
        tree.push(Member { name: name.to_owned(), slot: None, below: Vec::new() });
        tree.len() - 1
    });
    match rest {
        Some(rest) => place(&mut tree[at].below, rest, slot),
        None => tree[at].slot = Some(slot),
    }
}

fn walk<'t>(text: &'t str, members: &[Member], values: &mut [Option<Cow<'t, str>>]) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Object { members, values }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Takes what a member has; of several with one name the last counts, as in every browser.
fn take<'t>(text: &'t str, member: &Member, values: &mut [Option<Cow<'t, str>>]) -> Result<(), serde_json::Error> {
    clear(member, values);
    match (text.as_bytes().first(), member.slot) {
        (Some(b'{'), _) if !member.below.is_empty() => walk(text, &member.below, values),
        (Some(b'{' | b'[' | b'n'), _) | (_, None) => Ok(()),
        (_, Some(slot)) => {
            values[slot] = Some(match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                Some(inner) if inner.contains('\\') => Cow::Owned(serde_json::from_str(text)?),
                Some(inner) => Cow::Borrowed(inner),
                None => Cow::Borrowed(text),
            });
            Ok(())
        }
    }
}

fn clear(member: &Member, values: &mut [Option<Cow<'_, str>>]) {
    if let Some(slot) = member.slot {
        values[slot] = None;
    }
    member.below.iter().for_each(|below| clear(below, values));
}

/// One object.
struct Object<'m, 'v, 't> {
    members: &'m [Member],
    values: &'v mut [Option<Cow<'t, str>>],
}

impl<'t> DeserializeSeed<'t> for Object<'_, '_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'t> Visitor<'t> for Object<'_, '_, 't> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'t>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(known) = map.next_key_seed(Name(self.members))? {
            match known {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(member) => {
                    let value: &'t RawValue = map.next_value()?;
                    take(value.get(), member, self.values).map_err(M::Error::custom)?;
                }
            }
        }
        Ok(())
    }
}

/// The name of a member: which of those that are looked for it is.
struct Name<'m>(&'m [Member]);

impl<'m, 't> DeserializeSeed<'t> for Name<'m> {
    type Value = Option<&'m Member>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'m> Visitor<'_> for Name<'m> {
    type Value = Option<&'m Member>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|member| member.name == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    fn members(template: &str) -> Members {
        Members::of(Template::parse(template).unwrap().blanks()).unwrap()
    }

    fn values(template: &str, body: &str, paths: &[&str]) -> Vec<Option<String>> {
        let members = members(template);
        let found = members.find(body.as_bytes()).unwrap();
        paths.iter().map(|path| found.value(path).map(str::to_owned)).collect()
    }

    #[test]
    fn nothing_is_looked_for_without_a_blank_for_it() {
        assert!(Members::of(Template::parse("ticks:{subject}").unwrap().blanks()).is_none());
    }

    #[test]
    fn strings_numbers_and_bools_have_a_text() {
        let body = r#" {"skip": {"s": [1, "}"]}, "s": "EUR", "n": -1.50, "b": true, "esc": "\u00e4\"", "e": ""} "#;
        let found = values("{field:s}{field:n}{field:b}{field:esc}{field:e}", body, &["s", "n", "b", "esc", "e"]);
        assert_eq!(found, ["EUR", "-1.50", "true", "ä\"", ""].map(|text| Some(text.to_owned())));
    }

    #[test]
    fn what_has_no_text_is_not_there() {
        for body in [r#"{"a": null}"#, r#"{"a": [1]}"#, r#"{"a": {"x": 1}}"#, r#"{"A": 1}"#, "{}"] {
            assert_eq!(values("{field:a}", body, &["a"]), [None], "{body}");
        }
    }

    #[test]
    fn dots_lead_into_objects() {
        let all = "{field:a}{field:a.b}{field:a.c.d}{field:z}";
        let paths = ["a", "a.b", "a.c.d", "z"];
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            values(all, r#"{"a":{"c":{"d":1},"b":"x"},"z":2}"#, &paths),
            [None, some("x"), some("1"), some("2")]
        );
        assert_eq!(values(all, r#"{"a":"x","z":{"a":1}}"#, &paths), [some("x"), None, None, None]);
        assert_eq!(values(all, r#"{"a":{"b":1},"a":{}}"#, &paths), [None, None, None, None], "the last counts");
    }

    #[test]
    fn a_name_may_be_written_with_escapes() {
        assert_eq!(values("{field:a}", r#"{"\u0061": 1}"#, &["a"]), [Some("1".to_owned())]);
    }

    #[test]
    fn what_is_no_object_is_told() {
        let members = members("{field:market}");
        for body in [&b"[1]"[..], b"1", b"", b"{", b"{\"market\":1} 2", b"{\"market\":}", b"{\"a\":\"\xff\"}", b"hello"]
        {
            let text = members.find(body).unwrap_err();
            assert_eq!(text, "the body is no JSON object, which {field:market} is looked for in");
        }
    }
}
