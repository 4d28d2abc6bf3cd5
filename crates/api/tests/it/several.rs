//! Several commands in one request, and the two ways to tell errors.

use jackfield_api::{ApiOptions, ErrorMode};
use serde_json::{Value, json};

use crate::server::Server;

fn publish(channel: &str, n: usize) -> Value {
    json!({"publish": {"channel": channel, "data": n}})
}

async fn data(server: &Server, channel: &str) -> Vec<Value> {
    let (_, page) = server.post("history", json!({"channel": channel, "limit": -1})).await;
    page["result"]["publications"].as_array().unwrap().iter().map(|one| one["data"].clone()).collect()
}

#[tokio::test]
async fn a_batch_is_done_in_order_and_each_reply_is_in_its_place() {
    for parallel in [json!(false), json!(true), Value::Null] {
        let server = Server::open().await;
        let commands = json!([
            publish("room:1", 1),
            publish("none:1", 2),
            {"publsh": {}},
            {"publish": {"chanel": "room:1"}},
            publish("room:1", 3),
            {},
            {"publish": {"channel": "room:1", "data": 4}, "info": {}},
            {"presence_stats": {"channel": "room:1"}, "info": null},
            {"rpc": {}},
        ]);
        let (status, reply) = server.post("batch", json!({"commands": commands, "parallel": parallel})).await;
        assert_eq!(status, 200);
        let replies = reply["replies"].as_array().unwrap();
        assert_eq!(replies[0]["publish"]["offset"], 1);
        assert_eq!(replies[4]["publish"]["offset"], 2);
        assert_eq!(replies[7], json!({"presence_stats": {"num_clients": 0, "num_users": 0}}));
        let codes: Vec<i64> = replies.iter().filter_map(|reply| reply["error"]["code"].as_i64()).collect();
        assert_eq!(codes, [102, 104, 107, 107, 107, 108], "{reply}");
        assert_eq!(data(&server, "room:1").await, [1, 3]);
    }
}

#[tokio::test]
async fn a_batch_that_is_none_is_refused_as_a_whole() {
    let server = Server::open().await;
    let many = |count| json!({"commands": (0..count).map(|n| publish("bare", n)).collect::<Vec<_>>()});
    let (_, reply) = server.post("batch", many(1000)).await;
    assert_eq!(reply["replies"].as_array().map(Vec::len), Some(1000));
    let refused = [
        (many(1001), "one request may bring 1000"),
        (json!([]), "a JSON object is needed"),
        (json!({}), "missing field `commands`"),
        (json!({"commands": [], "paralel": true}), "unknown field `paralel`"),
        (json!({"commands": [1]}), "an object such as"),
    ];
    for (body, words) in refused {
        let (status, reply) = server.post("batch", body).await;
        assert_eq!((status, &reply["error"]["code"]), (200, &json!(107)));
        assert!(reply["error"]["message"].as_str().unwrap().contains(words), "{reply}");
    }
    assert_eq!(server.raw("POST /api/batch HTTP/1.1", b"{\"commands\":[").await.0, 400);
}

#[tokio::test]
async fn lines_are_answered_with_lines() {
    let server = Server::open().await;
    let body = concat!(
        r#"{"method":"publish","params":{"channel":"room:1","data":1}}"#,
        "\n",
        r#"{"id":7,"method":"publish","params":{"channel":"none:1","data":1}}{"id":8,"method":"presence_stats","params":{"channel":"room:1"}}"#,
        "\n\n",
        r#"{"method":"jump"}"#,
    );
    for path in ["/api", "/api/"] {
        let (status, _, answer) = server.raw(&format!("POST {path} HTTP/1.1"), body.as_bytes()).await;
        let lines: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((status, lines.len()), (200, 4));
        assert!(lines[0]["result"]["offset"].is_u64() && lines[0].get("id").is_none(), "{answer}");
        assert_eq!(lines[1], json!({"id": 7, "error": {"code": 102, "message": "unknown channel"}}));
        assert_eq!(lines[2], json!({"id": 8, "result": {"num_clients": 0, "num_users": 0}}));
        assert_eq!(lines[3]["error"]["code"], 104);
    }
    for (body, words) in
        [(&b""[..], "the body is empty"), (b"{\"method\":", "`method` and `params`"), (b"{\"x\":1}", "unknown field")]
    {
        let (status, _, answer) = server.raw("POST /api HTTP/1.1", body).await;
        assert!(status == 400 && answer.contains(words), "{status} {answer}");
    }
    // Nothing is done of a request that could not be read to its end.
    let half = br#"{"method":"publish","params":{"channel":"room:1","data":9}}{"#;
    assert_eq!(server.raw("POST /api HTTP/1.1", half).await.0, 400);
    assert!(!data(&server, "room:1").await.contains(&json!(9)));
    assert_eq!(server.raw("GET /api HTTP/1.1", b"").await.0, 405);
}

#[tokio::test]
async fn errors_have_a_status_of_their_own_for_who_asks() {
    let transport = ApiOptions { insecure: true, error_mode: ErrorMode::Transport, ..ApiOptions::default() };
    let (by_header, by_option) = (Server::open().await, Server::start(transport, None).await);
    let cases = [
        ("publish", json!({"channel": "none:1", "data": 1}), 404, 102),
        ("publish", json!({"channel": "room:1"}), 400, 107),
        ("presence", json!({"channel": "bare"}), 400, 108),
        ("history", json!({"channel": "room:1", "limit": 1, "since": {"offset": 1, "epoch": "other"}}), 416, 112),
        ("rpc", json!({}), 400, 108),
        ("batch", json!([]), 400, 107),
    ];
    for (method, body, status, code) in cases {
        let line = format!("POST /api/{method} HTTP/1.1\r\nx-centrifugo-error-mode: transport");
        let (got, _, answer) = by_header.raw(&line, body.to_string().as_bytes()).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((got, &answer["code"]), (status, &json!(code)), "{answer}");
        assert_eq!(by_option.post(method, body.clone()).await, (status, answer.clone()));
        let (got, plain) = by_header.post(method, body).await;
        assert_eq!((got, &plain["error"]), (200, &answer));
    }
    let line = "POST /api/publish HTTP/1.1\r\nx-centrifugo-error-mode: transport";
    let (status, _, answer) = by_header.raw(line, br#"{"channel":"bare","data":1}"#).await;
    assert_eq!((status, answer.as_str()), (200, r#"{"result":{}}"#));
}
