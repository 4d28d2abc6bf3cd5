//! The servers that other tests rely on come up, fail and come back.

use jackfield_testkit::servers::{NatsServer, RedisCluster, RedisSentinels, RedisServer, ServerControl};

#[test]
fn a_lost_master_of_a_cluster_has_a_successor() {
    let mut cluster = RedisCluster::started(3, 1);
    let number = cluster.master_of("{x:1}:a");
    assert_eq!(number, cluster.master_of("{x:1}:b"));
    cluster.members()[number].stop();
    cluster.wait_for_successor(number);
    cluster.members()[number].start();
    cluster.stop();
    cluster.start();
}

#[test]
fn sentinels_choose_another_master() {
    let mut sentinels = RedisSentinels::started();
    let first = sentinels.master().expect("a master");
    sentinels.stores()[first].stop();
    sentinels.wait_for_successor(first);
    sentinels.stores()[first].start();
    assert_ne!(sentinels.master_url(), Some(format!("redis://127.0.0.1:{}", sentinels.stores()[first].port())));
}

#[test]
fn servers_that_ask_who_one_is() {
    assert!(RedisServer::with_user().url().starts_with("redis://jack:"));
    let server = RedisServer::with_tls();
    assert!(server.url().starts_with("rediss://") && server.authority().is_some_and(|file| file.exists()));
    let mut nats = NatsServer::started();
    nats.stop();
    nats.start();
}
