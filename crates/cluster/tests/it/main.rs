//! The engine of one process keeps the contract too.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod counts;
mod nodes;
mod schedule;

use std::sync::Arc;

use jackfield_cluster::{Engine, MemoryBus};
use jackfield_testkit::broker_contract;

#[tokio::test]
async fn the_contract_in_memory() {
    let bus = MemoryBus::default();
    let open = move |node: &str| -> Arc<dyn Engine> { Arc::new(bus.engine(node)) };
    broker_contract::run(&open).await;
    broker_contract::interrupted(&open).await;
}
