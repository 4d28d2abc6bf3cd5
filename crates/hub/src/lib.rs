//! Channels, fan-out, history and presence.
//!
//! The walk of a publication: [`Hub::publish`] takes the lock of the channel's table, numbers the publication, keeps it
//! if the namespace has a history, and mails one shared [`Parcel`] to each worker that has subscribers. The worker
//! takes all its mail at once and hands each parcel to its own half of the hub, [`Shard::deliver`]: for every encoding
//! among the subscribers the parcel is encoded once, and each subscriber's lane in the [`Outbox`] gets an index into
//! the palette of this round's frames. The worker writes what the lanes hold at the end of the round.
//!
//! So a publication costs one lock, and a delivery costs none: no lock, no wake, no allocation, no copy.

pub mod aggregate;
mod aggregator;
mod bans;
mod broker;
mod census;
pub mod control;
mod directory;
pub mod documents;
pub mod filter;
pub mod fossil;
pub mod glob;
mod hub;
mod inquiries;
mod interest;
mod journal;
mod keyed;
mod mailbox;
mod map;
pub mod namespace;
mod occupancy;
mod orders;
mod outbox;
mod parcel;
mod peers;
mod people;
mod presence;
mod publish;
mod results;
mod sampler;
mod shard;
mod stream;
mod subscribe;
mod subscribers;
mod tally;
mod tap;
mod undelivered;

pub use bans::{TokenMarks, Void};
pub use broker::{Broker, Heard, Kept};
pub use census::Census;
pub use directory::{Joined, Recovery, Since};
pub use hub::Hub;
pub use inquiries::{ClientAnswer, ambiguous, gone};
pub use interest::{Interest, InterestBy, InterestError, MAX_KEYS};
pub use journal::{Forgetting, Journal, Numbered, Order, Restored, RestoredValue, Then, Ticket};
pub use keyed::Page;
pub use mailbox::{Mail, Mailbox, Wake};
pub use map::{MapPage, MapStep, MapWish};
pub use namespace::{Delivery, Namespaces, Options};
pub use occupancy::Occupancy;
pub use orders::SessionOrder;
pub use outbox::{Frame, Lane, Note, Outbox};
pub use parcel::{Encoder, EncodingId, MAX_ENCODINGS, Origin, Parcel, patch};
pub use peers::{Absent, Peers};
pub use people::{Address, UplinkError};
pub use publish::{PublishError, Published, Publishing, Receipt};
pub use shard::{Seat, Shard};
pub use stream::Cap;
pub use subscribe::{Membership, SubscribeError};
pub use tap::Tap;
pub use undelivered::{Teller, Undelivered};
