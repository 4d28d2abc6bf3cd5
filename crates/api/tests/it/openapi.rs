//! The OpenAPI document: it says what the parser does, and the copy in the docs is the one that is served.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jackfield_api::ApiOptions;
use serde_json::{Value, json};

use crate::server::Server;

async fn document(server: &Server) -> Value {
    let (status, head, body) = server.raw("GET /api/openapi.json HTTP/1.1", b"").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

/// A field that nobody knows makes the parser list those that it knows.
#[tokio::test]
async fn openapi_and_parser_know_the_same_fields() {
    let server = Server::open().await;
    let document = document(&server).await;
    let schemas = &document["components"]["schemas"];
    let mut methods = 0;
    for path in document["paths"].as_object().unwrap().keys().filter(|path| *path != "/batch") {
        let method = path.trim_start_matches('/');
        let request = &schemas[format!("{method}_request")];
        let (_, reply) = server.post(method, json!({"no such field": 1})).await;
        let message = reply["error"]["message"].as_str().unwrap();
        let known: BTreeSet<&str> = match message.split_once("expected one of ") {
            Some((_, list)) => {
                list.split(" at line").next().unwrap().split(", ").map(|name| name.trim_matches('`')).collect()
            }
            None => BTreeSet::new(),
        };
        let documented: BTreeSet<&str> =
            request["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(known, documented, "{method}: {message}");
        for needed in request["required"].as_array().unwrap() {
            assert!(documented.contains(needed.as_str().unwrap()), "{method}");
        }
        methods += 1;
    }
    assert_eq!(methods, jackfield_bridge::command::METHODS.len());
}

#[tokio::test]
async fn openapi_needs_the_key_and_tells_the_prefix() {
    let options = ApiOptions { key: "secret".to_owned(), prefix: "v2".to_owned(), ..ApiOptions::default() };
    let server = Server::start(options, None).await;
    assert_eq!(server.raw("GET /v2/openapi.json HTTP/1.1", b"").await.0, 401);
    assert_eq!(server.raw("POST /v2/openapi.json?api_key=secret HTTP/1.1", b"").await.0, 405);
    let (status, _, body) = server.raw("GET /v2/openapi.json?api_key=secret HTTP/1.1", b"").await;
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &document["servers"][0]["url"]), (200, &json!("/v2")));
}

#[tokio::test]
async fn openapi_in_the_docs_is_what_is_served() {
    let server = Server::open().await;
    let served = format!("{:#}\n", document(&server).await);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &served).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == served,
        "docs/openapi.json is not up to date: UPDATE_DOCS=1 cargo test -p jackfield-api openapi"
    );
}
