//! An object of a transcript that is emptied as it is read, so that no word in it is passed over.

use serde_json::{Map, Value};

/// What is still to be read.
pub(super) struct Bag {
    what: String,
    rest: Map<String, Value>,
}

impl Bag {
    /// `what` names it where something is wrong.
    pub(super) fn new(what: &str, value: &Value) -> Self {
        let rest = match value {
            Value::Null => Map::new(),
            Value::Object(map) => map.clone(),
            other => panic!("{what} must be an object, not {other}"),
        };
        Self { what: what.to_owned(), rest }
    }

    pub(super) fn value(&mut self, key: &str) -> Option<Value> {
        self.rest.remove(key)
    }

    pub(super) fn bag(&mut self, key: &str) -> Self {
        let value = self.value(key).unwrap_or_default();
        Self::new(&format!("{}.{key}", self.what), &value)
    }

    pub(super) fn pairs(&mut self, key: &str) -> Vec<(String, Value)> {
        std::mem::take(&mut self.bag(key).rest).into_iter().collect()
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let what = self.what.clone();
        self.value(key).map(|value| match value {
            Value::String(text) => text,
            other => panic!("{what}.{key} must be a text, not {other}"),
        })
    }

    pub(super) fn number(&mut self, key: &str) -> Option<u64> {
        let what = self.what.clone();
        self.value(key).map(|value| value.as_u64().unwrap_or_else(|| panic!("{what}.{key} must be a number: {value}")))
    }

    pub(super) fn size(&mut self, key: &str) -> Option<usize> {
        self.number(key).map(|number| usize::try_from(number).unwrap())
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        self.choice(key).unwrap_or_default()
    }

    pub(super) fn choice(&mut self, key: &str) -> Option<bool> {
        let what = self.what.clone();
        self.value(key).map(|value| value.as_bool().unwrap_or_else(|| panic!("{what}.{key} must be true or false")))
    }

    /// Milliseconds of a duration such as `60s`.
    pub(super) fn duration(&mut self, key: &str) -> Option<u64> {
        self.text(key).map(|text| duration(&text))
    }

    /// Nothing may be left.
    pub(super) fn end(self) {
        let left: Vec<&String> = self.rest.keys().collect();
        assert!(left.is_empty(), "{} has no {left:?} here", self.what);
    }
}

/// Milliseconds of `250ms`, `25s`, `5m` or `1h`.
pub(super) fn duration(text: &str) -> u64 {
    let at = text.find(char::is_alphabetic).unwrap_or(text.len());
    let number: u64 = text[..at].parse().unwrap_or_else(|_| panic!("{text:?} is no duration such as 25s"));
    number
        * match &text[at..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            other => panic!("{text:?} has the unit {other:?}, not ms, s, m or h"),
        }
}
