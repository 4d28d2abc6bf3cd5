//! The data plane: sockets and threads.
//!
//! Each worker is one thread with one epoll loop ([`worker`]), its own share of every listener, its own connections, its
//! own half of the hub. A round of the loop: wait; read what came and let the sessions handle it; take all mail and
//! deliver it into the outbox; do what time asks for; write, one send per connection that has something to say.
//!
//! An idle connection is an entry in a slab: no task, no thread, no timer, no buffer.

mod backlog;
mod clock;
mod connection;
mod crew;
mod deadlines;
mod flush;
mod http_door;
mod listener;
mod reading;
mod worker;

pub use crew::{Crew, Plan, Seat};
pub use http_door::{Binding, HttpDoor, Origins, Page, Visit, WebSocketRoute};
pub use listener::{Face, ListenError, Listener};
