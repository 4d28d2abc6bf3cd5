//! The RabbitMQ driver. One test starts one server, because a server takes its time.

use std::sync::Arc;

use jackfield_bridge::{Queue, QueueError};
use jackfield_brokers::{Options, dead_letters, open};
use jackfield_testkit::queue_contract::{self, Bench};
use jackfield_testkit::servers::RabbitServer;

use crate::letters::letters;
use crate::options;
use crate::rabbit_app::RabbitApp;

/// Opens queues on a server, with names of their own for each part.
fn opener(server: &RabbitServer, prefix: &'static str) -> impl Fn(&str) -> Arc<dyn Queue> + use<> {
    let url = server.url();
    move |node| open("rabbitmq", &url, options(prefix, node)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_contract() {
    let mut server = RabbitServer::stopped();
    let mut app = RabbitApp::new(&server, "late", 100_000);
    let late = opener(&server, "late");
    queue_contract::down_at_start(&mut Bench { app: &mut app, open: &late }, &mut server).await;

    let mut app = RabbitApp::new(&server, "well", 100_000);
    queue_contract::run(&mut Bench { app: &mut app, open: &opener(&server, "well") }).await;
    queue_contract::depth(&mut Bench { app: &mut app, open: &opener(&server, "well") }, false).await;

    let mut app = RabbitApp::new(&server, "letters", 100_000);
    let dead = dead_letters("rabbitmq", &server.url(), options("letters", "dead")).unwrap();
    letters(&mut Bench { app: &mut app, open: &opener(&server, "letters") }, &*dead).await;

    let mut app = RabbitApp::new(&server, "nodes", 100_000);
    queue_contract::two_nodes(&mut Bench { app: &mut app, open: &opener(&server, "nodes") }).await;

    let mut app = RabbitApp::new(&server, "full", 10);
    let url = server.url();
    let small = move |node: &str| open("rabbitmq", &url, Options { max_backlog: 10, ..options("full", node) }).unwrap();
    queue_contract::full(&mut Bench { app: &mut app, open: &small }).await;

    other_arguments_are_refused(&server).await;

    let mut app = RabbitApp::new(&server, "lost", 100_000);
    queue_contract::lost_nodes(&mut Bench { app: &mut app, open: &opener(&server, "lost") }).await;

    let mut app = RabbitApp::new(&server, "restart", 100_000);
    let open = opener(&server, "restart");
    queue_contract::restart(&mut Bench { app: &mut app, open: &open }, &mut server).await;
}

/// Queues that were declared with another limit: it is told what is wrong, and nothing is waited for.
async fn other_arguments_are_refused(server: &RabbitServer) {
    let other = Options { max_backlog: 11, ..options("full", "other") };
    let queue = open("rabbitmq", &server.url(), other).unwrap();
    let error = queue.receive().await.unwrap_err();
    assert!(matches!(&error, QueueError::Refused(text) if text.contains("x-max-length")), "{error}");
    queue.close().await;
    assert!(matches!(queue.receive().await, Err(QueueError::Unreachable(_))));
}
