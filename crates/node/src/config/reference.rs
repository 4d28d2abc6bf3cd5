//! Writes docs/config.md: every key with its kind, its default and its meaning.
//!
//! Kinds come from the tree of known keys, defaults from the structs, meanings from the doc comments of their fields,
//! which are read out of the sources that were compiled. So nothing is said twice, and a test finds what is not said.

use serde_json::Value;

use super::schema::{Key, Kind, ROOT, join};
use super::{
    Certificate, Config, NamedProxy, Namespace, RawEndpoint, RpcNamespace, Sink, Source, StatusTransform, TcpField,
    TcpListener, TcpMark, TcpMessage,
};

/// What stands above the tables.
const HEAD: &str = include_str!("reference_head.md");

/// Where the structs are.
const SOURCES: &str = concat!(
    include_str!("mod.rs"),
    include_str!("app.rs"),
    include_str!("broker.rs"),
    include_str!("channel.rs"),
    include_str!("client.rs"),
    include_str!("connectors.rs"),
    include_str!("history.rs"),
    include_str!("layout.rs"),
    include_str!("listeners.rs"),
    include_str!("map.rs"),
    include_str!("namespace.rs"),
    include_str!("plain.rs"),
    include_str!("process.rs"),
    include_str!("proxy.rs"),
    include_str!("streams.rs"),
    include_str!("tls.rs"),
    include_str!("token.rs"),
);

/// The text of docs/config.md.
pub(crate) fn reference() -> String {
    let mut text = HEAD.to_owned();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let (sections, single): (Vec<&Key>, Vec<&Key>) =
        ROOT.iter().partition(|key| matches!(key.kind, Kind::Section(..) | Kind::Sections(..)));
    text.push_str("\n## At the top\n");
    text.push_str(TABLE);
    for key in single {
        row(&mut text, key, key.name, "Config", &defaults);
    }
    for key in sections {
        let default = defaults.get(key.name).cloned().unwrap_or_default();
        section(&mut text, key, key.name, "Config", &default);
    }
    text
}

/// The head of each table.
const TABLE: &str = "\n| key | takes | default | meaning |\n|---|---|---|---|\n";

/// A section with a heading of its own, then the lists of tables in it.
fn section(text: &mut String, key: &Key, path: &str, structure: &'static str, default: &Value) {
    let about = meaning(structure, key.name);
    let (heading, inner, keys, defaults) = match key.kind {
        Kind::Section(inner, keys) => (format!("[{path}]"), inner, keys, default.clone()),
        Kind::Sections(inner, keys) => (format!("[[{path}]]"), inner, keys, one(inner)),
        _ => return,
    };
    text.push_str(&format!("\n## `{heading}`\n\n{about}\n{TABLE}"));
    for list in rows(text, keys, "", inner, &defaults) {
        section(text, list.key, &join(path, &list.path), list.structure, &Value::Null);
    }
}

/// A list of tables within a section, which gets a heading of its own.
struct List<'a> {
    key: &'a Key,
    /// Its path within the section.
    path: String,
    /// The struct it is a field of.
    structure: &'static str,
}

/// The rows of a table, those of tables in it too; lists of tables are handed back.
fn rows<'a>(
    text: &mut String,
    keys: &'a [Key],
    above: &str,
    structure: &'static str,
    defaults: &Value,
) -> Vec<List<'a>> {
    let mut lists = Vec::new();
    for key in keys {
        let path = join(above, key.name);
        match key.kind {
            Kind::Section(inner, keys) => {
                let defaults = defaults.get(key.name).cloned().unwrap_or_default();
                lists.extend(rows(text, keys, &path, inner, &defaults));
            }
            Kind::Sections(..) => lists.push(List { key, path, structure }),
            _ => row(text, key, &path, structure, defaults),
        }
    }
    lists
}

fn row(text: &mut String, key: &Key, path: &str, structure: &str, defaults: &Value) {
    let default = match defaults.get(key.name) {
        _ if key.required => "must be given".to_owned(),
        Some(Value::Null) => "not given".to_owned(),
        Some(value) => format!("`{value}`"),
        None => String::new(),
    };
    let meaning = meaning(structure, key.name).replace('|', "\\|");
    text.push_str(&format!("| `{path}` | {} | {default} | {meaning} |\n", takes(key.kind)));
}

/// The defaults of one table in a list.
fn one(structure: &str) -> Value {
    let value = match structure {
        "Certificate" => serde_json::to_value(Certificate::default()),
        "Namespace" => serde_json::to_value(Namespace::default()),
        "NamedProxy" => serde_json::to_value(NamedProxy::default()),
        "RawEndpoint" => serde_json::to_value(RawEndpoint::default()),
        "RpcNamespace" => serde_json::to_value(RpcNamespace::default()),
        "Sink" => serde_json::to_value(Sink::default()),
        "Source" => serde_json::to_value(Source::default()),
        "TcpField" => serde_json::to_value(TcpField::default()),
        "TcpMark" => serde_json::to_value(TcpMark::default()),
        "TcpMessage" => serde_json::to_value(TcpMessage::default()),
        "StatusTransform" => serde_json::to_value(StatusTransform::default()),
        "TcpListener" => serde_json::to_value(TcpListener::default()),
        _ => Ok(Value::Null),
    };
    value.unwrap_or_default()
}

fn takes(kind: Kind) -> String {
    let words = |words: &[&str]| {
        let quoted: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
        quoted.join(", ")
    };
    match kind {
        Kind::Bool => "true, false".to_owned(),
        Kind::Choice(known) => words(known),
        Kind::Choices(known) => format!("list of {}", words(known)),
        Kind::Duration => "duration".to_owned(),
        Kind::Integer => "integer".to_owned(),
        Kind::Pairs => "table of texts, never shown".to_owned(),
        Kind::Port => "port".to_owned(),
        Kind::Secret => "text, never shown".to_owned(),
        Kind::Section(..) => "table".to_owned(),
        Kind::Sections(..) => "list of tables".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Texts => "list of texts".to_owned(),
    }
}

/// The doc comment of a field; fields of a flattened struct count as the outer one's.
fn meaning(structure: &str, field: &str) -> String {
    let head = format!("struct {structure} {{");
    let Some((_, body)) = SOURCES.split_once(&head) else {
        return String::new();
    };
    let mut words: Vec<&str> = Vec::new();
    let mut is_flat = false;
    for line in body.lines().map(str::trim).take_while(|line| *line != "}") {
        if let Some(comment) = line.strip_prefix("///") {
            words.push(comment.trim());
        } else if line == "#[serde(flatten)]" {
            is_flat = true;
        } else if let Some((name, kind)) = line.strip_prefix("pub(crate) ").and_then(|line| line.split_once(": ")) {
            if name == field {
                return words.join(" ");
            }
            let inner = if is_flat { meaning(kind.trim_end_matches(','), field) } else { String::new() };
            if !inner.is_empty() {
                return inner;
            }
            words.clear();
            is_flat = false;
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_reference_is_the_one_in_docs() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, reference()).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        let advice = "docs/config.md differs; run the tests with UPDATE_DOCS=1";
        assert!(written == reference(), "{advice}");
    }

    #[test]
    fn each_key_has_a_meaning() {
        for line in reference().lines() {
            assert!(!line.ends_with("|  |"), "{line}");
        }
        assert_eq!(meaning("Namespace", "presence"), "Keep a list of who is in the channel.");
        assert_eq!(meaning("TcpListener", "event"), meaning("RawEndpoint", "event"));
        assert_eq!(meaning("Health", "nothing"), "");
    }

    #[test]
    fn each_key_has_a_default_or_must_be_given() {
        for line in reference().lines().filter(|line| line.starts_with("| `")) {
            assert!(!line.contains("|  |"), "{line}");
        }
    }
}
