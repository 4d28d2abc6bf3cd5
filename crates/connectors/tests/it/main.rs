//! Sources and sinks against real engines and a receiver that has its moods.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod feed;
mod nats;
mod rabbitmq;
mod receiver;
mod redis;
mod webhook;
mod world;
