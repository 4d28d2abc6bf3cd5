//! One client: its commands in, effects out.
//!
//! A [`Session`] is a state machine. [`Session::receive`] takes a frame, reads the commands in it, asks the hub, and
//! leaves what must happen in [`Turn::effects`]: replies, pings, a close, and events for the application. A question to
//! the application is an effect with a call number, and [`Session::resume`] goes on with its answer; pings and other
//! commands are never held up by one. Time comes in with the turn; there is no clock, socket or thread here.

mod aggregate;
mod calls;
mod command;
mod commands;
mod deadlines;
mod declared;
mod document;
mod endpoint;
mod entry;
mod extras;
mod ids;
mod lifecycle;
mod limits;
mod orders;
mod raw;
mod session;
mod settings;
mod subscription;
mod token;
mod turn;
mod waiting;
pub mod wire;

pub use declared::{Declared, MAX_DECLARED, Said};
pub use endpoint::{Dialect, Endpoint, Feed, Framing, Keepalive};
pub use ids::Ids;
pub use session::{Hold, Session, Visitor};
pub use settings::{PersonalChannel, Settings, Tells};
pub use token::{
    Caps, Claims, Key, KeyError, KeySet, KeySetError, Keys, MoreClaims, Pattern, PatternError, Right, Subscriber,
    SubscriptionClaims, TokenError, Verifier,
};
pub use turn::{Effect, Now, Tick, Turn};
