//! Each driver against the contract of queues, with real servers.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod embedded;
mod letters;
mod nats;
mod nats_app;
mod nats_broker;
mod node_logs;
mod rabbit_app;
mod rabbitmq;
mod rabbitmq_broker;
mod redis;
mod redis_app;
mod redis_broker;
mod redis_places;

use jackfield_brokers::Options;

/// Options of a node whose names in the queue start with `prefix`.
fn options(prefix: &str, node: &str) -> Options {
    Options { prefix: prefix.to_owned(), node: node.to_owned(), ..Options::default() }
}
