//! Every example of the specification, every refusal, and that the tables tell the truth.

use std::collections::BTreeSet;

use jackfield_model::app::{Command, KeyMode, PublishMore, Target};
use jackfield_model::client::Unsubscribed;
use jackfield_model::{ClientError, Content, Disconnect, Payload, Position, Uuid};
use serde_json::{Value, json};

use super::field::Table;
use super::*;

#[derive(Deserialize)]
struct Example {
    name: String,
    method: String,
    payload: Value,
    partition_key: String,
    partition: u32,
    ok: bool,
}

fn examples() -> Vec<Example> {
    serde_json::from_str(include_str!("../../../../spec/examples/commands.json")).unwrap()
}

#[test]
fn the_examples_of_the_specification() {
    for example in examples() {
        let read = parse(&example.method, example.payload.to_string().as_bytes());
        assert_eq!(read.is_ok(), example.ok, "{}: {read:?}", example.name);
        let partition = crc32fast::hash(example.partition_key.as_bytes()) % 8;
        assert_eq!(partition, example.partition, "{}", example.name);
    }
}

/// The names of all fields of a table, those of objects inside as `outer.inner`.
fn names(table: Table, into: &mut BTreeSet<String>, before: &str) {
    for field in table.iter().copied().flatten() {
        into.insert(format!("{before}{}", field.name));
        if let Kind::Object(inner) = field.kind {
            names(inner, into, &format!("{before}{}.", field.name));
        }
    }
}

fn given(value: &Value, into: &mut BTreeSet<String>, before: &str, table: Table) {
    let Value::Object(object) = value else { return };
    for (name, value) in object {
        into.insert(format!("{before}{name}"));
        let field = table.iter().copied().flatten().find(|field| field.name == name);
        if let Some(Kind::Object(inner)) = field.map(|field| field.kind) {
            given(value, into, &format!("{before}{name}."), inner);
        }
    }
}

/// With the assertion in `parse` that nothing read is left over: each documented field is used for something.
#[test]
fn each_field_of_each_method_is_in_an_example_that_is_taken() {
    let examples = examples();
    for method in METHODS {
        let (mut documented, mut exemplified) = (BTreeSet::new(), BTreeSet::new());
        names(method.takes, &mut documented, "");
        for example in examples.iter().filter(|example| example.ok && example.method == method.name) {
            given(&example.payload, &mut exemplified, "", method.takes);
        }
        assert_eq!(documented, exemplified, "the examples of `{}`", method.name);
        assert!(examples.iter().any(|example| example.ok && example.method == method.name), "{}", method.name);
    }
}

#[test]
fn tables_name_each_field_once() {
    for method in METHODS {
        let count = method.takes.iter().copied().flatten().count();
        let names: BTreeSet<&str> = method.takes.iter().copied().flatten().map(|field| field.name).collect();
        assert_eq!(names.len(), count, "{}", method.name);
        assert!(NOT_BUILT.iter().all(|(name, _)| *name != method.name));
        assert_eq!(METHODS.iter().filter(|other| other.name == method.name).count(), 1);
    }
}

fn reason(method: &str, payload: &str) -> String {
    parse(method, payload.as_bytes()).unwrap_err().to_string()
}

#[test]
fn refusals_name_the_remedy() {
    let refused = [
        ("publsh", "{}", "\"publsh\" is unknown; it is one of publish, broadcast"),
        ("", "{}", "the method is missing; it is one of publish"),
        ("rpc", "{}", "`rpc` is not available: it is not built; methods of the application are called"),
        ("publish", r#"{"chanel":"a","data":1}"#, "unknown field `chanel`, expected one of `channel`, `data`"),
        ("publish", r#"{"data":1}"#, "missing field `channel`"),
        ("publish", r#"{"channel":null,"data":1}"#, "missing field `channel`"),
        ("publish", r#"["a",1]"#, "a JSON object is needed"),
        ("publish", "", "it is empty"),
        ("publish", r#"{"channel":"a\nb","data":1}"#, "control character"),
        ("publish", r#"{"channel":"a","text":7}"#, "`text`: invalid type: integer `7`, expected a string"),
        ("publish", r#"{"channel":"a","text":null}"#, "one of `data`, `b64data` and `text` is needed"),
        ("publish", r#"{"channel":"a","b64data":"%"}"#, "`b64data`: it is no standard base64"),
        ("publish", r#"{"channel":"a","data":1,"text":"b"}"#, "only one of `data`, `b64data` and `text`"),
        ("publish", r#"{"channel":"a","b64data":"AA==","text":"b"}"#, "only one of `data`, `b64data` and `text`"),
        ("publish", r#"{"channel":"a","channel":"b","data":1}"#, "duplicate field"),
        ("publish", r#"{"channel":"a","data":1,"version":-1}"#, "`version`: invalid value: integer `-1`"),
        (
            "publish",
            r#"{"channel":"a","data":1,"tags":{"a":1}}"#,
            "`tags`: invalid type: integer `1`, expected a string",
        ),
        ("broadcast", r#"{"channels":[],"data":1}"#, "at least one channel"),
        ("broadcast", r#"{"channels":["a",""],"data":1}"#, "a channel is empty"),
        ("subscribe", r#"{"channel":"a","user":""}"#, "one of `user`, `client` and `session` is needed"),
        ("subscribe", r#"{"channel":"a","user":"1","b64info":"e30K","info":{}}"#, "only one of `info` and `b64info`"),
        ("subscribe", r#"{"channel":"a","user":"1","b64info":"eA=="}"#, "`b64info` holds no JSON"),
        ("subscribe", r#"{"channel":"a","user":"1","data":1,"b64data":"eA=="}"#, "only one of `data` and `b64data`"),
        (
            "subscribe",
            r#"{"channel":"a","user":"1","override":{"presence":true}}"#,
            "`override`: `presence`: invalid type",
        ),
        (
            "subscribe",
            r#"{"channel":"a","user":"1","recover_since":{"offset":1}}"#,
            "`offset` and `epoch` are given together",
        ),
        ("unsubscribe", r#"{"channel":"a","user":"1","code":3000}"#, "from 2000 to 2999"),
        ("disconnect", r#"{"client":"me"}"#, "`client`: it is \"me\"; the UUID of a connection"),
        ("disconnect", r#"{"user":"1","code":5000}"#, "from 3000 to 4999"),
        ("disconnect", r#"{"user":"1","code":3001,"disconnect":{"code":3001}}"#, "not both forms"),
        ("history", r#"{"channel":"a","since":[1,"e"]}"#, "`since`: invalid type: sequence, expected a JSON object"),
        ("history", r#"{"channel":"a","since":{}}"#, "`since` needs `offset` and `epoch`, or `time`"),
        ("history", r#"{"channel":"a","since":{"offset":1,"epoch":"e","time":1}}"#, "`time` and nothing else"),
        ("history", r#"{"channel":"a","limit":-2}"#, "-1 for all"),
        ("info", r#"{"a":1}"#, "unknown field `a`, there are no fields"),
        ("map_publish", r#"{"channel":"a","key":"","data":1}"#, "`key` is empty"),
        (
            "map_publish",
            r#"{"channel":"a","key":"k","data":1,"key_mode":"never"}"#,
            "one of replace, if_new, if_exists",
        ),
        ("block_user", r#"{"user":""}"#, "`user` is empty"),
        ("revoke_token", r#"{"uid":""}"#, "`uid` is empty"),
    ];
    for (method, payload, words) in refused {
        let reason = reason(method, payload);
        assert!(reason.contains(words), "{method} {payload}: {reason}");
    }
    let long = json!({"channel": "a", "data": 1, "idempotency_key": "k".repeat(1025)}).to_string();
    assert!(reason("publish", &long).contains("has 1025 bytes; it may have 1024"));
}

/// A door that tells bytes that are no JSON from JSON that is wrong needs to know which it is.
#[test]
fn what_is_no_json_is_told_from_what_is_wrong() {
    let is_no_json =
        |payload: &[u8]| matches!(parse("publish", payload), Err(CommandError::NoJson { method: "publish", .. }));
    for payload in ["", " ", "x", "{", r#"{"channel":"#, r#"{"channel":"a","data":1} x"#, r#"{"chanel":1,"data":}"#] {
        assert!(is_no_json(payload.as_bytes()), "{payload}");
    }
    assert!(is_no_json(b"{\"channel\":\"\xff\"}"));
    for payload in ["[]", "1", "null", r#"{"channel":1,"data":1}"#, r#"{"chanel":1}"#] {
        assert!(!is_no_json(payload.as_bytes()), "{payload}");
    }
    let code = |method| ClientError::from(&parse(method, b"{}").unwrap_err()).code;
    assert_eq!([code("publish"), code("publsh"), code(""), code("shared_poll_publish")], [107, 104, 107, 108]);
}

fn command(method: &str, payload: &Value) -> Command {
    parse(method, payload.to_string().as_bytes()).unwrap()
}

fn published(payload: &str) -> jackfield_model::app::Publish {
    match parse("publish", payload.as_bytes()) {
        Ok(Command::Publish(publish)) => publish,
        other => panic!("{other:?}"),
    }
}

#[test]
fn data_stays_as_it_was_written() {
    assert_eq!(
        published(r#"{"channel":"a","data": {"b": 1.0,  "a":2} }"#).data,
        Payload::json(r#"{"b": 1.0,  "a":2}"#)
    );
    assert_eq!(published(r#"{"channel":"a","data":null}"#).data, Payload::json("null"));
    let binary = published(r#"{"channel":"a","b64data":"AAEC"}"#).data;
    assert_eq!((binary.content, &binary.bytes[..]), (Content::Binary, &[0, 1, 2][..]));
    assert_eq!(published(r#"{"channel":"a","b64data":""}"#).data, Payload::binary(""));
}

/// Libraries of typed languages write every field they know.
#[test]
fn empty_and_null_forms_beside_the_one_that_is_meant_do_no_harm() {
    assert_eq!(published(r#"{"channel":"a","data":1,"b64data":"","text":null}"#).data, Payload::json("1"));
    assert_eq!(published(r#"{"channel":"a","data":null,"b64data":"AAEC"}"#).data, Payload::binary(vec![0, 1, 2]));
    assert_eq!(published(r#"{"channel":"a","data":null,"b64data":"","text":"x"}"#).data, Payload::text("x"));
    let plain = published(
        r#"{"channel":"a","data":1,"tags":null,"skip_history":null,"idempotency_key":"","version":0,"delta":false}"#,
    );
    assert_eq!((plain.tags, plain.skip_history, plain.more), (None, false, None));
    let everybody =
        json!({"user": "1", "client": "", "session": null, "whitelist": null, "disconnect": {"code": 0, "reason": ""}});
    let Command::Disconnect(ejection) = command("disconnect", &everybody) else { panic!() };
    assert_eq!((ejection.target.client, ejection.target.session, ejection.disconnect), (None, None, Disconnect::FORCE));
}

#[test]
fn what_few_publications_have() {
    let payload = json!({
        "channel": "a", "key": "k", "data": 1, "idempotency_key": "i", "delta": true, "version": 3,
        "version_epoch": "e", "score": -2, "stream_data": [1], "key_mode": "if_new",
    });
    let Command::MapPublish(publish) = command("map_publish", &payload) else { panic!() };
    let more = PublishMore {
        idempotency_key: "i".to_owned(),
        delta: true,
        version: 3,
        version_epoch: "e".to_owned(),
        key: "k".to_owned(),
        score: -2,
        stream_data: Some(Payload::json("[1]")),
        key_mode: KeyMode::IfNew,
    };
    assert_eq!(publish.more.as_deref(), Some(&more));
    let Command::MapRemove(remove) = command("map_remove", &json!({"channel": "a", "key": "k"})) else { panic!() };
    assert_eq!(remove.more.unwrap().key, "k");
}

#[test]
fn ends_and_their_words() {
    let Command::Disconnect(ejection) = command("disconnect", &json!({"user": "1"})) else { panic!() };
    assert_eq!(ejection.disconnect, Disconnect::FORCE);
    let nested = json!({"client": Uuid::from_u128(1), "disconnect": {"code": 4001, "reason": "kicked"}});
    let Command::Disconnect(ejection) = command("disconnect", &nested) else { panic!() };
    assert_eq!(ejection.disconnect, Disconnect { code: 4001, reason: "kicked".into() });
    let out = |payload| match command("unsubscribe", &payload) {
        Command::Unsubscribe(unsubscribe) => unsubscribe.unsubscribed,
        other => panic!("{other:?}"),
    };
    assert_eq!(out(json!({"channel": "a", "user": "1"})), Unsubscribed::SERVER);
    let told = Unsubscribed { code: 2501, reason: "again".into() };
    assert_eq!(out(json!({"channel": "a", "user": "1", "code": 2501, "reason": "again"})), told);
}

#[test]
fn history_begins_after_a_position_or_at_a_time() {
    let query = |since: Value| match command("history", &json!({"channel": "a", "since": since})) {
        Command::History(query) => (query.since, query.from),
        other => panic!("{other:?}"),
    };
    assert_eq!(query(Value::Null), (None, None));
    assert_eq!(query(json!({"time": 5})), (None, Some(5)));
    let position = Position { offset: 1, epoch: "e".into() };
    assert_eq!(query(json!({"offset": 1, "epoch": "e"})), (Some(position), None));
}

#[test]
fn a_moment_that_is_not_given_is_never_or_now() {
    let Command::BlockUser(block) = command("block_user", &json!({"user": "1", "expire_at": 0})) else { panic!() };
    assert_eq!(block.expire_at, None);
    let before = crate::bridge::millis();
    let Command::InvalidateUserTokens(void) = command("invalidate_user_tokens", &json!({"user": "1"})) else {
        panic!()
    };
    assert!(void.issued_before >= before && !void.renew);
    let moment = |more| match command("invalidate_user_tokens", &more) {
        Command::InvalidateUserTokens(void) => (void.issued_before, void.renew),
        other => panic!("{other:?}"),
    };
    assert_eq!(moment(json!({"user": "1", "issued_before": 17})), (17_000, false));
    assert_eq!(moment(json!({"user": "1", "issued_before_ms": 17_001, "renew": true})), (17_001, true));
}

#[test]
fn connections_of_somebody_or_all() {
    let target = |payload| match command("connections", &payload) {
        Command::Connections(target) => target,
        other => panic!("{other:?}"),
    };
    assert_eq!(target(json!({})), Target::default());
    assert_eq!(target(json!({"user": "ann", "expression": ""})).user.as_deref(), Some("ann"));
    assert!(parse("connections", br#"{"expression":"user == 1"}"#).unwrap_err().to_string().contains("expression"));
}
