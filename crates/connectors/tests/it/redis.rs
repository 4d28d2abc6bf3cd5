//! Redis: streams in groups, PUB/SUB, and streams that publications go into.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jackfield_connectors::{
    PatternSource, SinkKind, SinkOptions, Sinks, Source, SourceKind, StreamSink, StreamSource, Template, redis_address,
};
use jackfield_model::Content;
use jackfield_testkit::servers::{RedisServer, ServerControl};
use redis::aio::MultiplexedConnection;
use redis::{Client, Value, cmd};
use tokio::runtime::Handle;

use crate::world::{hub, kept, publish, read, source, texts, until};

async fn other(server: &RedisServer) -> MultiplexedConnection {
    Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
}

fn stream(server: &RedisServer, name: &str, consumer: &str, field: &str) -> StreamSource {
    StreamSource {
        client: redis_address(&server.url()).unwrap(),
        stream: name.to_owned(),
        group: "jackfield".to_owned(),
        consumer: consumer.to_owned(),
        is_lasting: false,
        field: field.to_owned(),
        claim_after: Duration::from_millis(500),
        batch: 50,
    }
}

fn up(source: &Source) -> bool {
    source.counters().up.load(Ordering::Relaxed)
}

async fn pending(connection: &mut MultiplexedConnection, name: &str) -> u64 {
    let summary: Vec<Value> = cmd("XPENDING").arg(name).arg("jackfield").query_async(connection).await.unwrap();
    match summary.first() {
        Some(Value::Int(count)) => u64::try_from(*count).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_become_publications() {
    let server = RedisServer::started();
    let (hub, mut other) = (hub(None), other(&server).await);
    let whole =
        source("whole", SourceKind::Stream(stream(&server, "prices", "one", "")), "kept:{stream}.{field:symbol}");
    let mut of_field = source("field", SourceKind::Stream(stream(&server, "blobs", "one", "body")), "kept:blobs");
    of_field.idempotency = true;
    let sources = [Source::new(whole), Source::new(of_field)];
    let reading = read(&sources, &hub);
    until("both", async || sources.iter().all(up)).await;
    let mut add = cmd("XADD");
    add.arg("prices").arg("*").arg("symbol").arg("EUR").arg("price").arg("1.09");
    add.exec_async(&mut other).await.unwrap();
    cmd("XADD").arg("prices").arg("*").arg("price").arg("1").exec_async(&mut other).await.unwrap();
    for body in [&b"\xff\x00"[..], b"text", b"[1]"] {
        cmd("XADD").arg("blobs").arg("*").arg("body").arg(body).exec_async(&mut other).await.unwrap();
    }
    until("all", async || kept(&hub, "kept:blobs").len() == 3 && !kept(&hub, "kept:prices.EUR").is_empty()).await;
    assert_eq!(texts(&hub, "kept:prices.EUR"), [r#"{"symbol":"EUR","price":"1.09"}"#]);
    let contents: Vec<Content> = kept(&hub, "kept:blobs").iter().map(|publication| publication.data.content).collect();
    assert_eq!(contents, [Content::Binary, Content::Text, Content::Json]);
    until("the end of all", async || pending(&mut other, "prices").await == 0).await;
    assert_eq!(sources[0].counters().refused.load(Ordering::Relaxed), 1, "an entry without a symbol");
    reading.stop(Duration::from_secs(10)).await;
    let consumers: Vec<Value> =
        cmd("XINFO").arg("CONSUMERS").arg("prices").arg("jackfield").query_async(&mut other).await.unwrap();
    assert!(consumers.is_empty(), "a consumer that never comes back is no consumer: {consumers:?}");
}

/// One reader goes away without a word, and then the server: what the one had, the other takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_loses_nothing() {
    const COUNT: usize = 2000;
    let mut server = RedisServer::started();
    let hub = hub(None);
    let make = |consumer: &str| {
        Source::new(source(consumer, SourceKind::Stream(stream(&server, "numbers", consumer, "n")), "kept:numbers"))
    };
    let sources = [make("one"), make("two")];
    let (one, mut two) = (read(&sources[..1], &hub), Some(read(&sources[1..], &hub)));
    until("both", async || sources.iter().all(up)).await;
    let mut other = other(&server).await;
    // What somebody had and never finished.
    cmd("XADD").arg("numbers").arg("*").arg("n").arg("0").exec_async(&mut other).await.unwrap();
    for n in 1..COUNT {
        cmd("XADD").arg("numbers").arg("*").arg("n").arg(n.to_string()).exec_async(&mut other).await.unwrap();
        if n == COUNT / 2 {
            two.take().unwrap().stop(Duration::ZERO).await;
        }
    }
    server.stop();
    server.start();
    let mut other = crate::redis::other(&server).await;
    let mut add = cmd("XADD");
    add.arg("numbers").arg("*").arg("n").arg(COUNT.to_string()).exec_async(&mut other).await.unwrap();
    until("all", async || texts(&hub, "kept:numbers").iter().collect::<BTreeSet<_>>().len() == COUNT + 1).await;
    until("the end of all", async || pending(&mut other, "numbers").await == 0).await;
    // The stream is deleted under the group: what comes next is not lost.
    cmd("DEL").arg("numbers").exec_async(&mut other).await.unwrap();
    cmd("XADD").arg("numbers").arg("*").arg("n").arg("after").exec_async(&mut other).await.unwrap();
    until("what came after", async || texts(&hub, "kept:numbers").contains(&"after".to_owned())).await;
    one.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_consumer_never_finished_is_taken_over() {
    let server = RedisServer::started();
    let (hub, mut other) = (hub(None), other(&server).await);
    let mut create = cmd("XGROUP");
    create.arg("CREATE").arg("left").arg("jackfield").arg("0").arg("MKSTREAM").exec_async(&mut other).await.unwrap();
    cmd("XADD").arg("left").arg("*").arg("n").arg("1").exec_async(&mut other).await.unwrap();
    let mut take = cmd("XREADGROUP");
    take.arg("GROUP").arg("jackfield").arg("gone").arg("STREAMS").arg("left").arg(">");
    take.exec_async(&mut other).await.unwrap();
    let sources = [Source::new(source("left", SourceKind::Stream(stream(&server, "left", "one", "n")), "kept:left"))];
    let reading = read(&sources, &hub);
    until("what was left", async || texts(&hub, "kept:left") == ["1"]).await;
    reading.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_are_heard_and_heard_again() {
    let mut server = RedisServer::started();
    let hub = hub(None);
    let pattern = PatternSource { client: redis_address(&server.url()).unwrap(), pattern: "news:*".to_owned() };
    let sources = [Source::new(source("news", SourceKind::Pattern(pattern), "kept:{channel}"))];
    assert!(sources[0].needs_one_node());
    let reading = read(&sources, &hub);
    until("the source", async || up(&sources[0])).await;
    for round in ["1", "2"] {
        let mut other = other(&server).await;
        for (channel, data) in [("news:eu", round), ("old:eu", "no"), ("news:a b", "no")] {
            cmd("PUBLISH").arg(channel).arg(data).exec_async(&mut other).await.unwrap();
        }
        until("it", async || texts(&hub, "kept:news:eu").last().is_some_and(|last| last == round)).await;
        if round == "1" {
            server.stop();
            until("the end", async || !up(&sources[0])).await;
            server.start();
            until("the source again", async || up(&sources[0])).await;
        }
    }
    assert_eq!(texts(&hub, "kept:news:eu"), ["1", "2"]);
    reading.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_are_entries_of_a_stream_through_an_outage() {
    const COUNT: usize = 1000;
    let mut server = RedisServer::started();
    let sink = StreamSink {
        client: redis_address(&server.url()).unwrap(),
        stream: Template::parse("out:{channel}").unwrap(),
        max_length: 0,
    };
    let sinks = Arc::new(Sinks::new(vec![SinkOptions {
        name: "out".to_owned(),
        channels: vec!["kept:*".to_owned()],
        kind: SinkKind::Stream(sink),
        most: COUNT,
        most_bytes: 1 << 20,
        dead_letters: None,
        origin: "/jackfield".to_owned(),
    }]));
    let hub = hub(Some(Arc::clone(&sinks) as _));
    let sending = sinks.start(&Handle::current()).unwrap();
    for n in 0..COUNT {
        publish(&hub, "kept:x", &n.to_string());
        if n == COUNT / 2 {
            server.stop();
        }
    }
    server.start();
    let mut other = other(&server).await;
    until("the end", async || sinks.figures().all(|(_, _, (waiting, _))| waiting == 0)).await;
    let entries: Vec<(String, Vec<String>)> =
        cmd("XRANGE").arg("out:kept:x").arg("-").arg("+").query_async(&mut other).await.unwrap();
    let mut seen = BTreeSet::new();
    let numbers = entries.iter().map(|(_, fields)| fields.last().unwrap().parse::<usize>().unwrap());
    let first: Vec<usize> = numbers.filter(|n| seen.insert(*n)).collect();
    assert_eq!(first, (0..COUNT).collect::<Vec<_>>(), "all of them, the first of each in order");
    let names: Vec<&str> = entries[0].1.iter().step_by(2).map(String::as_str).collect();
    assert_eq!(names, ["id", "type", "channel", "time", "offset", "epoch", "content", "data"]);
    sending.stop(Duration::from_secs(10)).await;
}
