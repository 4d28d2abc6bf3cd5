//! Writes what came of a command as JSON, for the replies of the queue and the responses of the HTTP door alike.
//!
//! Written by hand, because most of it is JSON already: payloads and infos go out as they came in, unread.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jackfield_hub::Published;
use jackfield_hub::control::Outcome;
use jackfield_model::client::HistoryPage;
use jackfield_model::{ClientError, ClientInfo, Content, Publication};

/// The `result` of a command.
#[must_use]
pub fn outcome_json(outcome: &Outcome) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    match outcome {
        Outcome::Broadcast(results) => {
            out.extend_from_slice(b"{\"responses\":");
            list(&mut out, b"[]", results, |out, result| {
                let result = result.as_ref().map(published_json);
                out.extend_from_slice(&response_json(result));
            });
            out.push(b'}');
        }
        Outcome::Connections(count) => put(&mut out, &format!("{{\"connections\":{count}}}")),
        Outcome::History(page) => history(&mut out, page),
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
        Outcome::Channels(channels) => {
            out.extend_from_slice(b"{\"channels\":");
            list(&mut out, b"{}", channels, |out, (name, count)| {
                string(out, name);
                put(out, &format!(":{{\"num_clients\":{count}}}"));
            });
            out.push(b'}');
        }
        // Their fields come with their methods.
        Outcome::Done | Outcome::Info(_) | Outcome::MapPage(_) | Outcome::MapStats(_) => put(&mut out, "{}"),
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
            put(out, &format!("\"error\":{{\"code\":{},\"message\":", error.code));
            string(out, &error.message);
            out.push(b'}');
        }
    }
}

fn published_json(published: &Published) -> Vec<u8> {
    let mut out = vec![b'{'];
    if let Some(position) = &published.position {
        put(&mut out, &format!("\"offset\":{},\"epoch\":", position.offset));
        string(&mut out, &position.epoch);
    }
    out.push(b'}');
    out
}

fn history(out: &mut Vec<u8>, page: &HistoryPage) {
    out.extend_from_slice(b"{\"publications\":");
    list(out, b"[]", &page.publications, |out, publication| self::publication(out, publication));
    out.extend_from_slice(b",\"epoch\":");
    string(out, &page.position.epoch);
    put(out, &format!(",\"offset\":{}}}", page.position.offset));
}

fn publication(out: &mut Vec<u8>, publication: &Publication) {
    put(out, &format!("{{\"offset\":{},", publication.offset));
    let bytes = &publication.data.bytes;
    match publication.data.content {
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
    use jackfield_model::{ClientId, Payload, Position};

    use super::*;

    fn text(outcome: &Outcome) -> String {
        let text = String::from_utf8(outcome_json(outcome)).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        text
    }

    #[test]
    fn results() {
        let position = Position { offset: 3, epoch: "ab\"c".into() };
        let published = Published { position: Some(position), ..Published::default() };
        assert_eq!(text(&Outcome::Published(Published::default())), "{}");
        assert_eq!(text(&Outcome::Connections(2)), r#"{"connections":2}"#);
        assert_eq!(
            text(&Outcome::Broadcast(vec![Ok(published), Err(ClientError::UNKNOWN_CHANNEL)])),
            r#"{"responses":[{"result":{"offset":3,"epoch":"ab\"c"}},{"error":{"code":102,"message":"unknown channel"}}]}"#
        );
        let stats = PresenceStats { num_clients: 2, num_users: 1 };
        assert_eq!(text(&Outcome::PresenceStats(stats)), r#"{"num_clients":2,"num_users":1}"#);
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
}
