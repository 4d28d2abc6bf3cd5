//! A small web application: one path per way to answer, and all that it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// The application; it ends with the runtime of its test.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Site {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = Arc::clone(&site.asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&asked)));
            }
        });
        site
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn converse(mut stream: TcpStream, asked: Arc<Mutex<Vec<Asked>>>) {
    let mut bytes = Vec::new();
    loop {
        let Some((head, length)) = head(&bytes) else {
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        while bytes.len() < head.len() + length {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "the body ended early");
        }
        let rest = bytes.split_off(head.len() + length);
        let body = serde_json::from_slice(&bytes[head.len()..]).unwrap();
        bytes = rest;
        let path = head.split(' ').nth(1).unwrap().to_owned();
        asked.lock().unwrap().push(Asked { path: path.clone(), head, body });
        if path == "/hangs" {
            // Held open until whoever asked gives up.
            let _gave_up = stream.read_buf(&mut bytes).await;
            return;
        }
        if path == "/breaks" {
            return;
        }
        let (status, body) = response(&path);
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The head of the first request and the length of its body, once the head is whole.
fn head(bytes: &[u8]) -> Option<(String, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    Some((head, length))
}

fn response(path: &str) -> (u16, &'static str) {
    match path {
        "/yes" => (200, r#"{"result":{}}"#),
        "/connect" => (200, r#"{"result":{"user":"ann","channels":["news"]}}"#),
        "/data" => (200, r#"{"result":{"data":{"n":1}}}"#),
        "/cached" => (200, r#"{"result":{"data":7,"cache_for":600}}"#),
        "/refuses" => (200, r#"{"error":{"code":403,"message":"not yours"}}"#),
        "/ends" => (200, r#"{"disconnect":{"code":4403,"reason":"banned"}}"#),
        "/garbage" => (200, "<html>"),
        "/unknown-key" => (200, r#"{"result":{"dta":1}}"#),
        "/status/404" => (404, "no such page"),
        "/status/403" => (403, ""),
        "/status/500" => (500, r#"{"result":{}}"#),
        other => panic!("no such path: {other}"),
    }
}
