//! The hub from outside: a simulation of whole nodes, and every command of the application.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod control;
mod ends;
mod model;
mod occupancy;
mod simulation;
mod tap;
mod threads;
mod world;

use std::sync::Arc;

use jackfield_hub::{Mailbox, Wake};

/// Wakes nobody: the test looks into mailboxes when its schedule says so.
#[derive(Debug)]
struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

fn mailboxes(count: usize) -> Vec<Arc<Mailbox>> {
    (0..count).map(|_| Arc::new(Mailbox::new(Box::new(Nobody)))).collect()
}
