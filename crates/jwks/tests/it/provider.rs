//! An identity provider that signs tokens and publishes what a test wants.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jackfield_fetch::Url;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A key of a provider.
pub(crate) struct Pair {
    name: &'static str,
    private: EncodingKey,
    public: DecodingKey,
}

impl Pair {
    pub(crate) fn make(name: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let private = EncodingKey::from_ed_der(&pair.serialize_der());
        Self { name, private, public: DecodingKey::from_ed_der(pair.public_key_raw()) }
    }

    pub(crate) fn token(&self) -> String {
        let header = Header { kid: Some(self.name.to_owned()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &json!({"sub": "42"}), &self.private).unwrap()
    }

    fn published(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_decoding_key(&self.public, None).unwrap()).unwrap();
        jwk["kid"] = self.name.into();
        jwk
    }
}

/// What is published: a set of these keys.
pub(crate) fn set(pairs: &[&Pair]) -> Vec<u8> {
    let keys: Vec<_> = pairs.iter().map(|pair| pair.published()).collect();
    response(200, &json!({"keys": keys}).to_string())
}

pub(crate) fn response(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A server whose answer can be exchanged at any time; an answer that is empty never comes.
pub(crate) struct Provider {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    pub(crate) async fn start(answer: Vec<u8>) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), answer).await
    }

    pub(crate) async fn start_at(address: SocketAddr, answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, asked) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (says, counts) = (Arc::clone(&answer), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(reply(socket, Arc::clone(&says), Arc::clone(&counts)));
            }
        });
        Self { address, answer, asked }
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("http://{}/keys", self.address)).unwrap()
    }

    pub(crate) fn says(&self, answer: Vec<u8>) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until it was asked some times more.
    pub(crate) async fn is_asked(&self, times: usize) {
        let wanted = self.asked() + times;
        while self.asked() < wanted {
            tokio::task::yield_now().await;
        }
    }
}

async fn reply(mut socket: TcpStream, says: Arc<Mutex<Vec<u8>>>, asked: Arc<AtomicUsize>) {
    let mut request = Vec::new();
    while matches!(socket.read_buf(&mut request).await, Ok(1..)) {
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            asked.fetch_add(1, Ordering::SeqCst);
            let answer = says.lock().unwrap().clone();
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
            if socket.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}
