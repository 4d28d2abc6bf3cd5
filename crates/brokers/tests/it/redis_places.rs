//! The Redis driver on a cluster, behind sentinels, with TLS and with a user.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jackfield_bridge::{Queue, QueueError};
use jackfield_brokers::{Options, dead_letters, open};
use jackfield_testkit::queue_contract::{self, AppSide, Bench, SentCommand};
use jackfield_testkit::servers::{RedisCluster, RedisSentinels, RedisServer, ServerControl};
use redis::Client;

use crate::letters::letters;
use crate::options;
use crate::redis_app::RedisApp;

fn opener(url: String, prefix: &'static str) -> impl Fn(&str) -> Arc<dyn Queue> {
    move |node| open("redis", &url, options(prefix, node)).unwrap()
}

fn cluster_app(cluster: &RedisCluster, prefix: &str) -> RedisApp {
    RedisApp::cluster((0..3).map(|number| cluster.member_url(number)).collect(), prefix)
}

fn sentinel_app(sentinels: &Arc<std::sync::Mutex<RedisSentinels>>, prefix: &str) -> RedisApp {
    let sentinels = Arc::clone(sentinels);
    let find = move || Client::open(sentinels.lock().unwrap().master_url()?).ok();
    RedisApp::found(Box::new(find), prefix)
}

/// Commands of one partition, numbered.
fn commands(partition: u32, count: usize, start: &str) -> Vec<SentCommand> {
    let command = |number| SentCommand {
        partition,
        id: format!("{start}-{number:04}"),
        method: "publish".to_owned(),
        payload: "{}".into(),
    };
    (0..count).map(command).collect()
}

/// Receives and settles until all of these have come. Errors pass.
async fn drain(queue: &dyn Queue, mut wanted: BTreeSet<String>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !wanted.is_empty() {
        assert!(Instant::now() < deadline, "{wanted:?} did not come");
        match queue.receive().await {
            Ok(deliveries) => {
                let receipts: Vec<_> = deliveries.iter().map(|delivery| delivery.receipt).collect();
                let _ = queue.acknowledge(&receipts).await;
                deliveries.iter().for_each(|delivery| _ = wanted.remove(&delivery.id));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn ids(commands: &[SentCommand]) -> BTreeSet<String> {
    commands.iter().map(|command| command.id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_on_a_cluster() {
    let mut cluster = RedisCluster::started(3, 0);
    let mut app = cluster_app(&cluster, "well");
    let open_well = opener(cluster.url(), "well");
    queue_contract::run(&mut Bench { app: &mut app, open: &open_well }).await;
    queue_contract::depth(&mut Bench { app: &mut app, open: &open_well }, true).await;
    let mut app = cluster_app(&cluster, "letters");
    let dead = dead_letters("redis", &cluster.url(), options("letters", "dead")).unwrap();
    letters(&mut Bench { app: &mut app, open: &opener(cluster.url(), "letters") }, &*dead).await;
    let mut app = cluster_app(&cluster, "nodes");
    let open_nodes = opener(cluster.url(), "nodes");
    queue_contract::two_nodes(&mut Bench { app: &mut app, open: &open_nodes }).await;
    let mut app = cluster_app(&cluster, "full");
    let url = cluster.url();
    let small = move |node: &str| open("redis", &url, Options { max_backlog: 10, ..options("full", node) }).unwrap();
    queue_contract::full(&mut Bench { app: &mut app, open: &small }).await;
    let mut app = cluster_app(&cluster, "restart");
    let open_restart = opener(cluster.url(), "restart");
    queue_contract::restart(&mut Bench { app: &mut app, open: &open_restart }, &mut cluster).await;
    let mut app = cluster_app(&cluster, "lost");
    let open_lost = opener(cluster.url(), "lost");
    queue_contract::lost_nodes(&mut Bench { app: &mut app, open: &open_lost }).await;
    cluster.stop();
    let mut app = cluster_app(&cluster, "late");
    let open_late = opener(cluster.url(), "late");
    queue_contract::down_at_start(&mut Bench { app: &mut app, open: &open_late }, &mut cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_master_holds_up_its_own_partitions_only() {
    let mut cluster = RedisCluster::started(3, 0);
    let mut app = cluster_app(&cluster, "part");
    let queue = opener(cluster.url(), "part")("node");
    let place = |cluster: &RedisCluster, partition| cluster.master_of(&format!("{{part:{partition}}}:commands"));
    let lost = place(&cluster, 0);
    let other = (1..8).find(|partition| place(&cluster, *partition) != lost).unwrap();
    let (open, more) = (commands(0, 20, "lost"), commands(other, 20, "other"));
    app.send(&open).await;
    cluster.members()[lost].freeze();
    let seed = (0..3).find(|number| *number != lost).unwrap();
    RedisApp::cluster(vec![cluster.member_url(seed)], "part").send(&more).await;
    drain(&*queue, ids(&more)).await;
    cluster.members()[lost].thaw();
    drain(&*queue, ids(&open)).await;
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_behind_sentinels() {
    let sentinels = Arc::new(std::sync::Mutex::new(RedisSentinels::started()));
    let url = sentinels.lock().unwrap().url();
    let mut app = sentinel_app(&sentinels, "well");
    queue_contract::run(&mut Bench { app: &mut app, open: &opener(url.clone(), "well") }).await;
    let mut app = sentinel_app(&sentinels, "nodes");
    queue_contract::two_nodes(&mut Bench { app: &mut app, open: &opener(url.clone(), "nodes") }).await;
    let mut app = sentinel_app(&sentinels, "change");
    let mut change = Failover(Arc::clone(&sentinels));
    queue_contract::restart(&mut Bench { app: &mut app, open: &opener(url.clone(), "change") }, &mut change).await;
    let wrong = url.replace("/main", "/other");
    let error = open("redis", &wrong, options("x", "x")).unwrap().receive().await.unwrap_err();
    assert!(matches!(&error, QueueError::Refused(text) if text.contains("no master called \"other\"")), "{error}");
}

/// A server that is stopped by losing its master, and started by getting another one.
struct Failover(Arc<std::sync::Mutex<RedisSentinels>>);

impl ServerControl for Failover {
    fn stop(&mut self) {
        let mut sentinels = self.0.lock().unwrap();
        let master = sentinels.master().unwrap();
        sentinels.stores()[master].stop();
    }

    fn start(&mut self) {
        let mut sentinels = self.0.lock().unwrap();
        let lost = sentinels.stores().iter().position(|store| !store.runs()).unwrap();
        sentinels.wait_for_successor(lost);
        sentinels.stores()[lost].start();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_and_a_certificate() {
    let server = RedisServer::with_user();
    let mut app = RedisApp::new(&server.url(), "user");
    queue_contract::commands_in_order(&mut Bench { app: &mut app, open: &opener(server.url(), "user") }).await;
    let wrong = server.url().replace("jack:", "jill:");
    let error = open("redis", &wrong, options("x", "x")).unwrap().receive().await.unwrap_err();
    assert!(matches!(error, QueueError::Refused(_)), "{error}");

    let server = RedisServer::with_tls();
    let mut app = RedisApp::new(&server.plain_url(), "tls");
    let (url, ca_file) = (server.url(), server.authority());
    let open_tls =
        |node: &str| open("redis", &url, Options { ca_file: ca_file.clone(), ..options("tls", node) }).unwrap();
    queue_contract::commands_in_order(&mut Bench { app: &mut app, open: &open_tls }).await;
    queue_contract::answers(&mut Bench { app: &mut app, open: &open_tls }).await;
    let error = open("redis", &url, options("x", "x")).unwrap().receive().await.unwrap_err();
    assert!(matches!(&error, QueueError::Refused(text) if text.contains("app_link.ca_pem_file")), "{error}");
}
