//! Commands, their results, and refusals.

use std::sync::Arc;

use jackfield_api::ApiOptions;
use jackfield_bridge::outcome::Node;
use jackfield_hub::{Address, Mail, Membership};
use jackfield_model::{ClientId, ClientInfo};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Server;

#[tokio::test]
async fn commands_and_their_results() {
    let server = Server::open().await;
    let info = Arc::new(ClientInfo { user: "ann".into(), client: ClientId::from_u128(1), ..ClientInfo::default() });
    assert!(server.hub.arrive(&info, Address::default(), 0));
    assert!(
        server
            .hub
            .subscribe("room:1", Membership { worker: 0, info: &info, counted: true, announced: true }, None, 1)
            .is_ok()
    );

    let (status, first) = server.post("publish", json!({"channel": "room:1", "data": {"a": 1}})).await;
    assert_eq!((status, &first["result"]["offset"]), (200, &json!(1)));
    let refused = server.post("publish", json!({"channel": "none:1", "data": 1})).await;
    assert_eq!(refused, (200, json!({"error": {"code": 102, "message": "unknown channel"}})));
    let (_, both) = server.post("broadcast", json!({"channels": ["room:1", "none:1"], "text": "hi"})).await;
    assert_eq!(both["result"]["responses"][0]["result"]["offset"], 2);
    assert_eq!(both["result"]["responses"][1]["error"]["code"], 102);
    let sent = server.post("send", json!({"user": "ann", "data": 1})).await;
    assert_eq!(sent, (200, json!({"result": {"connections": 1}})));
    let (_, history) = server.post("history", json!({"channel": "room:1", "limit": -1})).await;
    let second = &history["result"]["publications"][1];
    assert_eq!((&second["offset"], &second["data"]), (&json!(2), &json!("hi")));
    let (_, presence) = server.post("presence", json!({"channel": "room:1"})).await;
    assert_eq!(presence["result"]["presence"][info.client.to_string()]["user"], "ann");
    let stats = server.post("presence_stats", json!({"channel": "room:1"})).await;
    assert_eq!(stats, (200, json!({"result": {"num_clients": 1, "num_users": 1}})));
    let (_, about) = server.post("info", json!({})).await;
    assert_eq!(about["result"]["nodes"][0]["num_clients"], 1);
    assert_eq!(about["result"]["nodes"][0]["num_channels"], 1);
    assert_eq!(
        (&about["result"]["nodes"][0]["num_users"], &about["result"]["nodes"][0]["num_subs"]),
        (&json!(1), &json!(1))
    );
    let ended = server.post("disconnect", json!({"user": "ann"})).await;
    assert_eq!(ended, (200, json!({"result": {"connections": 1}})));
    let mut mail = Vec::new();
    server.mailbox.take(&mut mail);
    assert!(matches!(mail.last(), Some(Mail::Order(..))));
}

#[tokio::test]
async fn refusals_name_the_remedy() {
    let server = Server::open().await;
    let (status, body) = server.post("publish", json!({"chanel": "a"})).await;
    assert_eq!((status, &body["error"]["code"]), (200, &json!(107)));
    assert!(body["error"]["message"].as_str().unwrap().contains("unknown field `chanel`"), "{body}");
    for unreadable in [&b"{"[..], b"", b"publish", b"{\"channel\":\"\xff\"}"] {
        let (status, head, body) = server.raw("POST /api/publish HTTP/1.1", unreadable).await;
        assert_eq!(status, 400, "{body}");
        assert!(head.contains("text/plain") && body.contains("no JSON object"), "{head} {body}");
    }
    for (method, words) in [("rpc", "over the app link"), ("shared_poll_publish", "a map instead")] {
        let (status, body) = server.post(method, json!({"any": "thing"})).await;
        assert_eq!((status, &body["error"]["code"]), (200, &json!(108)));
        assert!(body["error"]["message"].as_str().unwrap().contains(words), "{body}");
    }
    let (status, head, _) = server.raw("GET /api/publish HTTP/1.1", b"").await;
    assert_eq!(status, 405);
    assert!(head.contains("allow: POST"), "{head}");
    let (status, _, body) = server.raw("POST /api/publsh HTTP/1.1", b"{}").await;
    assert_eq!(status, 404);
    assert!(body.contains("/api/METHOD with publish, broadcast"), "{body}");
    assert_eq!(server.raw("GET / HTTP/1.1", b"").await.0, 404);
    let (status, head, _) = server.raw("POST /health HTTP/1.1", b"").await;
    assert!(status == 405 && head.contains("allow: GET, HEAD"), "{head}");
    let (status, _, body) = server.raw("GET /health HTTP/1.1", b"").await;
    assert_eq!((status, body.as_str()), (200, "{}"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let server = Server::open().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /api/publish HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n900000\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move { writer.write_all(&vec![b' '; 0x0090_0000]).await });
    let mut start = [0; 12];
    reader.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    writing.abort();
}

#[tokio::test]
async fn the_key_opens() {
    let server = Server::start(ApiOptions { key: "secret".to_owned(), ..ApiOptions::default() }, None).await;
    let line = "POST /api/info HTTP/1.1";
    let (status, _, body) = server.raw(line, b"").await;
    assert_eq!(status, 401);
    assert!(body.contains("X-API-Key"), "{body}");
    assert_eq!(server.raw(&format!("{line}\r\nx-api-key: wrong"), b"").await.0, 401);
    assert_eq!(server.raw(&format!("{line}\r\nx-api-key: secret"), b"").await.0, 200);
    assert_eq!(server.raw(&format!("{line}\r\nauthorization: apikey secret"), b"").await.0, 200);
    assert_eq!(server.raw("POST /api/info?api_key=secret HTTP/1.1", b"").await.0, 200);
    assert_eq!(server.raw("GET /health HTTP/1.1", b"").await.0, 200);
    let server = Server::start(ApiOptions { prefix: "v2/{x}/".to_owned(), ..ApiOptions::default() }, None).await;
    let (status, _, body) = server.raw("POST /v2/{x}/info HTTP/1.1", b"").await;
    assert_eq!(status, 401);
    assert!(body.contains("no API key is configured"), "{body}");
}

#[tokio::test]
async fn a_busy_worker_is_worth_another_try() {
    let server = Server::open().await;
    let info = Arc::new(ClientInfo::default());
    assert!(
        server
            .hub
            .subscribe("a", Membership { worker: 0, info: &info, counted: true, announced: true }, None, 1)
            .is_ok()
    );
    let full = jackfield_model::app::Answer::Enqueued;
    while !server.mailbox.is_full() {
        server.hub.resume(Address::default(), 1, full.clone());
    }
    let body = json!({"channel": "a", "data": 1}).to_string();
    let (status, head, body) = server.raw("POST /api/publish HTTP/1.1", body.as_bytes()).await;
    assert_eq!(status, 503);
    assert!(head.contains("retry-after: 1") && body.contains("111"), "{head} {body}");
}

#[tokio::test]
async fn it_ends_when_told() {
    let server = Server::open().await;
    assert!(server.stop.send(()).is_ok());
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_node_tells_its_name() {
    let node = Node { name: "ann-1".to_owned(), uid: "ann-1-af".to_owned(), ..Node::default() };
    let options = ApiOptions { insecure: true, node, ..ApiOptions::default() };
    let server = Server::start(options, None).await;
    let (_, about) = server.post("info", json!({})).await;
    let node = &about["result"]["nodes"][0];
    assert_eq!((&node["name"], &node["uid"]), (&json!("ann-1"), &json!("ann-1-af")));
}

#[tokio::test]
async fn what_is_off_is_not_there() {
    let server = Server::start(ApiOptions { commands: false, insecure: true, ..ApiOptions::default() }, None).await;
    let (status, body) = server.post("info", json!({})).await;
    assert_eq!((status, body), (404, json!("nothing is here; there is /health\n")));
    assert_eq!(server.raw("GET /health HTTP/1.1", b"").await.0, 200);
    let nothing = ApiOptions { commands: false, health: false, ..ApiOptions::default() };
    let server = Server::start(nothing, None).await;
    let (status, _, body) = server.raw("GET /health HTTP/1.1", b"").await;
    assert_eq!((status, body.as_str()), (404, "nothing is here\n"));
}
