//! NATS: subjects with wildcards, shared in a group, through a restart.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jackfield_connectors::{Source, SourceKind, SubjectSource, nats_address};
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
