//! What `fixtures/make.mjs` wrote.

use serde_json::Value;

/// The fixture at a path like `wire/step1`, as bytes.
pub(crate) fn bytes(path: &str) -> Vec<u8> {
    hex(&value(path))
}

/// All of a list.
pub(crate) fn list(path: &str) -> Vec<Vec<u8>> {
    value(path).as_array().unwrap().iter().map(hex).collect()
}

/// The fixture as it is.
pub(crate) fn value(path: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("../fixtures/yjs.json")).unwrap();
    all.pointer(&format!("/{path}")).unwrap_or_else(|| panic!("{path} is not in yjs.json, run make.mjs")).clone()
}

/// The names of the documents.
pub(crate) fn documents() -> Vec<String> {
    value("documents").as_object().unwrap().keys().cloned().collect()
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
