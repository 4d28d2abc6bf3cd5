//! The lists `[[source]]` and `[[sink]]`: other systems whose messages become publications, and to which publications go.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration;
use super::schema::{Key, Kind};
use super::secret::Secret;

/// A system whose messages become publications.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Source {
    /// Its name in the log and in metrics; without one that of the exchange, queue, stream, pattern or subject, or where the feed is.
    pub(crate) name: String,
    /// Where it is: `amqp://user:password@host:5672/vhost`, `redis://host:6379/0`, `nats://host:4222`, or
    /// `tcp://host:7400` (`tcps` for TLS) for a feed that is dialled.
    pub(crate) url: Secret,
    /// RabbitMQ: the exchange that is read. It must be there; a missing one is waited for.
    pub(crate) exchange: String,
    /// RabbitMQ: which messages of the exchange, a pattern where it is a topic exchange.
    pub(crate) routing_key: String,
    /// RabbitMQ: a queue that keeps what comes while no server is there and that several nodes read together. With `exchange` it is
    /// declared where it is missing (quorum, one reader at a time) and bound; without `exchange` it is read as it is. Empty: a
    /// queue that lives as long as the connection.
    pub(crate) queue: String,
    /// Redis: the stream that is read.
    pub(crate) stream: String,
    /// Who shares the messages: of a Redis stream the consumer group, which begins with what comes after it was made; of NATS
    /// subjects the queue group, and empty, every reader gets all.
    pub(crate) group: String,
    /// Redis: the channels of PUB/SUB that are heard, as `PSUBSCRIBE` takes them.
    pub(crate) pattern: String,
    /// NATS: the subject that is read, with wildcards if need be.
    pub(crate) subject: String,
    /// Feeds: how messages are told apart: `lines` end with a newline, before each of `varint` stands its length, with `fixed:N`
    /// each has N bytes, and with `u8`, `u16be`, `u16le`, `u32be`, `u32le` its length stands before it in such an integer.
    pub(crate) framing: String,
    /// Feeds: what is said first, as it stands here; `\n` is a newline. Empty: nothing.
    pub(crate) hello: Secret,
    /// Feeds: one that sends nothing for so long is dialled again; 0 for never.
    #[serde(with = "duration")]
    pub(crate) idle_timeout: Duration,
    /// The channel of each message; may hold `{routing_key}` and `{header:NAME}` (RabbitMQ), `{stream}` and `{field:NAME}`
    /// (streams), `{channel}` (PUB/SUB), `{subject}` and `{header:NAME}` (NATS), `{field:NAME}` (feeds whose messages are JSON
    /// objects: a string, number or bool in it, with dots one further within).
    pub(crate) channel: String,
    /// The key of each message, for channels with keys; may hold the same.
    pub(crate) key: String,
    /// Streams: the field that is the body; empty, the body is a JSON object of all fields.
    pub(crate) field: String,
    /// What bodies are: `json`, `text` or `binary`, where anything else is refused; or `auto`, what each looks like.
    pub(crate) content: ContentForm,
    /// A message whose id (`message_id` in RabbitMQ, that of the entry in a stream) was taken in the last five minutes is
    /// acknowledged and not published again.
    pub(crate) idempotency: bool,
    /// Largest body, in bytes; larger ones are refused. A feed that sends one is dialled again.
    pub(crate) message_size_limit: usize,
    /// Messages that may be on their way at a time; of a feed those that are published together.
    pub(crate) prefetch: usize,
    /// Streams: after so long without an acknowledgement an entry that another consumer has had is taken over.
    #[serde(with = "duration")]
    pub(crate) claim_after: Duration,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: Secret::default(),
            exchange: String::new(),
            routing_key: "#".to_owned(),
            queue: String::new(),
            stream: String::new(),
            group: "jackfield".to_owned(),
            pattern: String::new(),
            subject: String::new(),
            framing: "lines".to_owned(),
            hello: Secret::default(),
            idle_timeout: Duration::ZERO,
            channel: String::new(),
            key: String::new(),
            field: String::new(),
            content: ContentForm::Auto,
            idempotency: false,
            message_size_limit: 1_048_576,
            prefetch: 256,
            claim_after: Duration::from_secs(30),
        }
    }
}

impl Source {
    /// Its name in the log and in metrics.
    pub(crate) fn title(&self) -> &str {
        let place = self.url.expose().strip_prefix("tcp").map_or("", |_| place(&self.url));
        let all = [&*self.name, &self.queue, &self.exchange, &self.stream, &self.pattern, &self.subject, place];
        all.into_iter().find(|name| !name.is_empty()).unwrap_or("source")
    }

    /// Whether every node that reads it gets every message, so that only one of several nodes may.
    pub(crate) fn needs_one_node(&self) -> bool {
        self.queue.is_empty() && self.stream.is_empty() && (self.subject.is_empty() || self.group.is_empty())
    }
}

/// What bodies are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ContentForm {
    /// What each looks like.
    #[default]
    Auto,
    /// Bytes.
    Binary,
    /// One JSON value.
    Json,
    /// UTF-8.
    Text,
}

/// A system that publications go to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sink {
    /// Its name in the log and in metrics; without one that of the exchange or stream, or the host of the webhook.
    pub(crate) name: String,
    /// The channels whose publications go out, as patterns: `*` is any run of characters, `?` any one.
    pub(crate) channels: Vec<String>,
    /// Where to: `https://host/path` for a webhook, `amqp://user:password@host:5672/vhost`, `redis://host:6379/0`.
    pub(crate) url: Secret,
    /// Webhooks: signs each request as Standard Webhooks does: `whsec_` and base64 of 24 bytes or more. Several, with spaces between
    /// them, while one is exchanged for another; empty, none is signed.
    pub(crate) secret: Secret,
    /// RabbitMQ: the exchange; leave it out to have `routing_key` name a queue.
    pub(crate) exchange: String,
    /// RabbitMQ: the routing key of each publication; may hold `{channel}`.
    pub(crate) routing_key: String,
    /// Redis: the stream of each publication; may hold `{channel}`.
    pub(crate) stream: String,
    /// Redis: about so many entries are kept in the stream; 0 for all.
    pub(crate) max_length: usize,
    /// Webhooks: headers sent with each request, such as `Authorization`.
    pub(crate) headers: BTreeMap<String, Secret>,
    /// Webhooks: time for one request.
    #[serde(with = "duration")]
    pub(crate) timeout: Duration,
    /// Webhooks: pauses before the second and all further attempts, each a fifth more or less; after the last attempt a publication
    /// is given up.
    pub(crate) retry: Vec<String>,
    /// Webhooks: requests at a time.
    pub(crate) parallel: usize,
    /// Webhooks: a publication waits until the one before it in its channel has arrived or is given up.
    pub(crate) ordered: bool,
    /// Webhooks: addresses of this machine, its network and its cloud may be asked too.
    pub(crate) allow_private: bool,
    /// Webhooks: file with authorities that are trusted beside the system's, in PEM.
    pub(crate) server_ca_pem_file: String,
    /// Publications that may wait, in memory; more are lost, and counted.
    pub(crate) queue_max_count: usize,
    /// Bytes that may wait.
    pub(crate) queue_max_size: usize,
    /// File that publications are written to which are given up, one JSON object a line; empty for none.
    pub(crate) dead_letters: String,
}

impl Default for Sink {
    fn default() -> Self {
        Self {
            name: String::new(),
            channels: Vec::new(),
            url: Secret::default(),
            secret: Secret::default(),
            exchange: String::new(),
            routing_key: "{channel}".to_owned(),
            stream: String::new(),
            max_length: 100_000,
            headers: BTreeMap::new(),
            timeout: Duration::from_secs(15),
            retry: ["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "24h"].map(str::to_owned).to_vec(),
            parallel: 16,
            ordered: true,
            allow_private: false,
            server_ca_pem_file: String::new(),
            queue_max_count: 10_000,
            queue_max_size: 16_777_216,
            dead_letters: String::new(),
        }
    }
}

impl Sink {
    /// Its name in the log and in metrics.
    pub(crate) fn title(&self) -> &str {
        let all = [self.name.as_str(), &self.exchange, &self.stream, place(&self.url)];
        all.into_iter().find(|name| !name.is_empty()).unwrap_or("sink")
    }

    /// The pauses between attempts; the rules have read them before.
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        self.retry.iter().filter_map(|text| duration::parse(text).ok()).collect()
    }
}

/// Host and port of a URL.
fn place(url: &Secret) -> &str {
    let rest = url.expose().split_once("://").map_or("", |(_, rest)| rest);
    // What stands before an @ is a secret; rules refuse it, and this is asked before them.
    rest.split(['/', '?', '#']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default()
}

/// The keys of `[[source]]`.
pub(super) const SOURCE: &[Key] = &[
    Key::new("name", Kind::Text),
    Key::required("url", Kind::Secret),
    Key::new("exchange", Kind::Text),
    Key::new("routing_key", Kind::Text),
    Key::new("queue", Kind::Text),
    Key::new("stream", Kind::Text),
    Key::new("group", Kind::Text),
    Key::new("pattern", Kind::Text),
    Key::new("subject", Kind::Text),
    Key::new("framing", Kind::Text),
    Key::new("hello", Kind::Secret),
    Key::new("idle_timeout", Kind::Duration),
    Key::required("channel", Kind::Text),
    Key::new("key", Kind::Text),
    Key::new("field", Kind::Text),
    Key::new("content", Kind::Choice(&["auto", "json", "text", "binary"])),
    Key::new("idempotency", Kind::Bool),
    Key::new("message_size_limit", Kind::Integer),
    Key::new("prefetch", Kind::Integer),
    Key::new("claim_after", Kind::Duration),
];

/// The keys of `[[sink]]`.
pub(super) const SINK: &[Key] = &[
    Key::new("name", Kind::Text),
    Key::required("channels", Kind::Texts),
    Key::required("url", Kind::Secret),
    Key::new("secret", Kind::Secret),
    Key::new("exchange", Kind::Text),
    Key::new("routing_key", Kind::Text),
    Key::new("stream", Kind::Text),
    Key::new("max_length", Kind::Integer),
    Key::new("headers", Kind::Pairs),
    Key::new("timeout", Kind::Duration),
    Key::new("retry", Kind::Texts),
    Key::new("parallel", Kind::Integer),
    Key::new("ordered", Kind::Bool),
    Key::new("allow_private", Kind::Bool),
    Key::new("server_ca_pem_file", Kind::Text),
    Key::new("queue_max_count", Kind::Integer),
    Key::new("queue_max_size", Kind::Integer),
    Key::new("dead_letters", Kind::Text),
];
