//! Durable history: the numbered publications of one node in files that only grow.
//!
//! What is written at once is one [frame](frame), safe as a whole or not there at all. Frames stand in segments; a
//! segment begins with a [head](header) that names the others, so that a missing file is found. What a channel keeps
//! ([streams]) is bounded by its namespace, so old segments die; one that is mostly dead is [cleaned](cleaning): what
//! counts in it is written again, and the file goes. Opening reads everything once, and tells an end that a
//! crash tore (it is cut off, nobody has seen it) from damage (nothing is touched).

mod cleaning;
mod disk;
mod error;
mod fields;
mod frame;
mod header;
mod inbox;
mod log;
mod opening;
mod record;
mod restoring;
mod scribe;
mod streams;
mod syncer;
#[cfg(test)]
mod tests;
mod values;

pub use disk::{Disk, Folder, Sync, Tape};
pub use error::LogError;
pub use header::Boot;
pub use inbox::{Counters, Inbox};
pub use log::{FROM_BACKUP, JUMP, Log, LogOptions, Opening};
pub use opening::{Restored, Rules};
pub use record::{Kept, Retention, Version};
pub use restoring::{restore, rules};
pub use scribe::{Fsync, Scribe, now};
pub use streams::Usage;
