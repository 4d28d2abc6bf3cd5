//! Several nodes as one server.
//!
//! Two things are shared. **Channels**: a publication goes through an [`Engine`] (Redis, RabbitMQ, NATS, or the memory of
//! one process for tests), which gives it its number and brings it to every node that cares; each of those keeps a mirror
//! of the channel in its hub. **People**: who is where is known only to the node that holds the socket; what concerns
//! members or connections anywhere is asked of all nodes at once and put together ([`survey`]). What needs one count (the
//! first and the last subscriber of a channel, how many connections a user has) is kept by one node per key ([`registrar`]).
//!
//! Nothing here is on the way of a delivery: a publication costs each node one parse and one `Hub::hear`, then it is mail
//! to workers as any other.

mod ask;
mod card;
mod engine;
mod frame;
mod home;
mod interest;
mod memory;
mod node;
mod note;
mod outbound;
mod publisher;
mod registrar;
mod registry;
mod side;
mod survey;
mod words;

pub use card::Card;
pub use engine::{Engine, EngineError, Incoming, Interest, Keep, Outgoing, Place, Placed, Powers, Snapshot};
pub use frame::{Body, FrameError, decode, encode};
pub use memory::{MemoryBus, MemoryEngine};
pub use node::{Cluster, ClusterOptions, Health};
