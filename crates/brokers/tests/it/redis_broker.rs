//! Redis between nodes: the contract on one server, behind sentinels and in a cluster.

use std::sync::Arc;

use jackfield_brokers::RedisEngine;
use jackfield_cluster::Engine;
use jackfield_testkit::broker_contract;
use jackfield_testkit::servers::{RedisCluster, RedisSentinels, RedisServer};

fn opener(url: String) -> impl Fn(&str) -> Arc<dyn Engine> {
    move |node| Arc::new(RedisEngine::open(&url, "test", node, None).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_on_one_server() {
    let mut server = RedisServer::started();
    let open = opener(server.url());
    broker_contract::run(&open).await;
    broker_contract::interrupted(&open).await;
    // The test's server writes each command to the disk before it confirms it.
    broker_contract::restart(&open, &mut server, true).await;
}

/// A node may stand still between its look at the clock and its words to Redis. What then comes late has been sent by
/// another node, which was handed the same command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_long_on_its_way_is_not_taken_twice() {
    let server = RedisServer::started();
    let open = opener(server.url());
    broker_contract::late(&open, || server.freeze(), || server.thaw()).await;
}

/// The list of what was taken is made when it is asked for, and lives for a minute: without it another one is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_is_known_when_its_list_is_gone() {
    let server = RedisServer::started();
    let open = opener(server.url());
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let lose = async || {
        let lists: Vec<String> = redis::cmd("KEYS").arg("*:taken:*").query_async(&mut connection).await.unwrap();
        assert_eq!(lists.len(), 1, "{lists:?}");
        let life: i64 = redis::cmd("PTTL").arg(&lists).query_async(&mut connection).await.unwrap();
        assert!((1..=60_000).contains(&life), "{life}");
        let () = redis::cmd("DEL").arg(&lists).query_async(&mut connection).await.unwrap();
    };
    broker_contract::sent_again(&open, lose).await;
}

/// A busy channel may not fill the server's memory with it: a list that is too long is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_what_was_taken_has_a_bound() {
    let server = RedisServer::started();
    let open = opener(server.url());
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut other = connection.clone();
    let fill = async || {
        let lists: Vec<String> = redis::cmd("KEYS").arg("*:taken:*").query_async(&mut connection).await.unwrap();
        for thousand in 0..40 {
            let ids = (0..1000).map(|n| (format!("{thousand}-{n}"), n)).collect::<Vec<(String, u32)>>();
            let () = redis::cmd("HSET").arg(&lists).arg(ids).query_async(&mut connection).await.unwrap();
        }
    };
    broker_contract::sent_again(&open, fill).await;
    let lists: Vec<String> = redis::cmd("KEYS").arg("*:taken:*").query_async(&mut other).await.unwrap();
    assert_eq!(lists, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_behind_sentinels() {
    let servers = RedisSentinels::started();
    let open = opener(servers.url());
    broker_contract::run(&open).await;
    broker_contract::interrupted(&open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_in_a_cluster() {
    let cluster = RedisCluster::started(3, 0);
    let open = opener(cluster.url());
    broker_contract::run(&open).await;
    broker_contract::interrupted(&open).await;
}
