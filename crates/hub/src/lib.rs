//! Channels, fan-out, history and presence.
//!
//! The walk of a publication: [`Hub::publish`] takes the lock of the channel's table, numbers the publication, keeps it
//! if the namespace has a history, and mails one shared [`Parcel`] to each worker that has subscribers. The worker
//! takes all its mail at once and hands each parcel to its own half of the hub, [`Shard::deliver`]: for every encoding
//! among the subscribers the parcel is encoded once, and each subscriber's lane in the [`Outbox`] gets an index into
//! the palette of this round's frames. The worker writes what the lanes hold at the end of the round.
//!
//! So a publication costs one lock, and a delivery costs none: no lock, no wake, no allocation, no copy.

pub mod control;
mod directory;
pub mod filter;
pub mod fossil;
mod hub;
mod mailbox;
pub mod namespace;
mod outbox;
mod parcel;
mod people;
mod presence;
mod shard;
mod stream;
mod subscribers;

pub use directory::{Joined, Recovery, Since};
pub use hub::{Hub, Membership, PublishError, Published, Publishing, SubscribeError};
pub use mailbox::{Mail, Mailbox, Wake};
pub use namespace::{Namespaces, Options};
pub use outbox::{Lane, Outbox};
pub use parcel::{Encoder, EncodingId, MAX_ENCODINGS, Parcel};
pub use people::{Address, UplinkError};
pub use shard::Shard;
