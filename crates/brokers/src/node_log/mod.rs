//! Nodes that share logs: what is kept is appended to one of a few logs that every node reads from its beginning. Who reads
//! the same records in the same order knows the same, so nobody needs to be asked for a number. What is not kept goes to
//! groups of channels. Products differ in how a log is written and read ([`Wire`]), and in nothing else.

mod desk;
mod engine;
mod keeper;
mod reader;
mod record;
mod session;
mod table;
mod wire;

pub(crate) use self::engine::LogEngine;
pub use self::wire::Retention;
pub(crate) use self::wire::{PARTITIONS, Plan, To, Wire};
