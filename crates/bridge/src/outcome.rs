//! Writes what came of a command as JSON, for the replies of the queue and the responses of the HTTP door alike.
//!
//! Written by hand, because most of it is JSON already: payloads and infos go out as they came in, unread.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jackfield_hub::control::{NodeInfo, NodeLine, Outcome};
use jackfield_hub::{MapPage, Published};
use jackfield_model::app::ConnectionLine;
use jackfield_model::client::HistoryPage;
use jackfield_model::{ClientError, ClientInfo, Content, Position, Publication};
use uuid::Uuid;

/// Which node it is that speaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What tells this life of the node from any other.
    pub uid: String,
    /// When this life began.
    pub started: Instant,
}

impl Default for Node {
    fn default() -> Self {
        Self { name: "jackfield".to_owned(), uid: Uuid::new_v4().to_string(), started: Instant::now() }
    }
}

/// The `result` of a command.
#[must_use]
pub fn outcome_json(outcome: &Outcome, node: &Node) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    match outcome {
        Outcome::Answered(json) => {
            out.extend_from_slice(b"{\"data\":");
            out.extend_from_slice(json);
            out.push(b'}');
        }
        Outcome::Broadcast(results) => {
            out.extend_from_slice(b"{\"responses\":");
            list(&mut out, b"[]", results, |out, result| {
                let result = result.as_ref().map(published_json);
                out.extend_from_slice(&response_json(result));
            });
            out.push(b'}');
        }
        Outcome::Census(lines) => {
            out.extend_from_slice(b"{\"connections\":");
            list(&mut out, b"{}", lines, connection);
            out.push(b'}');
        }
        Outcome::Channels(channels) => {
            out.extend_from_slice(b"{\"channels\":");
            list(&mut out, b"{}", channels, |out, (name, count)| {
                string(out, name);
                put(out, &format!(":{{\"num_clients\":{count}}}"));
            });
            out.push(b'}');
        }
        Outcome::Connections(count) => put(&mut out, &format!("{{\"connections\":{count}}}")),
        Outcome::Done => out.extend_from_slice(b"{}"),
        Outcome::History(page) => history(&mut out, page),
        Outcome::Info(info) => self::node(&mut out, info, node),
        Outcome::Nodes(lines) => nodes(&mut out, lines),
        Outcome::MapPage(MapPage { entries, cursor, position }) => {
            out.extend_from_slice(b"{\"entries\":");
            list(&mut out, b"[]", entries, |out, entry| publication(out, entry));
            if !cursor.is_empty() {
                out.extend_from_slice(b",\"cursor\":");
                string(&mut out, cursor);
            }
            self::position(&mut out, position);
        }
        Outcome::MapStats(count) => put(&mut out, &format!("{{\"num_keys\":{count}}}")),
        Outcome::Presence(members) => {
            out.extend_from_slice(b"{\"presence\":");
            list(&mut out, b"{}", members, |out, member| {
                put(out, &format!("\"{}\":", member.client));
                info(out, member);
            });
            out.push(b'}');
        }
        Outcome::PresenceStats(stats) => {
            put(&mut out, &format!("{{\"num_clients\":{},\"num_users\":{}}}", stats.num_clients, stats.num_users))
        }
        Outcome::Published(published) => out = published_json(published),
    }
    out
}

/// `{"result":...}` or `{"error":{"code":N,"message":".."}}`.
#[must_use]
pub fn response_json(result: Result<Vec<u8>, &ClientError>) -> Vec<u8> {
    let mut out = vec![b'{'];
    verdict(&mut out, result);
    out.push(b'}');
    out
}

/// `{"code":N,"message":".."}`.
#[must_use]
pub fn error_json(error: &ClientError) -> Vec<u8> {
    let mut out = format!("{{\"code\":{},\"message\":", error.code).into_bytes();
    string(&mut out, &error.message);
    out.push(b'}');
    out
}

/// The reply to an ask.
pub(crate) fn reply_json(id: &str, result: Result<Vec<u8>, &ClientError>) -> Bytes {
    let mut out = b"{\"v\":1,\"id\":".to_vec();
    string(&mut out, id);
    out.push(b',');
    verdict(&mut out, result);
    out.push(b'}');
    out.into()
}

fn verdict(out: &mut Vec<u8>, result: Result<Vec<u8>, &ClientError>) {
    match result {
        Ok(result) => {
            out.extend_from_slice(b"\"result\":");
            out.extend_from_slice(&result);
        }
        Err(error) => {
            out.extend_from_slice(b"\"error\":");
            out.extend_from_slice(&error_json(error));
        }
    }
}

fn published_json(published: &Published) -> Vec<u8> {
    let mut out = vec![b'{'];
    if let Some(position) = &published.position {
        put(&mut out, &format!("\"offset\":{},\"epoch\":", position.offset));
        string(&mut out, &position.epoch);
    }
    if let Some(reason) = published.suppressed {
        let comma = if published.position.is_some() { "," } else { "" };
        put(&mut out, &format!("{comma}\"suppressed\":true,\"suppress_reason\":\"{reason}\""));
    }
    out.push(b'}');
    out
}

fn node(out: &mut Vec<u8>, info: &NodeInfo, node: &Node) {
    let (version, uptime) = (env!("CARGO_PKG_VERSION").to_owned(), node.started.elapsed().as_secs());
    let line = NodeLine { uid: node.uid.as_str().into(), name: node.name.clone(), version, uptime, info: *info };
    nodes(out, &[line]);
}

fn nodes(out: &mut Vec<u8>, lines: &[NodeLine]) {
    out.extend_from_slice(b"{\"nodes\":[");
    for (nth, NodeLine { uid, name, version, uptime, info }) in lines.iter().enumerate() {
        out.extend_from_slice(if nth == 0 { b"{\"uid\":" } else { b",{\"uid\":" });
        string(out, uid);
        out.extend_from_slice(b",\"name\":");
        string(out, name);
        out.extend_from_slice(b",\"version\":");
        string(out, version);
        let NodeInfo { clients, users, subscriptions, channels } = info;
        put(out, &format!(",\"num_clients\":{clients},\"num_users\":{users},"));
        put(out, &format!("\"num_subs\":{subscriptions},\"num_channels\":{channels},\"uptime\":{uptime}}}"));
    }
    out.extend_from_slice(b"]}");
}

/// The end of a result: where the stream stands.
fn position(out: &mut Vec<u8>, position: &Position) {
    out.extend_from_slice(b",\"epoch\":");
    string(out, &position.epoch);
    put(out, &format!(",\"offset\":{}}}", position.offset));
}

fn history(out: &mut Vec<u8>, page: &HistoryPage) {
    out.extend_from_slice(b"{\"publications\":");
    list(out, b"[]", &page.publications, |out, publication| self::publication(out, publication));
    position(out, &page.position);
}

fn publication(out: &mut Vec<u8>, publication: &Publication) {
    put(out, &format!("{{\"offset\":{},", publication.offset));
    if let Some(key) = publication.key() {
        out.extend_from_slice(b"\"key\":");
        string(out, key);
        out.push(b',');
    }
    let bytes = &publication.data.bytes;
    match publication.data.content {
        // The value is gone, and with it the bytes that would be JSON.
        Content::Json if bytes.is_empty() => out.extend_from_slice(b"\"data\":null"),
        Content::Binary => put(out, &format!("\"b64data\":\"{}\"", STANDARD.encode(bytes))),
        Content::Json => {
            out.extend_from_slice(b"\"data\":");
            out.extend_from_slice(bytes);
        }
        Content::Text => {
            out.extend_from_slice(b"\"data\":");
            string(out, &String::from_utf8_lossy(bytes));
        }
    }
    if let Some(publisher) = &publication.info {
        out.extend_from_slice(b",\"info\":");
        info(out, publisher);
    }
    if let Some(tags) = &publication.tags {
        out.extend_from_slice(b",\"tags\":");
        list(out, b"{}", tags.iter(), |out, (name, value)| {
            string(out, name);
            out.push(b':');
            string(out, value);
        });
    }
    if publication.is_removal() {
        out.extend_from_slice(b",\"removed\":true");
    }
    if let Some(rare) = &publication.rare {
        if rare.score != 0 {
            put(out, &format!(",\"score\":{}", rare.score));
        }
        if rare.version != 0 {
            put(out, &format!(",\"version\":{}", rare.version));
        }
    }
    if publication.time != 0 {
        put(out, &format!(",\"time\":{}", publication.time));
    }
    out.push(b'}');
}

fn info(out: &mut Vec<u8>, info: &ClientInfo) {
    out.extend_from_slice(b"{\"user\":");
    string(out, &info.user);
    put(out, &format!(",\"client\":\"{}\"", info.client));
    for (name, json) in [("conn_info", &info.conn_info), ("chan_info", &info.chan_info)] {
        if let Some(json) = json {
            put(out, &format!(",\"{name}\":"));
            out.extend_from_slice(json);
        }
    }
    out.push(b'}');
}

fn connection(out: &mut Vec<u8>, line: &ConnectionLine) {
    let ConnectionLine { client, user, transport, protocol, listener, remote, channels } = line;
    put(out, &format!("\"{client}\":{{\"user\":"));
    string(out, user);
    for (name, value) in
        [("transport", &**transport), ("protocol", protocol), ("listener", listener), ("remote", remote)]
    {
        put(out, &format!(",\"{name}\":"));
        string(out, value);
    }
    out.extend_from_slice(b",\"state\":{\"channels\":");
    list(out, b"{}", channels, |out, name| {
        string(out, name);
        out.extend_from_slice(b":{}");
    });
    out.extend_from_slice(b"}}");
}

fn list<T>(
    out: &mut Vec<u8>,
    brackets: &[u8; 2],
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(brackets[0]);
    for (nth, item) in items.into_iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(brackets[1]);
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    put(out, &serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jackfield_model::client::PresenceStats;
    use jackfield_model::{ClientId, Payload, Position, Rare};
    use serde_json::Value;

    use crate::command::{Kind, Method, Shape, Told};

    use super::*;

    fn text(outcome: &Outcome) -> String {
        let node = Node { name: "a\"".to_owned(), uid: "u".to_owned(), started: Instant::now() };
        let text = String::from_utf8(outcome_json(outcome, &node)).unwrap();
        serde_json::from_str::<Value>(&text).unwrap();
        text
    }

    #[test]
    fn results() {
        let position = Position { offset: 3, epoch: "ab\"c".into() };
        let published = Published { position: Some(position), suppressed: None };
        assert_eq!(text(&Outcome::Published(Published::default())), "{}");
        assert_eq!(text(&Outcome::Connections(2)), r#"{"connections":2}"#);
        assert_eq!(
            text(&Outcome::Broadcast(vec![Ok(published), Err(ClientError::UNKNOWN_CHANNEL)])),
            r#"{"responses":[{"result":{"offset":3,"epoch":"ab\"c"}},{"error":{"code":102,"message":"unknown channel"}}]}"#
        );
        let channels = Outcome::Channels(vec![("a\"".into(), 2), ("b".into(), 0)]);
        assert_eq!(text(&channels), r#"{"channels":{"a\"":{"num_clients":2},"b":{"num_clients":0}}}"#);
        assert_eq!(text(&Outcome::Done), "{}");
        assert_eq!(text(&Outcome::MapStats(3)), r#"{"num_keys":3}"#);
        let late = Published { suppressed: Some("version"), ..Published::default() };
        assert_eq!(text(&Outcome::Published(late)), r#"{"suppressed":true,"suppress_reason":"version"}"#);
        let stats = PresenceStats { num_clients: 2, num_users: 1 };
        assert_eq!(text(&Outcome::PresenceStats(stats)), r#"{"num_clients":2,"num_users":1}"#);
    }

    #[test]
    fn nodes_and_maps() {
        let info = NodeInfo { clients: 4, users: 3, subscriptions: 2, channels: 1 };
        let version = env!("CARGO_PKG_VERSION");
        let counts = r#""num_clients":4,"num_users":3,"num_subs":2,"num_channels":1,"uptime":"#;
        let expected = format!(r#"{{"nodes":[{{"uid":"u","name":"a\"","version":"{version}",{counts}"#);
        assert!(text(&Outcome::Info(info)).starts_with(&expected));
        let entry = |offset, data, rare| {
            Arc::new(Publication { offset, data, rare: Some(Box::new(rare)), time: 5, ..Publication::default() })
        };
        let key = |key: &str| Some(key.into());
        let page = Outcome::MapPage(MapPage {
            entries: vec![
                entry(1, Payload::json("1"), Rare { key: key("a"), score: -7, version: 2, ..Rare::default() }),
                entry(2, Payload::default(), Rare { key: key("b"), removed: true, ..Rare::default() }),
            ],
            cursor: "c".to_owned(),
            position: Position { offset: 2, epoch: "e".into() },
        });
        assert_eq!(
            text(&page),
            concat!(
                r#"{"entries":[{"offset":1,"key":"a","data":1,"score":-7,"version":2,"time":5},"#,
                r#"{"offset":2,"key":"b","data":null,"removed":true,"time":5}],"cursor":"c","epoch":"e","offset":2}"#
            )
        );
    }

    #[test]
    fn members_and_publications() {
        let client = ClientId::from_u128(1);
        let info = Arc::new(ClientInfo {
            user: "a\"".into(),
            client,
            conn_info: Some(Bytes::from_static(b"{\"n\":1}")),
            chan_info: None,
        });
        assert_eq!(
            text(&Outcome::Presence(vec![Arc::clone(&info)])),
            format!(r#"{{"presence":{{"{client}":{{"user":"a\"","client":"{client}","conn_info":{{"n":1}}}}}}}}"#)
        );
        let publication = |offset, data, tags| Arc::new(Publication { offset, data, tags, ..Publication::default() });
        let tags = Some(Arc::new([("k".to_owned(), "v".to_owned())].into()));
        let page = HistoryPage {
            publications: vec![
                publication(1, Payload::json("[1]"), tags),
                publication(2, Payload::text("a\nb"), None),
                publication(3, Payload::binary(vec![0, 1, 2]), None),
            ],
            position: Position { offset: 3, epoch: "e".into() },
        };
        assert_eq!(
            text(&Outcome::History(page)),
            concat!(
                r#"{"publications":[{"offset":1,"data":[1],"tags":{"k":"v"}},{"offset":2,"data":"a\nb"},"#,
                r#"{"offset":3,"b64data":"AAEC"}],"epoch":"e","offset":3}"#
            )
        );
    }

    /// What the documents say of a result is what is written.
    fn conforms(value: &Value, tells: &[Told], at: &str) {
        let Value::Object(object) = value else { panic!("{at} is no object: {value}") };
        for told in tells.iter().filter(|told| told.always) {
            assert!(object.contains_key(told.name), "{at}.{} is missing: {value}", told.name);
        }
        for (name, value) in object {
            let Some(told) = tells.iter().find(|told| told.name == name) else { panic!("{at}.{name} is not told of") };
            let at = format!("{at}.{name}");
            match (told.shape, value) {
                (Shape::List(inner), Value::Array(items)) => items.iter().for_each(|one| conforms(one, inner, &at)),
                (Shape::Named(inner), Value::Object(items)) => items.values().for_each(|one| conforms(one, inner, &at)),
                (Shape::Object(inner), value) => conforms(value, inner, &at),
                (Shape::Plain(Kind::Any), _)
                | (Shape::Plain(Kind::Base64 | Kind::Choice(_) | Kind::Text | Kind::Uuid), Value::String(_))
                | (Shape::Plain(Kind::Bool), Value::Bool(_))
                | (Shape::Plain(Kind::Tags), Value::Object(_)) => {}
                (Shape::Plain(Kind::Count | Kind::Integer), Value::Number(number)) => assert!(!number.is_f64(), "{at}"),
                (shape, value) => panic!("{at} is {value} and should be {shape:?}"),
            }
        }
    }

    #[test]
    fn results_are_as_the_tables_tell() {
        let position = Position { offset: 3, epoch: "e".into() };
        let info = Arc::new(ClientInfo { conn_info: Some(Bytes::from_static(b"1")), ..ClientInfo::default() });
        let rare = Rare { key: Some("k".into()), removed: true, score: 1, version: 2, ..Rare::default() };
        let full = Publication {
            offset: 1,
            info: Some(Arc::clone(&info)),
            tags: Some(Arc::new([("k".to_owned(), "v".to_owned())].into())),
            time: 1,
            rare: Some(Box::new(rare)),
            ..Publication::default()
        };
        let binary = Publication { data: Payload::binary(vec![0]), ..Publication::default() };
        let entries = vec![Arc::new(full), Arc::new(binary)];
        let page = HistoryPage { publications: entries.clone(), position: position.clone() };
        let state = Outcome::MapPage(MapPage { entries, cursor: "c".to_owned(), position: position.clone() });
        let published = Published { position: Some(position), suppressed: Some("version") };
        let both = Outcome::Broadcast(vec![Ok(published.clone()), Err(ClientError::UNKNOWN_CHANNEL)]);
        let outcomes = [
            ("publish", Outcome::Published(published.clone())),
            ("publish", Outcome::Published(Published::default())),
            ("map_remove", Outcome::Published(published)),
            ("broadcast", both),
            ("send", Outcome::Connections(1)),
            ("call", Outcome::Answered(Bytes::from_static(b"[1]"))),
            ("disconnect", Outcome::Connections(1)),
            ("presence", Outcome::Presence(vec![info])),
            ("presence_stats", Outcome::PresenceStats(PresenceStats::default())),
            ("history", Outcome::History(page)),
            ("history_remove", Outcome::Done),
            ("channels", Outcome::Channels(vec![("a".into(), 1)])),
            (
                "connections",
                Outcome::Census(vec![ConnectionLine {
                    user: "an\"n".into(),
                    channels: vec!["room:1".into()],
                    ..ConnectionLine::default()
                }]),
            ),
            ("info", Outcome::Info(NodeInfo::default())),
            ("map_read_state", state.clone()),
            ("map_read_stream", state),
            ("map_stats", Outcome::MapStats(1)),
            ("map_clear", Outcome::Done),
            ("block_user", Outcome::Connections(1)),
            ("invalidate_user_tokens", Outcome::Connections(1)),
        ];
        for (method, outcome) in outcomes {
            let mut result: Value = serde_json::from_str(&text(&outcome)).unwrap();
            if method == "map_read_stream" {
                // A stream is read in one piece; the sample is a page of the state.
                result.as_object_mut().unwrap().remove("cursor");
            }
            conforms(&result, Method::of(method).unwrap().tells, method);
        }
    }
}
