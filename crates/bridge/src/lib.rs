//! The queue door of the web application: events and calls out, commands and answers in.

pub mod queue;

pub use queue::{Delivery, Queue, QueueError, Receipt};
