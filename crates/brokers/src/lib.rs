//! The only rooms that name a product: Redis, RabbitMQ, NATS and the embedded queue.
//!
//! Each driver keeps the contract of [`jackfield_bridge::Queue`] and the wire form of `spec/app-link.md`; the suite in
//! `testkit::queue_contract` runs against all of them. A driver connects by itself and again after every loss: while
//! its server is down each call ends soon with [`jackfield_bridge::QueueError::Unreachable`].

mod batch;
mod command_fields;
mod dead;
pub mod embedded;
mod event_fields;
mod keys;
mod nats;
mod nats_broker;
mod node_log;
mod rabbitmq;
mod rabbitmq_broker;
pub mod redis;
mod redis_broker;
mod registry;

pub use dead::{DeadLetters, Done, Job, Letter, Wanted, dead_letters};
pub use nats_broker::nats_engine;
pub use node_log::Retention;
pub use rabbitmq_broker::rabbitmq_engine;
pub use redis_broker::RedisEngine;
pub use registry::{OpenError, Options, open};
