//! The NATS driver.

use std::sync::Arc;

use jackfield_bridge::{Queue, QueueError};
use jackfield_brokers::{Job, Options, Wanted, dead_letters, open};
use jackfield_testkit::queue_contract::{self, Bench};
use jackfield_testkit::servers::NatsServer;

use crate::letters::letters;
use crate::nats_app::NatsApp;
use crate::options;

/// Opens queues on a server, with names of their own for each test.
fn opener(server: &NatsServer, prefix: &'static str) -> impl Fn(&str) -> Arc<dyn Queue> + use<> {
    let url = server.url();
    move |node| open("nats", &url, options(prefix, node)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_while_all_is_well() {
    let server = NatsServer::started();
    let mut app = NatsApp::new(&server.url(), "well");
    queue_contract::run(&mut Bench { app: &mut app, open: &opener(&server, "well") }).await;
    queue_contract::depth(&mut Bench { app: &mut app, open: &opener(&server, "well") }, true).await;
    let mut app = NatsApp::new(&server.url(), "nodes");
    queue_contract::two_nodes(&mut Bench { app: &mut app, open: &opener(&server, "nodes") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses() {
    let server = NatsServer::started();
    let mut app = NatsApp::new(&server.url(), "full");
    let url = server.url();
    let small = move |node: &str| open("nats", &url, Options { max_backlog: 10, ..options("full", node) }).unwrap();
    queue_contract::full(&mut Bench { app: &mut app, open: &small }).await;
    let other = Options { max_backlog: 11, ..options("full", "other") };
    let error = open("nats", &server.url(), other).unwrap().receive().await.unwrap_err();
    assert!(matches!(&error, QueueError::Refused(text) if text.contains("app_link.max_backlog")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_costs_nothing_that_was_acknowledged() {
    let mut server = NatsServer::started();
    let mut app = NatsApp::new(&server.url(), "restart");
    let open = opener(&server, "restart");
    queue_contract::restart(&mut Bench { app: &mut app, open: &open }, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer_is_noticed() {
    let server = NatsServer::started();
    let mut app = NatsApp::new(&server.url(), "frozen");
    let open = opener(&server, "frozen");
    let mut bench = Bench { app: &mut app, open: &open };
    queue_contract::frozen(&mut bench, || server.freeze(), || server.thaw()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_come_late() {
    let mut server = NatsServer::stopped();
    let mut app = NatsApp::new(&server.url(), "late");
    let open = opener(&server, "late");
    queue_contract::down_at_start(&mut Bench { app: &mut app, open: &open }, &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_node_is_told() {
    let server = NatsServer::started();
    let mut app = NatsApp::new(&server.url(), "lost");
    queue_contract::lost_nodes(&mut Bench { app: &mut app, open: &opener(&server, "lost") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_put_back_and_dropped() {
    let server = NatsServer::started();
    let mut app = NatsApp::new(&server.url(), "letters");
    let dead = dead_letters("nats", &server.url(), options("letters", "dead")).unwrap();
    let mut done = Vec::new();
    dead.settle(&Wanted::default(), Job::List, &mut done).await.unwrap();
    assert!(done.is_empty(), "where nobody has been yet there are none");
    letters(&mut Bench { app: &mut app, open: &opener(&server, "letters") }, &*dead).await;
}
