//! Holds what was said against the known keys: unknown names, wrong kinds of value, unknown words.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::duration;
use super::fault::{Fault, Place, nearest};
use super::schema::{Key, Kind, ROOT, join, paths};
use super::tree::{Item, Tree};

/// Longest part of a value that a fault repeats, in characters.
const SHOWN: usize = 60;

/// What a check has found.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// Everything that is wrong.
    pub(super) faults: Vec<Fault>,
    /// Where each path was given.
    pub(super) places: BTreeMap<String, Place>,
}

impl Check {
    /// The part of a table that makes sense; `above` is the table's path.
    pub(super) fn table(&mut self, tree: Tree, keys: &'static [Key], above: &str) -> Value {
        let Item::Table(entries) = tree.item else {
            return Value::Null;
        };
        let mut seen = BTreeSet::new();
        let mut known = Map::new();
        for (name, value) in entries {
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                // Why escaped: a name may hold what would play tricks on a terminal.
                let path = join(above, &shorten(&name).escape_debug().to_string());
                self.faults.push(Fault::new(path, unknown(&name, keys, above)).at(&value.place));
                continue;
            };
            let path = join(above, key.name);
            if !seen.insert(key.name) {
                self.faults.push(Fault::new(path, "is given twice").at(&value.place));
            } else if let Some(value) = self.value(value, key.kind, &path) {
                known.insert(name, value);
            }
        }
        for key in keys.iter().filter(|key| key.required && !seen.contains(key.name)) {
            let text = format!("lacks `{}`", key.name);
            self.faults.push(Fault::new(above, text).at(&tree.place));
        }
        Value::Object(known)
    }

    /// A value, if it is of the right kind.
    pub(super) fn value(&mut self, tree: Tree, kind: Kind, path: &str) -> Option<Value> {
        self.places.insert(path.to_owned(), tree.place.clone());
        let wrong = |this: &mut Self, tree: &Tree| {
            let text = format!("{} {}", shown(tree, kind), remedy(&tree.item, kind, path));
            this.faults.push(Fault::new(path, text).at(&tree.place));
            None
        };
        match (kind, &tree.item) {
            (Kind::Bool, Item::Bool(value)) => Some(Value::from(*value)),
            (Kind::Integer, Item::Integer(number)) if *number >= 0 => Some(Value::from(*number)),
            (Kind::Port, Item::Integer(number)) if u16::try_from(*number).is_ok() => Some(Value::from(*number)),
            (Kind::Text | Kind::Secret, Item::Text(text)) => Some(Value::from(text.as_str())),
            (Kind::Duration, Item::Text(text)) if duration::parse(text).is_ok() => Some(Value::from(text.as_str())),
            (Kind::Choice(words), Item::Text(text)) if words.contains(&text.as_str()) => {
                Some(Value::from(text.as_str()))
            }
            (Kind::Section(_, keys), Item::Table(_)) => Some(self.table(tree, keys, path)),
            (Kind::Pairs, Item::Table(_)) => Some(self.pairs(tree, path)),
            (Kind::Texts, Item::List(_)) => self.list(tree, Kind::Text, path),
            (Kind::Choices(words), Item::List(_)) => self.list(tree, Kind::Choice(words), path),
            (Kind::Sections(name, keys), Item::List(_)) => {
                let above = format!("{path}[");
                self.places.retain(|path, _| !path.starts_with(&above));
                self.list(tree, Kind::Section(name, keys), path)
            }
            _ => wrong(self, &tree),
        }
    }

    /// A table of texts; its values may be secrets, so no fault repeats one.
    fn pairs(&mut self, tree: Tree, path: &str) -> Value {
        let Item::Table(entries) = tree.item else { return Value::Null };
        let mut known = Map::new();
        for (name, value) in entries {
            let key = join(path, &shorten(&name).escape_debug().to_string());
            match value.item {
                _ if known.contains_key(&name) => self.faults.push(Fault::new(key, "is given twice").at(&value.place)),
                Item::Text(text) => _ = known.insert(name, Value::from(text)),
                _ => self.faults.push(Fault::new(key, "the value is no text; write it in quotes").at(&value.place)),
            }
        }
        Value::Object(known)
    }

    /// The values of a list that are of the right kind.
    fn list(&mut self, tree: Tree, kind: Kind, path: &str) -> Option<Value> {
        let Item::List(values) = tree.item else {
            return None;
        };
        let mut known = Vec::new();
        for (index, value) in values.into_iter().enumerate() {
            known.extend(self.value(value, kind, &format!("{path}[{index}]")));
        }
        Some(Value::Array(known))
    }
}

/// What to say of a name nobody knows.
pub(super) fn unknown(name: &str, keys: &[Key], above: &str) -> String {
    if let Some(meant) = nearest(name, keys.iter().map(|key| key.name)) {
        return format!("is no known key; did you mean `{meant}`?");
    }
    let elsewhere =
        |(path, _): &(String, Kind)| path.rsplit('.').next() == Some(name) && !path.starts_with(&format!("{above}."));
    let mut found = paths().into_iter().filter(elsewhere);
    let mut section = ROOT.iter().filter(|key| key.name == name);
    match (found.next(), section.next()) {
        (Some((path, _)), _) => format!("is no known key here; did you mean `{path}`?"),
        (None, Some(key)) if !above.is_empty() => {
            format!("is no known key here; did you mean the section `{}` at the top?", key.name)
        }
        (None, _) => {
            let names: Vec<_> = keys.iter().map(|key| key.name).collect();
            format!("is no known key; known are {}", names.join(", "))
        }
    }
}

/// The value as a fault repeats it; never a secret.
fn shown(tree: &Tree, kind: Kind) -> String {
    if matches!(kind, Kind::Pairs | Kind::Secret) {
        return "the value".to_owned();
    }
    match &tree.item {
        Item::Bool(value) => value.to_string(),
        Item::Integer(number) => number.to_string(),
        Item::List(_) => "a list".to_owned(),
        Item::Other(text) => shorten(text),
        Item::Table(_) => "a table".to_owned(),
        Item::Text(text) => format!("{:?}", shorten(text)),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is wrong with a value and what would be right; continues the value.
fn remedy(item: &Item, kind: Kind, path: &str) -> String {
    match (kind, item) {
        (Kind::Bool, _) => "is no switch; write true or false".to_owned(),
        (Kind::Choice(words), Item::Text(text)) => unknown_word(text, words),
        (Kind::Choice(words), _) => format!("is no text; write {}", alternatives(words)),
        (Kind::Choices(words), _) => {
            format!("is no list; write words out of {} in brackets", alternatives(words))
        }
        (Kind::Duration, Item::Text(text)) => duration::parse(text).err().unwrap_or_default(),
        (Kind::Duration, Item::Integer(number)) if *number >= 0 => {
            format!("has no unit; write \"{number}s\" for seconds or \"{number}ms\" for milliseconds")
        }
        (Kind::Duration, _) => format!("is no duration; write {}", duration::EXAMPLES),
        (Kind::Integer, Item::Integer(_)) => "is less than 0; write 0 or more".to_owned(),
        (Kind::Integer, Item::Text(text)) if text.parse::<u32>().is_ok() => {
            format!("is a text; write {text} without quotes")
        }
        (Kind::Integer, _) => "is no number; write a whole number, 0 or more".to_owned(),
        (Kind::Pairs, _) => format!("is no table; write [{path}] above lines such as Name = \"value\""),
        (Kind::Port, _) => "is no port; write a number from 1 to 65535, or 0 for any free one".to_owned(),
        (Kind::Secret | Kind::Text, _) => "is no text; write it in quotes".to_owned(),
        (Kind::Section(..), _) if path.ends_with(']') => "is no table".to_owned(),
        (Kind::Section(..), _) => format!("is no section; write its keys below [{path}]"),
        (Kind::Sections(..), Item::Table(_)) => {
            format!("stands alone where a list is needed; write [[{path}]] in double brackets")
        }
        (Kind::Sections(..), _) => {
            format!("is no list of tables; write [[{path}]] above the keys of each")
        }
        (Kind::Texts, Item::Text(text)) => format!("is no list; write [{:?}]", shorten(text)),
        (Kind::Texts, _) => "is no list; write texts in brackets".to_owned(),
    }
}

fn unknown_word(word: &str, words: &[&str]) -> String {
    // Numbers that look alike mean different things.
    let is_word = word.contains(char::is_alphabetic);
    match nearest(word, words.iter().copied()).filter(|_| is_word) {
        Some(meant) => format!("is unknown; did you mean \"{meant}\"?"),
        None => format!("is unknown; write {}", alternatives(words)),
    }
}

/// `"a", "b" or "c"`.
fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} or {last}", before.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tree::{from_json, from_toml};

    /// The faults of a TOML text.
    fn faults(text: &str) -> Vec<String> {
        let mut check = Check::default();
        check.table(from_toml(&"j.toml".into(), text).unwrap(), ROOT, "");
        check.faults.iter().map(ToString::to_string).collect()
    }

    /// Each text has one fault, in its first line, that ends so.
    fn each_ends(cases: &[(&str, &str)]) {
        for (text, end) in cases {
            let found = faults(text);
            assert!(found.len() == 1 && found[0].ends_with(end), "{found:?}");
            assert!(found[0].starts_with("j.toml:1: "), "{found:?}");
        }
    }

    #[test]
    fn unknown_keys_are_told_with_what_was_meant() {
        let cases = [
            (
                "[client]\nping_intervall = \"9s\"",
                "j.toml:2: client.ping_intervall: is no known key; did you mean `ping_interval`?",
            ),
            ("[clients]", "j.toml:1: clients: is no known key; did you mean `client`?"),
            (
                "[client.token]\nhmac_secret = \"x\"",
                "j.toml:2: client.token.hmac_secret: is no known key; did you mean `hmac_secret_key`?",
            ),
            ("\nmax_length = 1", "j.toml:2: max_length: is no known key here; did you mean `channel.max_length`?"),
            (
                "[channel.shutdown]",
                "j.toml:1: channel.shutdown: is no known key here; did you mean the section `shutdown` at the top?",
            ),
            ("[health]\nxyz = 1", "j.toml:2: health.xyz: is no known key; known are enabled"),
            (
                "[[channel.namespaces]]\nname = \"a\"\nprecence = true",
                "j.toml:3: channel.namespaces[0].precence: is no known key; did you mean `presence`?",
            ),
        ];
        for (text, fault) in cases {
            assert_eq!(faults(text), [fault]);
        }
    }

    #[test]
    fn unknown_words_are_told_with_what_was_meant() {
        let cases = [
            ("[log]\nlevel = \"warning\"", "\"warning\" is unknown; did you mean \"warn\"?"),
            ("[log]\nformat = \"xml\"", "\"xml\" is unknown; write \"text\" or \"json\""),
            ("[app_link]\nevents = [\"conect\"]", "\"conect\" is unknown; did you mean \"connect\"?"),
            (
                "[app_link]\nevents = \"connect\"",
                "\"connect\" is no list; write words out of \"connect\", \"disconnect\", \"message\", \"occupied\", \
                 \"subscribe\", \"undelivered\", \"unsubscribe\" or \"vacated\" in brackets",
            ),
            ("[[tcp]]\nname = \"a\"\nport = 1\ndialect = \"ecco\"", "\"ecco\" is unknown; did you mean \"echo\"?"),
            ("[log]\nlevel = 1", "1 is no text; write \"trace\", \"debug\", \"info\", \"warn\", \"error\" or \"none\""),
            (
                "[app_link]\ndriver = \"kafka\"",
                "\"kafka\" is unknown; write \"none\", \"embedded\", \"redis\", \"rabbitmq\" or \"nats\"",
            ),
        ];
        for (text, end) in cases {
            let found = faults(text);
            assert!(found.len() == 1 && found[0].ends_with(end), "{found:?}");
        }
    }

    #[test]
    fn wrong_words_and_numbers_are_told_with_what_is_right() {
        each_ends(&[
            ("dev = \"yes\"", "dev: \"yes\" is no switch; write true or false"),
            ("workers = \"2\"", "workers: \"2\" is a text; write 2 without quotes"),
            ("workers = -2", "workers: -2 is less than 0; write 0 or more"),
            ("workers = 1.5", "workers: 1.5 is no number; write a whole number, 0 or more"),
            (
                "workers = 99999999999999999999",
                "workers: 99999999999999999999 is no number; write a whole number, 0 or more",
            ),
            (
                "http_server.port = 70000",
                "http_server.port: 70000 is no port; write a number from 1 to 65535, or 0 for any free one",
            ),
            (
                "http_server.port = -1",
                "http_server.port: -1 is no port; write a number from 1 to 65535, or 0 for any free one",
            ),
            ("node.name = 5", "node.name: 5 is no text; write it in quotes"),
            ("http_api.key = 12345", "http_api.key: the value is no text; write it in quotes"),
        ]);
    }

    #[test]
    fn wrong_durations_lists_and_tables_are_told_with_what_is_right() {
        each_ends(&[
            ("rpc.timeout = 5", "rpc.timeout: 5 has no unit; write \"5s\" for seconds or \"5ms\" for milliseconds"),
            (
                "rpc.timeout = \"5\"",
                "rpc.timeout: \"5\" has no unit; write a duration such as \"25s\", \"500ms\" or \"1h30m\"",
            ),
            (
                "rpc.timeout = true",
                "rpc.timeout: true is no duration; write a duration such as \"25s\", \"500ms\" or \"1h30m\"",
            ),
            (
                "rpc.timeout = 2020-01-01",
                "rpc.timeout: 2020-01-01 is no duration; write a duration such as \"25s\", \"500ms\" or \"1h30m\"",
            ),
            ("client.allowed_origins = \"*\"", "client.allowed_origins: \"*\" is no list; write [\"*\"]"),
            ("client.allowed_origins = [1]", "client.allowed_origins[0]: 1 is no text; write it in quotes"),
            ("client.allowed_origins = true", "client.allowed_origins: true is no list; write texts in brackets"),
            ("log = \"debug\"", "log: \"debug\" is no section; write its keys below [log]"),
            ("[raw]", "raw: a table stands alone where a list is needed; write [[raw]] in double brackets"),
            ("raw = \"/ws\"", "raw: \"/ws\" is no list of tables; write [[raw]] above the keys of each"),
            ("raw = [\"/ws\"]", "raw[0]: \"/ws\" is no table"),
            ("[[tcp]]\nport = 1", "tcp[0]: lacks `name`"),
        ]);
    }

    #[test]
    fn all_faults_are_told_and_long_values_cut() {
        let text = format!("a = 1\nb = 2\nnode.name = 1\ndev = \"{}\\u0007\"", "x".repeat(100));
        let found = faults(&text);
        assert_eq!(found.len(), 4);
        assert!(found.iter().any(|fault| fault.contains("xxx...\"") && fault.len() < 140));
    }

    #[test]
    fn repeated_json_keys_are_told() {
        let mut check = Check::default();
        let place = Place::File("j.json".into(), 0);
        let tree = from_json(&place, "{\"workers\": 1,\n\"workers\": 2}").unwrap();
        check.table(tree, ROOT, "");
        assert_eq!(check.faults[0].to_string(), "j.json:2: workers: is given twice");
    }
}
