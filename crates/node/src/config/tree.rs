//! What a file, a variable or a flag says, before it is known whether it makes sense, and where it says so.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place};

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tree {
    /// Where it stands.
    pub(super) place: Place,
    /// What it says.
    pub(super) item: Item,
}

/// What a value says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A list.
    List(Vec<Tree>),
    /// What no key takes: a fraction, a date, a null.
    Other(String),
    /// A table; names may repeat in JSON.
    Table(Vec<(String, Tree)>),
    /// A text.
    Text(String),
}

/// Reads TOML.
pub(super) fn from_toml(path: &Arc<str>, text: &str) -> Result<Tree, Fault> {
    let source = Source { text, place: Place::File(Arc::clone(path), 1) };
    match DeTable::parse(text) {
        Ok(table) => Ok(source.toml_table(table.get_ref(), 0)),
        // Why not the error itself: it quotes the line, which may hold a secret.
        Err(error) => Err(Fault::new("", format!("is not TOML: {}", error.message()))
            .at(&source.place(error.span().map_or(0, |span| span.start)))),
    }
}

/// Reads JSON; a variable's or a flag's value stands all at one place.
pub(super) fn from_json(place: &Place, text: &str) -> Result<Tree, Fault> {
    let source = Source { text, place: place.clone() };
    // Why twice: the first reading refuses what is malformed or too deep, the second knows the places.
    let whole = serde_json::from_str::<serde_json::Value>(text).and_then(|_| serde_json::from_str::<&RawValue>(text));
    let read =
        whole.map_err(|error| (error.line(), error)).and_then(|raw| source.json(raw).map_err(|error| (1, error)));
    read.map_err(|(line, error)| {
        let place = match place {
            Place::File(path, _) => Place::File(Arc::clone(path), line),
            Place::Flag | Place::Variable(_) => place.clone(),
        };
        Fault::new("", format!("is not JSON: {error}")).at(&place)
    })
}

/// A text under reading.
struct Source<'a> {
    text: &'a str,
    place: Place,
}

impl Source<'_> {
    /// The place of a byte.
    fn place(&self, offset: usize) -> Place {
        match &self.place {
            Place::File(path, _) => {
                let before = &self.text.as_bytes()[..offset.min(self.text.len())];
                let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
                Place::File(Arc::clone(path), line)
            }
            place @ (Place::Flag | Place::Variable(_)) => place.clone(),
        }
    }

    fn toml_table(&self, table: &DeTable<'_>, offset: usize) -> Tree {
        let entry = |(name, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            (name.get_ref().to_string(), self.toml(value.get_ref(), name.span().start))
        };
        Tree { place: self.place(offset), item: Item::Table(table.iter().map(entry).collect()) }
    }

    fn toml(&self, value: &DeValue<'_>, offset: usize) -> Tree {
        let item = match value {
            DeValue::String(text) => Item::Text(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Item::Integer(number),
                Err(_) => Item::Other(number.to_string()),
            },
            DeValue::Float(number) => Item::Other(number.to_string()),
            DeValue::Boolean(value) => Item::Bool(*value),
            DeValue::Datetime(date) => Item::Other(date.to_string()),
            DeValue::Array(list) => {
                Item::List(list.iter().map(|value| self.toml(value.get_ref(), value.span().start)).collect())
            }
            DeValue::Table(table) => return self.toml_table(table, offset),
        };
        Tree { place: self.place(offset), item }
    }

    fn json(&self, raw: &RawValue) -> serde_json::Result<Tree> {
        let text = raw.get();
        // Raw values are slices of the text, so their addresses tell where they stand in it.
        let offset = (text.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let item = match text.as_bytes().first() {
            Some(b'{') => {
                let entries = serde_json::Deserializer::from_str(text).deserialize_map(Entries)?;
                let read = entries.into_iter().map(|(name, raw)| Ok((name, self.json(raw)?)));
                Item::Table(read.collect::<serde_json::Result<_>>()?)
            }
            Some(b'[') => {
                let list: Vec<&RawValue> = serde_json::from_str(text)?;
                let read = list.into_iter().map(|raw| self.json(raw));
                Item::List(read.collect::<serde_json::Result<_>>()?)
            }
            Some(b'"') => Item::Text(serde_json::from_str(text)?),
            Some(b't' | b'f') => Item::Bool(serde_json::from_str(text)?),
            _ => match text.parse() {
                Ok(number) => Item::Integer(number),
                Err(_) => Item::Other(text.to_owned()),
            },
        };
        Ok(Tree { place: self.place(offset), item })
    }
}

/// Collects an object's entries in their order, repeated names and all.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(tree: &Tree) -> Vec<(String, usize)> {
        let Item::Table(entries) = &tree.item else { panic!("a table") };
        let line = |tree: &Tree| match &tree.place {
            Place::File(_, line) => *line,
            Place::Flag | Place::Variable(_) => 0,
        };
        let mut found = Vec::new();
        for (name, value) in entries {
            found.push((name.clone(), line(value)));
            if let Item::Table(_) = &value.item {
                found.extend(lines(value));
            }
        }
        found
    }

    #[test]
    fn toml_knows_its_lines() {
        let tree = from_toml(&"a.toml".into(), "workers = 2\n\n[log]\nlevel = \"info\"\n").unwrap();
        let mut found = lines(&tree);
        found.sort();
        let expected = [("level", 4), ("log", 3), ("workers", 1)];
        assert_eq!(found, expected.map(|(name, line)| (name.to_owned(), line)));
    }

    #[test]
    fn json_knows_its_lines() {
        let place = Place::File("a.json".into(), 0);
        let text = "{\n  \"workers\": 2,\n  \"log\": {\n    \"level\": \"info\"\n  }\n}";
        let found = lines(&from_json(&place, text).unwrap());
        let expected = [("workers", 2), ("log", 3), ("level", 4)];
        assert_eq!(found, expected.map(|(name, line)| (name.to_owned(), line)));
    }

    #[test]
    fn values_are_told_apart() {
        let text = r#"{"a": true, "b": -5, "c": 1.5, "d": null, "e": "é\n", "f": [1]}"#;
        let Item::Table(entries) = from_json(&Place::Flag, text).unwrap().item else { panic!() };
        let items: Vec<_> = entries.into_iter().map(|(_, tree)| tree.item).collect();
        let list = vec![Tree { place: Place::Flag, item: Item::Integer(1) }];
        assert_eq!(
            items,
            [
                Item::Bool(true),
                Item::Integer(-5),
                Item::Other("1.5".to_owned()),
                Item::Other("null".to_owned()),
                Item::Text("é\n".to_owned()),
                Item::List(list),
            ]
        );
    }

    #[test]
    fn malformed_files_name_the_line_and_show_no_value() {
        let fault = from_toml(&"a.toml".into(), "[http_api]\nkey = \"hunter2\n").unwrap_err();
        assert_eq!(fault.place, Some(Place::File("a.toml".into(), 2)));
        assert!(fault.text.starts_with("is not TOML: "), "{fault}");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");

        let place = Place::File("a.json".into(), 0);
        let fault = from_json(&place, "{\n\"key\": \"hunter2\",\n}").unwrap_err();
        assert_eq!(fault.place, Some(Place::File("a.json".into(), 3)));
        assert!(fault.text.starts_with("is not JSON: "), "{fault}");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
    }

    #[test]
    fn repeated_toml_keys_are_faults_and_depth_is_bounded() {
        assert!(from_toml(&"a.toml".into(), "workers = 1\nworkers = 2\n").is_err());
        assert!(from_json(&Place::Flag, &"[".repeat(100_000)).is_err());
        assert!(from_json(&Place::Flag, &format!("{}{}", "[".repeat(999), "]".repeat(999))).is_err());
    }
}
