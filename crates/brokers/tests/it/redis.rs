//! The Redis driver.

use std::sync::Arc;

use jackfield_bridge::Queue;
use jackfield_brokers::{OpenError, Options, dead_letters, open};
use jackfield_testkit::queue_contract::{self, Bench};
use jackfield_testkit::servers::RedisServer;

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
