//! The data plane: sockets and threads.
//!
//! Each worker is one thread with one epoll loop ([`worker`]), its own share of every listener, its own connections, its
//! own half of the hub. A round of the loop: wait; read what came and let the sessions handle it; take all mail and
//! deliver it into the outbox; do what time asks for; write, one send per connection that has something to say.
//!
//! An idle connection is an entry in a slab: no task, no thread, no timer, no buffer.

mod accepting;
mod addresses;
mod arrival;
mod backlog;
mod blocked;
mod clock;
mod connection;
mod counters;
mod crew;
mod deadlines;
mod door;
mod floor;
mod flush;
mod gate;
mod listener;
mod pipe;
mod reading;
#[cfg(test)]
mod tests;
mod worker;

pub use counters::{Count, Counters, Level};
pub use crew::{Compression, Crew, Plan, Seat};
pub use door::{
    Binding, Challenges, Emulation, HandOver, HttpDoor, Origins, Page, StreamKind, StreamRoute, Visit, WebSocketRoute,
};
pub use gate::{Face, Gate};
pub use listener::{ListenError, Listener, SocketOptions};
