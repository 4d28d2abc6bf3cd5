//! Every code of the model is said in a transcript, or proved elsewhere by a test that is named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::book::{self, Act, Chapter};

/// A code as the model declares it.
pub(super) struct Code {
    /// `errors`, `unsubscribes` or `closes`.
    pub(super) table: &'static str,
    pub(super) constant: String,
    pub(super) number: u64,
    pub(super) words: String,
    pub(super) temporary: bool,
    /// Its doc comment.
    pub(super) about: String,
}

/// A code that no transcript says.
struct Elsewhere {
    table: String,
    number: u64,
    /// A test that proves it: its file and its name.
    test: Option<(String, String)>,
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All codes, read from the source of the model: none can be forgotten.
pub(super) fn declared() -> Vec<Code> {
    let mut codes = Vec::new();
    for (file, types) in [
        ("code.rs", &[("ClientError", "errors"), ("Disconnect", "closes")][..]),
        ("client.rs", &[("Unsubscribed", "unsubscribes")]),
    ] {
        let text = fs::read_to_string(crates().join("model/src").join(file)).unwrap();
        for (name, table) in types {
            let body = text.split(&format!("\nimpl {name} {{\n")).nth(1).unwrap().split("\n}\n").next().unwrap();
            let before = codes.len();
            codes.extend(declared_in(body, table));
            let count = body.matches("pub const ").count() - body.matches("pub const fn ").count();
            assert_eq!(codes.len() - before, count, "a constant of {name} is not understood");
        }
    }
    assert!(codes.len() > 30, "the codes are elsewhere");
    codes
}

fn declared_in(body: &str, table: &'static str) -> Vec<Code> {
    let mut about = Vec::new();
    let mut codes = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/// ") {
            about.push(comment);
        } else if let Some((constant, value)) =
            line.strip_prefix("pub const ").and_then(|rest| rest.split_once(": Self = "))
        {
            let digits: String =
                value.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            codes.push(Code {
                table,
                constant: constant.to_owned(),
                number: digits.parse().unwrap(),
                words: value.split('"').nth(1).unwrap().to_owned(),
                temporary: value.starts_with("Self::temporary"),
                about: std::mem::take(&mut about).join(" "),
            });
        } else {
            about.clear();
        }
    }
    codes
}

/// The codes that a transcript says, by table.
pub(super) fn said(chapters: &[Chapter]) -> BTreeSet<(&'static str, u64)> {
    let mut said = BTreeSet::new();
    for transcript in chapters.iter().flat_map(|chapter| &chapter.transcripts) {
        for step in &transcript.steps {
            match &step.act {
                Act::Close(code, _) => drop(said.insert(("closes", (*code).into()))),
                Act::Out(line) => said.extend(told(line)),
                _ => {}
            }
        }
    }
    said
}

/// The code in a line of JSON, if there is one.
pub(super) fn told(line: &Value) -> Option<(&'static str, u64)> {
    let line: Value = serde_json::from_str(line.as_str().unwrap()).unwrap();
    let error = line["error"]["code"].as_u64().map(|code| ("errors", code));
    let out = line["push"]["unsubscribe"]["code"].as_u64().map(|code| ("unsubscribes", code));
    error.or(out)
}

fn elsewhere() -> Vec<Elsewhere> {
    let all = book::load("codes")["elsewhere"].clone();
    let read = |value: &Value| Elsewhere {
        table: value["table"].as_str().unwrap().to_owned(),
        number: value["code"].as_u64().unwrap(),
        test: value["test"]
            .as_array()
            .map(|test| (test[0].as_str().unwrap().to_owned(), test[1].as_str().unwrap().to_owned())),
    };
    all.as_array().unwrap().iter().map(read).collect()
}

/// What a client should do, and more that is to be said, by table and code.
pub(super) fn advice(table: &str, number: u64) -> String {
    let codes = book::load("codes");
    let advice = codes[table][number.to_string()].as_str();
    advice.unwrap_or_else(|| panic!("session-codes.json: {table} lacks {number}")).to_owned()
}

/// Whether code of the server outside of tests speaks of a constant.
fn is_used(constant: &str) -> bool {
    fn walk(folder: &Path, found: &mut dyn FnMut(&str) -> bool) -> bool {
        fs::read_dir(folder).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                return !path.ends_with("tests") && !path.ends_with("target") && walk(&path, found);
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            name.ends_with(".rs") && !name.starts_with("tests") && found(&fs::read_to_string(&path).unwrap())
        })
    }
    walk(&crates(), &mut |text| {
        let code = text.split("#[cfg(test)]").next().unwrap();
        ["ClientError", "Disconnect", "Unsubscribed"].iter().any(|name| code.contains(&format!("{name}::{constant}")))
    })
}

#[test]
fn every_code_is_said_or_proved_elsewhere() {
    let said = said(&book::chapters());
    let elsewhere = elsewhere();
    let declared = declared();
    for code in &declared {
        let Code { table, number, constant, .. } = code;
        let listed = elsewhere.iter().find(|one| one.table == *table && one.number == *number);
        assert!(!advice(table, *number).is_empty(), "{table}: {number}");
        match (said.contains(&(*table, *number)), listed) {
            (true, None) => {}
            (true, Some(_)) => panic!("{number} is said in a transcript; take it from the list"),
            (false, None) => panic!("{number} ({constant}) is in no transcript, and no test is named that proves it"),
            (false, Some(Elsewhere { test: Some((file, name)), .. })) => {
                let text = fs::read_to_string(crates().join("..").join(file)).unwrap_or_default();
                assert!(text.contains(&format!("fn {name}(")), "{number}: {file} has no test {name}");
            }
            (false, Some(Elsewhere { test: None, .. })) => {
                assert!(!is_used(constant), "{number} ({constant}) is used, but no test is named that proves it");
            }
        }
    }
    for one in &elsewhere {
        let is_declared = declared.iter().any(|code| code.table == one.table && code.number == one.number);
        assert!(is_declared, "{} {} is no code", one.table, one.number);
    }
    let codes = book::load("codes");
    for table in ["errors", "unsubscribes", "closes"] {
        for number in codes[table].as_object().unwrap().keys() {
            let is_declared = declared.iter().any(|code| code.table == table && code.number.to_string() == *number);
            assert!(is_declared, "session-codes.json tells of {number}, which is no code");
        }
    }
}
