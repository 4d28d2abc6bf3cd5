//! Answers of the specification's examples, and answers that make no sense.

use jackfield_model::app::{ConnectAnswer, PublishAnswer, PublishMore, RefreshAnswer};
use jackfield_model::subscription::Overrides;
use jackfield_model::{Grant, Payload};

use super::*;

#[derive(Deserialize)]
struct Example {
    name: String,
    kind: String,
    answer: serde_json::Value,
    ok: bool,
}

const KINDS: [EventKind; 6] = [
    EventKind::Connect,
    EventKind::Publish,
    EventKind::Refresh,
    EventKind::Rpc,
    EventKind::SubRefresh,
    EventKind::Subscribe,
];

#[test]
fn examples() {
    let examples: Vec<Example> = serde_json::from_str(include_str!("../../../../spec/examples/answers.json")).unwrap();
    for kind in KINDS {
        assert!(examples.iter().any(|example| example.ok && example.kind == kind.name()), "{}", kind.name());
    }
    for example in examples {
        let kind = KINDS.into_iter().find(|kind| kind.name() == example.kind).unwrap();
        let said = parse(example.answer.to_string().as_bytes()).map_err(|error| error.reason);
        let read = said.and_then(|said| said.verdict.read(kind));
        assert_eq!(read.is_ok(), example.ok, "{}: {read:?}", example.name);
    }
}

fn result(json: &str, kind: EventKind) -> Result<Answer, String> {
    Verdict::Result(Bytes::copy_from_slice(json.as_bytes())).read(kind).map(|read| read.answer)
}

fn refusal(json: &str, kind: EventKind) -> String {
    result(json, kind).unwrap_err()
}

#[test]
fn results_by_kind() {
    assert_eq!(result("{}", EventKind::Rpc), Ok(Answer::Rpc(Payload::json("null"))));
    assert_eq!(result(r#"{"data":[1, 2]}"#, EventKind::Rpc), Ok(Answer::Rpc(Payload::json("[1, 2]"))));
    assert_eq!(result(r#"{"b64data":"AAE="}"#, EventKind::Rpc), Ok(Answer::Rpc(Payload::binary(vec![0, 1]))));
    assert_eq!(result("{}", EventKind::Connect), Ok(Answer::Connect(ConnectAnswer::default())));
    assert_eq!(result("{}", EventKind::Subscribe), Ok(Answer::Subscribe(Grant::default())));
    assert_eq!(result("{}", EventKind::Publish), Ok(Answer::Publish(Box::default())));
    for kind in [EventKind::Refresh, EventKind::SubRefresh] {
        assert_eq!(result("{}", kind), Ok(Answer::Refresh(RefreshAnswer::default())));
    }
}

#[test]
fn a_connect_names_channels_and_what_they_grant() {
    let json = r#"{"user":"1","b64info":"eyJhIjoxfQ==","b64data":"AA==","expire_at":0,"channels":["b","a"],
        "subs":{"a":{"data":{"x":1},"expire_at":9,"override":{"presence":{"value":false}}},"c":{}},"token_id":"s"}"#;
    let a = Grant {
        data: Some(Payload::json(r#"{"x":1}"#)),
        expire_at: Some(9),
        overrides: Overrides { presence: Some(false), ..Overrides::default() },
        ..Grant::default()
    };
    let expected = ConnectAnswer {
        user: "1".into(),
        info: Some(Bytes::from_static(b"{\"a\":1}")),
        data: Some(Payload::binary(vec![0])),
        meta: None,
        expire_at: None,
        subs: vec![("a".into(), a), ("b".into(), Grant::default()), ("c".into(), Grant::default())],
        token_id: Some("s".into()),
    };
    assert_eq!(result(json, EventKind::Connect), Ok(Answer::Connect(expected)));
}

#[test]
fn a_publish_may_be_changed_in_all_that_a_publication_has() {
    let json = r#"{"data":2,"skip_history":true,"tags":{"a":"b"},"idempotency_key":"k","delta":true,"version":3,
        "version_epoch":"e","key":"x"}"#;
    let more = PublishMore {
        idempotency_key: "k".to_owned(),
        delta: true,
        version: 3,
        version_epoch: "e".to_owned(),
        key: "x".to_owned(),
        ..PublishMore::default()
    };
    let expected = PublishAnswer {
        data: Some(Payload::json("2")),
        skip_history: true,
        tags: Some([("a".to_owned(), "b".to_owned())].into_iter().collect::<std::collections::BTreeMap<_, _>>().into()),
        more: Some(Box::new(more)),
    };
    assert_eq!(result(json, EventKind::Publish), Ok(Answer::Publish(Box::new(expected))));
}

#[test]
fn refusals_name_what_is_wrong() {
    assert!(refusal(r#"{"dat":1}"#, EventKind::Rpc).contains("`rpc`: unknown field `dat`, expected one of `data`"));
    assert!(refusal(r#"{"meta":[]}"#, EventKind::Connect).contains("JSON object"));
    assert!(refusal(r#"{"user":1}"#, EventKind::Connect).contains("expected a string"));
    assert!(refusal(r#"{"channels":[""]}"#, EventKind::Connect).contains("a channel is empty"));
    assert!(refusal(r#"{"channels":["a\nb"]}"#, EventKind::Connect).contains("control character"));
    assert!(refusal(r#"{"subs":{"a":{"infos":1}}}"#, EventKind::Connect).contains(r#"`subs` of "a": unknown field"#));
    assert!(refusal(r#"{"subs":{"a":[]}}"#, EventKind::Connect).contains("a JSON object is needed"));
    assert!(refusal(r#"{"override":{"presence":true}}"#, EventKind::Subscribe).contains(r#"{"value": true}"#));
    assert!(refusal(r#"{"info":1,"b64info":"MQ=="}"#, EventKind::Subscribe).contains("only one of `info`"));
    assert!(refusal(r#"{"b64info":"AA=="}"#, EventKind::Subscribe).contains("`b64info` holds no JSON"));
    assert!(refusal(r#"{"b64data":"?"}"#, EventKind::Publish).contains("no standard base64"));
    assert!(refusal(r#"{"data":1,"b64data":"AA=="}"#, EventKind::Publish).contains("only one of `data`"));
    assert!(refusal(r#"{"expired":1}"#, EventKind::Refresh).contains("`refresh`: invalid type"));
}

#[test]
fn only_answers_that_may_be_remembered_say_so() {
    let read = |json: &str, kind| Verdict::Result(Bytes::copy_from_slice(json.as_bytes())).read(kind);
    let minute = r#"{"cache_for":60}"#;
    for kind in [EventKind::Rpc, EventKind::Subscribe] {
        assert_eq!(read(minute, kind).unwrap().cache_for, Some(Duration::from_secs(60)));
        assert_eq!(read(r#"{"cache_for":0}"#, kind).unwrap().cache_for, None);
        assert!(read(r#"{"cache_for":3601}"#, kind).unwrap_err().contains("at most 3600"));
        assert!(read(r#"{"cache_for":-1}"#, kind).is_err());
    }
    for kind in [EventKind::Connect, EventKind::Publish, EventKind::Refresh, EventKind::SubRefresh] {
        assert!(read(minute, kind).unwrap_err().contains("unknown field `cache_for`"));
        let error = Verdict::Error(ClientError::PERMISSION_DENIED, Some(60)).read(kind);
        assert!(error.unwrap_err().contains("`subscribe` and `rpc`"));
    }
    let error = Verdict::Error(ClientError::PERMISSION_DENIED, Some(60)).read(EventKind::Subscribe).unwrap();
    assert_eq!(error.cache_for, Some(Duration::from_secs(60)));
}

#[test]
fn a_spoilt_answer_still_names_its_call() {
    let id = Uuid::from_u128(7);
    let error = parse(format!(r#"{{"v":2,"id":"{id}","result":{{}}}}"#).as_bytes()).unwrap_err();
    assert_eq!(error.id, Some(id));
    assert!(error.reason.contains("version 1"));
    assert_eq!(parse(b"[]").unwrap_err().id, None);
}

#[test]
fn a_response_has_no_envelope() {
    assert_eq!(parse_response(br#"{"result":{}}"#), Ok(Verdict::Result(Bytes::from_static(b"{}"))));
    let id = Uuid::from_u128(7);
    assert!(parse_response(format!(r#"{{"v":1,"id":"{id}","result":{{}}}}"#).as_bytes()).is_err());
    assert!(parse_response(b"").unwrap_err().contains("empty"));
    assert!(parse_response(b"<html>").unwrap_err().contains("a JSON object is needed"));
    assert!(parse_response(br#"{"result":{},"error":{"code":400,"message":"x"}}"#).unwrap_err().contains("only one"));
    let error = parse_response(br#"{"error":{"code":400,"message":"no","temporary":true,"cache_for":5}}"#).unwrap();
    assert_eq!(error, Verdict::Error(ClientError::temporary(400, "no"), Some(5)));
}
