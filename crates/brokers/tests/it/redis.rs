//! The Redis driver.

use std::sync::Arc;
use std::time::Duration;

use jackfield_bridge::{Delivery, Queue};
use jackfield_brokers::{OpenError, Options, dead_letters, open};
use jackfield_testkit::queue_contract::{self, AppSide, Bench, SentCommand};
use jackfield_testkit::servers::RedisServer;
use redis::{Value, cmd};

use crate::letters::letters;
use crate::options;
use crate::redis_app::RedisApp;

/// Opens queues on a server, with names of their own for each test.
fn opener(server: &RedisServer, prefix: &'static str) -> impl Fn(&str) -> Arc<dyn Queue> + use<> {
    let url = server.url();
    move |node| open("redis", &url, options(prefix, node)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_while_all_is_well() {
    let server = RedisServer::started();
    let mut app = RedisApp::new(&server.url(), "well");
    queue_contract::run(&mut Bench { app: &mut app, open: &opener(&server, "well") }).await;
    queue_contract::depth(&mut Bench { app: &mut app, open: &opener(&server, "well") }, true).await;
    let mut app = RedisApp::new(&server.url(), "nodes");
    queue_contract::two_nodes(&mut Bench { app: &mut app, open: &opener(&server, "nodes") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses() {
    let server = RedisServer::started();
    let mut app = RedisApp::new(&server.url(), "full");
    let url = server.url();
    let small = move |node: &str| open("redis", &url, Options { max_backlog: 10, ..options("full", node) }).unwrap();
    queue_contract::full(&mut Bench { app: &mut app, open: &small }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_costs_nothing_that_was_acknowledged() {
    let mut server = RedisServer::started();
    let mut app = RedisApp::new(&server.url(), "restart");
    let open = opener(&server, "restart");
    queue_contract::restart(&mut Bench { app: &mut app, open: &open }, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_noticed() {
    let server = RedisServer::started();
    let mut app = RedisApp::new(&server.url(), "frozen");
    let open = opener(&server, "frozen");
    let mut bench = Bench { app: &mut app, open: &open };
    queue_contract::frozen(&mut bench, || server.freeze(), || server.thaw()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_come_late() {
    let mut server = RedisServer::stopped();
    let mut app = RedisApp::new(&server.url(), "late");
    let open = opener(&server, "late");
    queue_contract::down_at_start(&mut Bench { app: &mut app, open: &open }, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_node_is_told() {
    let server = RedisServer::started();
    let mut app = RedisApp::new(&server.url(), "lost");
    queue_contract::lost_nodes(&mut Bench { app: &mut app, open: &opener(&server, "lost") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_the_partitions() {
    let server = RedisServer::started();
    let mut app = RedisApp::new(&server.url(), "shares");
    queue_contract::shares(&mut Bench { app: &mut app, open: &opener(&server, "shares") }).await;
}

/// A node that stood still (stopped, cut off) may have a read under way, or send one, when another node has its partition.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_a_node_that_lost_its_lease_takes_nothing() {
    let server = RedisServer::started();
    let (mut app, open) = (RedisApp::new(&server.url(), "fence"), opener(&server, "fence"));
    let command = |id: usize| SentCommand {
        partition: 0,
        id: id.to_string(),
        method: "publish".to_owned(),
        payload: "{}".into(),
    };
    app.send(&[0, 1, 2].map(command)).await;

    let first = open("first");
    let taken = received(&*first, 3).await;
    assert!(taken.iter().all(|delivery| !delivery.again), "{taken:?}");
    first.acknowledge(&[taken[0].receipt]).await.unwrap();
    first.close().await;

    // What the first node would have under way.
    let stale = || {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg("jackfield-first").arg("jackfield").arg("BLOCK").arg(20_000);
        read.arg("STREAMS").arg("{fence:0}:commands").arg(">").to_owned()
    };
    let mut connection = app.connection().await;
    let blocked = tokio::spawn(async move { connection.ask::<Value>(&stale()).await });
    let second = open("second");
    let again = received(&*second, 2).await;
    let ids = |deliveries: &[Delivery]| deliveries.iter().map(|one| (one.id.clone(), one.again)).collect::<Vec<_>>();
    assert_eq!(ids(&again), [("1".to_owned(), true), ("2".to_owned(), true)]);
    let refused = blocked.await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Some("NOGROUP"), "{refused}");
    let refused = app.connection().await.ask::<Value>(&stale()).await.unwrap_err();
    assert_eq!(refused.code(), Some("NOGROUP"), "{refused}");

    let sent: Vec<SentCommand> = (3..200).map(command).collect();
    app.send(&sent).await;
    let news = received(&*second, sent.len()).await;
    assert_eq!(ids(&news), (3..200).map(|id| (id.to_string(), false)).collect::<Vec<_>>());
    second.close().await;
}

/// The next deliveries.
async fn received(queue: &dyn Queue, count: usize) -> Vec<Delivery> {
    let mut found = Vec::new();
    while found.len() < count {
        let receiving = tokio::time::timeout(Duration::from_secs(30), queue.receive());
        found.extend(receiving.await.expect("deliveries").unwrap());
    }
    found
}

#[test]
fn what_is_wrong_is_named() {
    let options = Options::default;
    let error = |driver, url, options| open(driver, url, options).err().unwrap();
    let unknown = error("kafka", "", options());
    assert_eq!(unknown, OpenError::Driver("kafka".to_owned()));
    assert!(unknown.to_string().contains("embedded, nats, rabbitmq, redis"));
    assert_eq!(error("embedded", "", options()), OpenError::NoServer);
    let url = error("redis", "http://u:secret@host", options()).to_string();
    assert!(url.contains("redis://") && !url.contains("secret"), "{url}");
    let wrong = Options { partitions: 0, ..options() };
    assert_eq!(error("redis", "redis://host", wrong).to_string(), "partitions must be a number from 1 to 1024");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_put_back_and_dropped() {
    let server = RedisServer::started();
    let mut app = RedisApp::new(&server.url(), "letters");
    let dead = dead_letters("redis", &server.url(), options("letters", "dead")).unwrap();
    letters(&mut Bench { app: &mut app, open: &opener(&server, "letters") }, &*dead).await;
}
