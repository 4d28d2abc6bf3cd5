//! The few commands and replies of the Centrifugo JSON protocol that a generator needs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use jsonwebtoken::{EncodingKey, Header};
use serde::{Deserialize, Serialize};

/// What a connection says first, and how many replies that must bring before it has joined.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) text: String,
    pub(crate) replies: u16,
}

/// Makes the token of each connection.
pub(crate) struct Credentials {
    kind: Kind,
    issued: u64,
}

enum Kind {
    None,
    Signed(EncodingKey),
    Token(String),
}

#[derive(Serialize)]
struct Claims {
    sub: String,
    exp: u64,
}

impl Credentials {
    pub(crate) fn none() -> Self {
        Self { kind: Kind::None, issued: 0 }
    }

    pub(crate) fn token(token: &str) -> Self {
        Self { kind: Kind::Token(token.to_owned()), issued: 0 }
    }

    pub(crate) fn signed(secret: &str) -> Self {
        Self { kind: Kind::Signed(EncodingKey::from_secret(secret.as_bytes())), issued: 0 }
    }

    /// The greeting of the next connection: connect, and subscribe to these channels.
    pub(crate) fn greeting(&mut self, channels: &[String]) -> anyhow::Result<Greeting> {
        let mut text = match self.next_token()? {
            Some(token) => format!(r#"{{"id":1,"connect":{{"token":{}}}}}"#, quoted(&token)),
            None => r#"{"id":1,"connect":{}}"#.to_owned(),
        };
        for (number, channel) in channels.iter().enumerate() {
            let (id, channel) = (number + 2, quoted(channel));
            text.push_str(&format!("\n{{\"id\":{id},\"subscribe\":{{\"channel\":{channel}}}}}"));
        }
        Ok(Greeting { text, replies: u16::try_from(channels.len() + 1)? })
    }

    fn next_token(&mut self) -> anyhow::Result<Option<String>> {
        match &self.kind {
            Kind::None => Ok(None),
            Kind::Token(token) => Ok(Some(token.clone())),
            Kind::Signed(key) => {
                self.issued += 1;
                let day = Duration::from_secs(86_400);
                let exp = (SystemTime::now() + day).duration_since(UNIX_EPOCH)?.as_secs();
                let claims = Claims { sub: format!("user-{}", self.issued), exp };
                let token = jsonwebtoken::encode(&Header::default(), &claims, key);
                token.map(Some).context("sign a token")
            }
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Credentials").field("issued", &self.issued).finish()
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What a message of the server means to a connection that is joining.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Connected { pong: bool },
    Other,
    Subscribed,
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(default)]
    id: u32,
    #[serde(default)]
    connect: Option<ConnectResult>,
    #[serde(default, borrow)]
    error: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct ConnectResult {
    #[serde(default)]
    pong: bool,
}

impl Answer {
    /// Reads a reply to the greeting; pushes that come between are none.
    pub(crate) fn read(message: &[u8]) -> anyhow::Result<Self> {
        let reply: Reply<'_> = serde_json::from_slice(message)
            .with_context(|| format!("read the reply {}", String::from_utf8_lossy(message)))?;
        if let Some(error) = reply.error {
            bail!("join: the server answers command {} with error {error}", reply.id);
        }
        Ok(match (reply.id, reply.connect) {
            (0, _) => Self::Other,
            (_, Some(ConnectResult { pong })) => Self::Connected { pong },
            (_, None) => Self::Subscribed,
        })
    }
}

/// The channel of a room: `bench`, or `bench_17` where there are several.
pub(crate) fn channel(room: usize, rooms: usize) -> String {
    if rooms == 1 { "bench".to_owned() } else { format!("bench_{room}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_one_frame_of_lines() {
        let greeting = Credentials::none().greeting(&[channel(0, 1)]).unwrap();
        assert_eq!(greeting.text, "{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{\"channel\":\"bench\"}}");
        assert_eq!(greeting.replies, 2);
    }

    #[test]
    fn signed_tokens_differ() {
        let mut credentials = Credentials::signed("secret");
        let (one, two) = (credentials.next_token().unwrap(), credentials.next_token().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.unwrap().split('.').count(), 3);
    }

    #[test]
    fn replies_are_told_apart() {
        let connected = br#"{"id":1,"connect":{"client":"c","ping":25,"pong":true}}"#;
        assert_eq!(Answer::read(connected).unwrap(), Answer::Connected { pong: true });
        let subscribed = br#"{"id":2,"subscribe":{}}"#;
        assert_eq!(Answer::read(subscribed).unwrap(), Answer::Subscribed);
        let push = br#"{"push":{"channel":"bench","pub":{"data":{}}}}"#;
        assert_eq!(Answer::read(push).unwrap(), Answer::Other);
        assert!(Answer::read(br#"{"id":2,"error":{"code":103,"message":"no"}}"#).is_err());
    }
}
