//! `docs/api.md`: written from the tables that the parser reads by, with an example of each method that
//! `tests/protocol/test_api_docs.py` runs.

use std::fs;
use std::path::Path;

use jackfield_bridge::command::{Kind, METHODS, Method, Shape, Table, Told};

/// Method, payload and answer; in an order in which each finds what it needs.
const EXAMPLES: [(&str, &str, &str); 25] = [
    ("publish", r#"{"channel":"room:1","data":{"text":"hi"}}"#, r#"{"offset":1,"epoch":"pQzN"}"#),
    (
        "broadcast",
        r#"{"channels":["room:1","room:2"],"data":{"text":"hi"},"idempotency_key":"news-7"}"#,
        r#"{"responses":[{"result":{"offset":2,"epoch":"pQzN"}},{"result":{"offset":1,"epoch":"b7Fd"}}]}"#,
    ),
    ("subscribe", r#"{"user":"42","channel":"room:2","info":{"role":"guest"}}"#, r#"{"connections":1}"#),
    ("unsubscribe", r#"{"user":"42","channel":"room:2"}"#, r#"{"connections":1}"#),
    ("disconnect", r#"{"user":"43","code":4501,"reason":"signed out"}"#, r#"{"connections":1}"#),
    ("refresh", r#"{"user":"42","expire_at":1900000000}"#, r#"{"connections":1}"#),
    (
        "presence",
        r#"{"channel":"room:1"}"#,
        r#"{"presence":{"6b7f3a52-64c3-4f1e-9a51-7f6c8f6c3b51":{"user":"42","client":"6b7f3a52-64c3-4f1e-9a51-7f6c8f6c3b51"}}}"#,
    ),
    ("presence_stats", r#"{"channel":"room:1"}"#, r#"{"num_clients":1,"num_users":1}"#),
    (
        "history",
        r#"{"channel":"room:1","limit":1,"reverse":true}"#,
        r#"{"publications":[{"offset":2,"data":{"text":"hi"},"time":1700000000000}],"epoch":"pQzN","offset":2}"#,
    ),
    ("history_remove", r#"{"channel":"room:1"}"#, "{}"),
    ("channels", r#"{"pattern":"room:*"}"#, r#"{"channels":{"room:1":{"num_clients":1}}}"#),
    (
        "info",
        "{}",
        r#"{"nodes":[{"uid":"n1-0193","name":"n1","version":"0.1.0","num_clients":1,"num_users":1,"num_subs":1,"num_channels":2,"uptime":60}]}"#,
    ),
    (
        "map_publish",
        r#"{"channel":"scores:1","key":"ann","data":{"points":7},"score":7}"#,
        r#"{"offset":1,"epoch":"k2Rt"}"#,
    ),
    ("map_remove", r#"{"channel":"scores:1","key":"ann"}"#, r#"{"offset":2,"epoch":"k2Rt"}"#),
    ("map_read_state", r#"{"channel":"scores:1","limit":50}"#, r#"{"entries":[],"epoch":"k2Rt","offset":2}"#),
    (
        "map_read_stream",
        r#"{"channel":"scores:1","limit":1}"#,
        r#"{"entries":[{"offset":1,"key":"ann","data":{"points":7},"score":7,"time":1700000000000}],"epoch":"k2Rt","offset":2}"#,
    ),
    ("map_stats", r#"{"channel":"scores:1"}"#, r#"{"num_keys":0}"#),
    ("map_clear", r#"{"channel":"scores:1"}"#, "{}"),
    ("send", r#"{"user":"42","data":{"unread":3}}"#, r#"{"connections":1}"#),
    ("call", r#"{"user":"42","method":"where","data":{"exact":true},"timeout":2000}"#, r#"{"data":{"x":1}}"#),
    ("block_user", r#"{"user":"44","expire_at":1900000000}"#, r#"{"connections":1}"#),
    ("unblock_user", r#"{"user":"44"}"#, "{}"),
    ("revoke_token", r#"{"uid":"7f6c8f6c3b51","expire_at":1900000000}"#, "{}"),
    ("invalidate_user_tokens", r#"{"user":"45","issued_before":1700000000}"#, r#"{"connections":0}"#),
    (
        "connections",
        r#"{"user":"42"}"#,
        r#"{"connections":{"9b0e2d8c-1f47-4e0e-9c62-8a5a3f1d7b20":{"user":"42","transport":"websocket","protocol":"centrifugo-json","listener":"/connection/websocket","remote":"192.0.2.7:50214","state":{"channels":{"room:1":{}}}}}}"#,
    ),
];

const BATCH: &str = r#"## batch

Several commands in one request, at most 1,000. `commands` is a list of objects, each with one method as its only key; `replies` are in
their order, each with the result below the name of the method, or with `error`. Commands are done in their order; with `"parallel":true` each may begin
before the one before is done. One that fails does not stop the others.

```sh
curl -s http://127.0.0.1:8401/api/batch -H "X-API-Key: $JACKFIELD_API_KEY" \
  -d '{"commands":[{"publish":{"channel":"room:1","data":1}},{"publish":{"channel":"nowhere:1","data":1}}]}'
```

```json
{"replies":[{"publish":{"offset":3,"epoch":"pQzN"}},{"error":{"code":102,"message":"unknown channel"}}]}
```

## Lines

`POST /api` itself takes commands the way of the first versions of this interface: `{"method":"..","params":{...}}`, one after the other; each has its line
in the answer. An `id` comes back with its reply.

```sh
curl -s http://127.0.0.1:8401/api -H "X-API-Key: $JACKFIELD_API_KEY" \
  -d '{"id":1,"method":"presence_stats","params":{"channel":"room:1"}}'
```

```json
{"id":1,"result":{"num_clients":1,"num_users":1}}
```
"#;

fn document() -> String {
    let mut text = include_str!("docs_head.md").to_owned();
    for method in METHODS {
        let example = EXAMPLES.iter().find(|(name, ..)| *name == method.name);
        let (_, payload, answer) = example.unwrap_or_else(|| panic!("`{}` has no example", method.name));
        text.push_str(&section(method, payload, answer));
    }
    text + BATCH
}

fn section(method: &Method, payload: &str, answer: &str) -> String {
    let (name, about) = (method.name, method.about);
    let mut text = format!("## {name}\n\n{about}\n\n");
    if !method.takes.is_empty() {
        text.push_str("| field | takes | meaning |\n|---|---|---|\n");
        takes(&mut text, method.takes, "");
        text.push('\n');
    }
    if method.tells.is_empty() {
        text.push_str("The result is empty.");
    } else {
        text.push_str("| result | is | meaning |\n|---|---|---|\n");
        tells(&mut text, method.tells, "");
        text.push('\n');
    }
    let codes: Vec<String> = method.errors.iter().map(u32::to_string).collect();
    let between = if method.tells.is_empty() { " " } else { "" };
    text.push_str(&format!("{between}Errors: {}.\n\n", codes.join(", ")));
    text.push_str(&format!(
        "```sh\ncurl -s http://127.0.0.1:8401/api/{name} -H \"X-API-Key: $JACKFIELD_API_KEY\" \\\n  -d '{payload}'\n```\n\n"
    ));
    text.push_str(&format!("```json\n{{\"result\":{answer}}}\n```\n\n"));
    text
}

fn takes(text: &mut String, table: Table, before: &str) {
    for field in table.iter().copied().flatten() {
        let needed = if field.required { ", needed" } else { "" };
        text.push_str(&format!("| `{before}{}` | {}{needed} | {} |\n", field.name, kind(field.kind), field.about));
        if let Kind::Object(inner) = field.kind {
            takes(text, inner, &format!("{before}{}.", field.name));
        }
    }
}

fn tells(text: &mut String, table: &[Told], before: &str) {
    for told in table {
        let (is, inner): (String, &[Told]) = match told.shape {
            Shape::List(inner) => ("list of objects".to_owned(), inner),
            Shape::Named(inner) => ("object of objects".to_owned(), inner),
            Shape::Object(inner) => ("object".to_owned(), inner),
            Shape::Plain(plain) => (kind(plain), &[]),
        };
        let maybe = if told.always { "" } else { ", perhaps" };
        text.push_str(&format!("| `{before}{}` | {is}{maybe} | {} |\n", told.name, told.about));
        let inside = match told.shape {
            Shape::List(_) => "[].",
            Shape::Named(_) => ".*.",
            Shape::Object(_) | Shape::Plain(_) => ".",
        };
        tells(text, inner, &format!("{before}{}{inside}", told.name));
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Any => "any value".to_owned(),
        Kind::Base64 => "base64".to_owned(),
        Kind::Bool => "true, false".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Kind::Count => "integer from 0".to_owned(),
        Kind::Integer => "integer".to_owned(),
        Kind::Object(_) => "object".to_owned(),
        Kind::Tags => "object of texts".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Texts => "list of texts".to_owned(),
        Kind::Uuid => "UUID".to_owned(),
        Kind::Uuids => "list of UUIDs".to_owned(),
    }
}

#[test]
fn docs_tell_each_method_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, document()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == document(), "docs/api.md is not up to date: UPDATE_DOCS=1 cargo test -p jackfield-api docs");
}

#[test]
fn docs_have_examples_that_the_parser_takes() {
    for (method, payload, _) in EXAMPLES {
        let read = jackfield_bridge::command::parse(method, payload.as_bytes());
        assert!(read.is_ok(), "{method}: {read:?}");
    }
}
