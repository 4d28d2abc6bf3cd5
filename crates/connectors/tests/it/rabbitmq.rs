//! RabbitMQ, with one server for all parts because a server takes its time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jackfield_connectors::{
    ExchangeSink, RabbitSource, SinkKind, SinkOptions, Sinks, Source, SourceKind, Template, amqp_address,
};
use jackfield_model::Content;
use jackfield_testkit::servers::{RabbitServer, ServerControl};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::runtime::Handle;

use crate::world::{hub, kept, publish, read, source, texts, until};

const DURABLE: QueueDeclareOptions =
    QueueDeclareOptions { passive: false, durable: true, exclusive: false, auto_delete: false, nowait: false };

/// Another system: it knows exchanges and queues, and nothing of us.
struct Other {
    _connection: Connection,
    channel: Channel,
}

impl Other {
    async fn connect(server: &RabbitServer) -> Self {
        let connection = Connection::connect(&server.url(), ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        Self { _connection: connection, channel }
    }

    async fn exchange(&self, name: &str) {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        self.channel.exchange_declare(name.into(), ExchangeKind::Topic, options, FieldTable::default()).await.unwrap();
    }

    async fn queue(&self, name: &str, arguments: FieldTable) {
        self.channel.queue_declare(name.into(), DURABLE, arguments).await.unwrap();
    }

    async fn publish(&self, (exchange, key): (&str, &str), body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions::default();
        let published = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await;
        published.unwrap().await.unwrap();
    }

    async fn get(&self, queue: &str) -> Option<lapin::message::BasicGetMessage> {
        self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await.unwrap()
    }
}

fn rabbit(server: &RabbitServer, exchange: &str, queue: &str, prefetch: u16) -> RabbitSource {
    RabbitSource {
        uri: amqp_address(&server.url()).unwrap(),
        exchange: exchange.to_owned(),
        routing_key: "eu.#".to_owned(),
        queue: queue.to_owned(),
        prefetch,
    }
}

fn up(source: &Source) -> bool {
    source.counters().up.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exchanges_and_queues_are_read_and_written() {
    let mut server = RabbitServer::started();
    an_exchange_by_pattern(&server).await;
    what_cannot_be_published_is_a_dead_letter(&server).await;
    a_queue_outlives_its_reader_and_its_server(&mut server).await;
    a_sink_waits_for_its_exchange(&mut server).await;
}

async fn an_exchange_by_pattern(server: &RabbitServer) {
    let hub = hub(None);
    let options = source("ticks", SourceKind::Rabbit(rabbit(server, "ticks", "", 16)), "kept:{routing_key}");
    let sources = [Source::new(options)];
    assert!(sources[0].needs_one_node());
    let reading = read(&sources, &hub);
    // The exchange comes after the source.
    let other = Other::connect(server).await;
    other.exchange("ticks").await;
    until("the source", async || up(&sources[0])).await;
    for (key, body) in
        [("eu.a", &b"{\"n\": 1}"[..]), ("us.a", b"not for us"), ("eu.a", b"plain"), ("eu.b c", b"1"), ("eu.a", b"\xff")]
    {
        other.publish(("ticks", key), body, BasicProperties::default()).await;
    }
    until("three publications", async || kept(&hub, "kept:eu.a").len() == 3).await;
    let contents: Vec<Content> = kept(&hub, "kept:eu.a").iter().map(|publication| publication.data.content).collect();
    assert_eq!(contents, [Content::Json, Content::Text, Content::Binary]);
    assert_eq!(kept(&hub, "kept:eu.a")[0].data.bytes, "{\"n\": 1}");
    assert_eq!(sources[0].counters().refused.load(Ordering::Relaxed), 1, "a blank in a routing key");
    reading.stop(Duration::from_secs(30)).await;
    assert!(!up(&sources[0]));
}

async fn what_cannot_be_published_is_a_dead_letter(server: &RabbitServer) {
    let (hub, other) = (hub(None), Other::connect(server).await);
    other.queue("dead", FieldTable::default()).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString("dead".into()));
    other.queue("orders", arguments).await;
    let mut options = source("orders", SourceKind::Rabbit(rabbit(server, "", "orders", 4)), "{header:channel}");
    options.idempotency = true;
    let sources = [Source::new(options)];
    assert!(!sources[0].needs_one_node());
    let mut to = FieldTable::default();
    to.insert("channel".into(), AMQPValue::LongString("kept-1".into()));
    // There is no namespace for names without one, and nobody may choose a namespace.
    let nowhere = BasicProperties::default().with_headers(to.clone());
    other.publish(("", "orders"), b"1", nowhere).await;
    to.insert("channel".into(), AMQPValue::LongString("kept:1".into()));
    other.publish(("", "orders"), b"2", BasicProperties::default().with_headers(to)).await;
    other.publish(("", "orders"), b"3", BasicProperties::default()).await;
    let reading = read(&sources, &hub);
    until("three dead letters", async || sources[0].counters().refused.load(Ordering::Relaxed) == 3).await;
    let mut dead = BTreeSet::new();
    until("the letters", async || {
        dead.extend(other.get("dead").await.map(|message| message.delivery.data));
        dead.len() == 3
    })
    .await;
    reading.stop(Duration::from_secs(30)).await;
}

/// Twice the reader goes away without a word and once the server: nothing is missing. The order is not looked at: RabbitMQ
/// hands out a message that comes while a reader is being lost before those that the reader had not had yet.
async fn a_queue_outlives_its_reader_and_its_server(server: &mut RabbitServer) {
    const COUNT: usize = 3000;
    let hub = hub(None);
    let options = source("lasting", SourceKind::Rabbit(rabbit(server, "lasting", "lasting-q", 64)), "kept:{header:to}");
    let sources = [Source::new(options)];
    {
        let other = Other::connect(server).await;
        other.exchange("lasting").await;
    }
    let reading = read(&sources, &hub);
    until("the source", async || up(&sources[0])).await;
    drop(reading);
    let other = Other::connect(server).await;
    let to = |id: usize| {
        let mut headers = FieldTable::default();
        headers.insert("to".into(), AMQPValue::LongString("x".into()));
        BasicProperties::default().with_headers(headers).with_delivery_mode(2).with_message_id(id.to_string().into())
    };
    for n in 0..COUNT {
        other.publish(("lasting", "eu.1"), n.to_string().as_bytes(), to(n)).await;
        if n == COUNT / 3 {
            let reading = read(&sources, &hub);
            until("some", async || kept(&hub, "kept:x").len() > 10).await;
            drop(reading);
        }
    }
    drop(other);
    let reading = read(&sources, &hub);
    until("half", async || kept(&hub, "kept:x").len() > COUNT / 2).await;
    server.stop();
    server.start();
    until("all", async || texts(&hub, "kept:x").iter().collect::<BTreeSet<_>>().len() == COUNT).await;
    reading.stop(Duration::from_secs(30)).await;
}

async fn a_sink_waits_for_its_exchange(server: &mut RabbitServer) {
    const COUNT: usize = 500;
    let sink = ExchangeSink {
        uri: amqp_address(&server.url()).unwrap(),
        exchange: "outward".to_owned(),
        routing_key: Template::parse("from.{channel}").unwrap(),
    };
    let sinks = Arc::new(Sinks::new(vec![SinkOptions {
        name: "outward".to_owned(),
        channels: vec!["kept:*".to_owned(), "plain:?".to_owned()],
        kind: SinkKind::Exchange(sink),
        most: 1000,
        most_bytes: 1 << 20,
        dead_letters: None,
        origin: "/jackfield".to_owned(),
    }]));
    let hub = hub(Some(Arc::clone(&sinks) as _));
    let sending = sinks.start(&Handle::current()).unwrap();
    // Nobody listens, nothing is kept, there is no exchange, and the server is gone for a while.
    server.stop();
    publish(&hub, "plain:1", "0");
    publish(&hub, "plain:11", "\"not for the sink\"");
    server.start();
    let other = Other::connect(server).await;
    other.exchange("outward").await;
    other.queue("outward-q", FieldTable::default()).await;
    let options = QueueBindOptions::default();
    let bound =
        other.channel.queue_bind("outward-q".into(), "outward".into(), "#".into(), options, FieldTable::default());
    bound.await.unwrap();
    for n in 1..COUNT {
        publish(&hub, "kept:x", &n.to_string());
    }
    let mut came = Vec::new();
    until("all", async || {
        while let Some(message) = other.get("outward-q").await {
            let delivery = message.delivery;
            came.push((delivery.routing_key.to_string(), String::from_utf8_lossy(&delivery.data).into_owned()));
        }
        sinks.figures().all(|(_, _, (waiting, _))| waiting == 0) && came.len() >= COUNT - 1
    })
    .await;
    let kept: Vec<usize> =
        came.iter().filter(|(key, _)| key == "from.kept:x").map(|(_, data)| data.parse().unwrap()).collect();
    assert_eq!(kept.iter().collect::<BTreeSet<_>>().len(), COUNT - 1);
    let mut seen = BTreeSet::new();
    assert!(kept.iter().filter(|n| seen.insert(**n)).is_sorted());
    assert!(came.iter().all(|(_, data)| !data.contains("not for")));
    let (_, counters, waiting) = sinks.figures().next().unwrap();
    assert_eq!((counters.delivered.load(Ordering::Relaxed), waiting), (COUNT as u64, (0, 0)));
    assert!(counters.failed.load(Ordering::Relaxed) > 0);
    sending.stop(Duration::from_secs(10)).await;
}
