//! The web application's end of a queue in NATS, with a stock client.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::{Config, Stream};
use async_nats::jetstream::{self, Context, stream};
use async_nats::{Client, HeaderMap, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream as _;
use jackfield_testkit::queue_contract::{AppSide, Fields, SentCommand};

/// The client comes back by itself; its consumer is made anew with each use.
pub(crate) struct NatsApp {
    url: String,
    prefix: String,
    client: Option<Client>,
    replies: Option<Subscriber>,
}

impl NatsApp {
    pub(crate) fn new(url: &str, prefix: &str) -> Self {
        Self { url: url.to_owned(), prefix: prefix.to_owned(), client: None, replies: None }
    }

    async fn client(&mut self) -> Client {
        if self.client.is_none() {
            let client = async_nats::connect(&self.url).await.unwrap();
            // Both sides declare, so either may come first.
            let config = stream::Config {
                name: self.stream("commands"),
                subjects: vec![format!("{}.commands.*", self.prefix)],
                retention: stream::RetentionPolicy::WorkQueue,
                duplicate_window: Duration::from_secs(300),
                ..stream::Config::default()
            };
            jetstream::new(client.clone()).create_stream(config).await.unwrap();
            self.client = Some(client);
        }
        self.client.clone().unwrap()
    }

    async fn context(&mut self) -> Context {
        jetstream::new(self.client().await)
    }

    fn stream(&self, what: &str) -> String {
        format!("{}_{what}", self.prefix)
    }

    async fn publish(&mut self, command: &SentCommand, reply_to: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert("v", "1");
        headers.insert("id", encoded(&command.id));
        headers.insert("method", encoded(&command.method));
        if let Some(reply_to) = reply_to {
            headers.insert("reply_to", reply_to);
        }
        let subject = format!("{}.commands.{}", self.prefix, command.partition);
        let context = self.context().await;
        let sent = context.publish_with_headers(subject, headers, command.payload.clone()).await;
        sent.unwrap().await.unwrap();
    }
}

/// What Python's `urllib.parse.quote` makes of a text.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-~/".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((byte, after)) = rest.split_first() {
        if *byte == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    bytes
}

fn fields(headers: Option<&HeaderMap>, body: (&str, &Bytes)) -> Fields {
    let mut fields: Fields = BTreeMap::new();
    for (name, values) in headers.unwrap().iter() {
        let name: &str = name.as_ref();
        if !name.starts_with("Nats-") {
            fields.insert(name.to_owned(), decoded(values[0].as_str()));
        }
    }
    if !body.1.is_empty() {
        fields.insert(body.0.to_owned(), body.1.to_vec());
    }
    fields
}

async fn next(stream: &mut Stream) -> Option<jetstream::Message> {
    let next = std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context));
    tokio::time::timeout(Duration::from_secs(5), next).await.ok()??.ok()
}

#[async_trait]
impl AppSide for NatsApp {
    async fn send(&mut self, commands: &[SentCommand]) {
        for command in commands {
            self.publish(command, None).await;
        }
    }

    async fn ask(&mut self, command: &SentCommand) {
        let client = self.client().await;
        let inbox = client.new_inbox();
        self.replies = Some(client.subscribe(inbox.clone()).await.unwrap());
        client.flush().await.unwrap();
        self.publish(command, Some(&inbox)).await;
    }

    async fn reply(&mut self) -> Bytes {
        let replies = self.replies.as_mut().unwrap();
        std::future::poll_fn(|context| Pin::new(&mut *replies).poll_next(context)).await.unwrap().payload
    }

    async fn events(&mut self, count: usize) -> Vec<Fields> {
        let (context, stream) = (self.context().await, self.stream("events"));
        let mut events = Vec::new();
        while events.len() < count {
            let config =
                Config { durable_name: Some("app".to_owned()), ack_policy: AckPolicy::Explicit, ..Config::default() };
            let Ok(consumer) = context.create_consumer_on_stream(config, &stream).await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            // One at a time, so that none is under way to nobody when enough are there.
            let mut messages = consumer.stream().max_messages_per_batch(1).messages().await.unwrap();
            while events.len() < count
                && let Some(message) = next(&mut messages).await
            {
                events.push(fields(message.headers.as_ref(), ("data", &message.payload)));
                message.double_ack().await.unwrap();
            }
        }
        events
    }

    async fn answer(&mut self, call: &Fields, body: &str) {
        let client = self.client().await;
        let reply_to = String::from_utf8(call["reply_to"].clone()).unwrap();
        client.publish(reply_to, Bytes::from(body.to_owned())).await.unwrap();
        client.flush().await.unwrap();
    }

    async fn dead(&mut self, count: usize) -> Vec<Fields> {
        let (context, name) = (self.context().await, self.stream("dead"));
        loop {
            if let Ok(mut stream) = context.get_stream(&name).await {
                let state = stream.info().await.unwrap().state.clone();
                if state.messages as usize >= count {
                    let mut letters = Vec::new();
                    for sequence in state.first_sequence.max(1)..=state.last_sequence {
                        let letter = stream.get_raw_message(sequence).await.unwrap();
                        letters.push(fields(Some(&letter.headers), ("payload", &letter.payload)));
                    }
                    return letters;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn bury_event(&mut self, event: &[(&str, &str)], reason: &str) {
        let (mut headers, mut data) = (HeaderMap::new(), Bytes::new());
        headers.insert("reason", encoded(reason));
        for (name, value) in event {
            match *name {
                "data" => data = Bytes::from((*value).to_owned()),
                name => headers.insert(name, encoded(value)),
            }
        }
        let subject = format!("{}.dead.app", self.prefix);
        let context = self.context().await;
        context.publish_with_headers(subject, headers, data).await.unwrap().await.unwrap();
    }

    async fn commands_left(&mut self) -> usize {
        let (context, name) = (self.context().await, self.stream("commands"));
        let mut stream = context.get_stream(&name).await.unwrap();
        stream.info().await.unwrap().state.messages as usize
    }
}
