//! NATS: subjects with wildcards, shared in a group, through a restart; streams that wait for whoever reads them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream};
use jackfield_connectors::{JetStreamSource, Source, SourceKind, SubjectSource, nats_address};
use jackfield_testkit::servers::{NatsServer, ServerControl};

use crate::world::{hub, kept, read, source, texts, until};

fn subject(server: &NatsServer, name: &str, group: &str) -> Source {
    let server = nats_address(&server.url()).unwrap();
    let from = SubjectSource { server, subject: "ticks.>".to_owned(), group: group.to_owned() };
    Source::new(source(name, SourceKind::Subject(from), "kept:{subject}"))
}

fn up(source: &Source) -> bool {
    source.counters().up.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subjects_are_read_once_by_a_group_and_again_after_a_restart() {
    let mut server = NatsServer::started();
    let hub = hub(None);
    let sources = [subject(&server, "one", "nodes"), subject(&server, "two", "nodes")];
    assert!(!sources[0].needs_one_node() && subject(&server, "alone", "").needs_one_node());
    let reading = read(&sources, &hub);
    for round in 1..3 {
        until("both", async || sources.iter().all(up)).await;
        let other = async_nats::connect(server.url()).await.unwrap();
        // It has passed the server when its answer is there; subscriptions that came before are known by then.
        until("the subscriptions", async || {
            other.publish(format!("ticks.first{round}"), "1".into()).await.unwrap();
            other.flush().await.unwrap();
            !kept(&hub, &format!("kept:ticks.first{round}")).is_empty()
        })
        .await;
        for n in 0..100 {
            other.publish(format!("ticks.{round}"), n.to_string().into()).await.unwrap();
        }
        other.publish("elsewhere", "no".into()).await.unwrap();
        other.flush().await.unwrap();
        until("all", async || kept(&hub, &format!("kept:ticks.{round}")).len() >= 100).await;
        let mut all: Vec<u32> =
            texts(&hub, &format!("kept:ticks.{round}")).iter().map(|text| text.parse().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>(), "each by one of the group");
        if round == 1 {
            server.stop();
            until("the end", async || !sources.iter().any(up)).await;
            server.start();
        }
    }
    reading.stop(Duration::from_secs(10)).await;
}

fn orders(server: &NatsServer, name: &str, channel: &str) -> Source {
    let from = JetStreamSource {
        server: nats_address(&server.url()).unwrap(),
        stream: "ORDERS".to_owned(),
        subject: "orders.>".to_owned(),
        group: "nodes".to_owned(),
        batch: 10,
    };
    Source::new(source(name, SourceKind::JetStream(from), channel))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_waited_for_and_loses_nothing_while_nobody_reads_or_the_server_is_gone() {
    let mut server = NatsServer::started();
    let hub = hub(None);
    let one = [orders(&server, "one", "kept:{header:room}")];
    let reading = read(&one, &hub);
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = jetstream::new(client.clone());
    let subjects = vec!["orders.>".to_owned(), "other".to_owned()];
    let config = stream::Config { name: "ORDERS".to_owned(), subjects, ..stream::Config::default() };
    context.create_stream(config).await.unwrap();
    let say = async |subject: &str, room: &str, body: String| {
        let mut headers = HeaderMap::new();
        headers.insert("room", room);
        context.publish_with_headers(subject.to_owned(), headers, body.into()).await.unwrap().await.unwrap();
    };
    until("the stream", async || up(&one[0])).await;
    for n in 0..25 {
        say("orders.new", "a", n.to_string()).await;
    }
    // Neither of these is published: another subject, and no name of a channel.
    say("other", "a", "no".to_owned()).await;
    say("orders.new", "not a name", "no".to_owned()).await;
    say("orders.old", "a", "25".to_owned()).await;
    until("those", async || texts(&hub, "kept:a").len() == 26).await;
    until("the refusal", async || one[0].counters().refused.load(Ordering::Relaxed) == 1).await;
    reading.stop(Duration::from_secs(10)).await;
    for n in 26..50 {
        say("orders.new", "a", n.to_string()).await;
    }
    let two = [orders(&server, "two", "kept:{header:room}"), orders(&server, "three", "kept:{header:room}")];
    assert!(!two[0].needs_one_node());
    let reading = read(&two, &hub);
    until("what came meanwhile", async || texts(&hub, "kept:a").len() == 50).await;
    server.stop();
    until("the end", async || !two.iter().any(up)).await;
    server.start();
    until("both", async || two.iter().all(up)).await;
    until("the publisher", async || context.publish("orders.new", "x".into()).await.is_ok()).await;
    say("orders.new", "b", "last".to_owned()).await;
    until("the last", async || texts(&hub, "kept:b").contains(&"last".to_owned())).await;
    let mut all: Vec<u32> = texts(&hub, "kept:a").iter().map(|text| text.parse().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..50).collect::<Vec<_>>(), "each by one of the group");
    reading.stop(Duration::from_secs(10)).await;
}
