//! A turn is what a session may touch while it handles one thing: the time, the hub, and the list of effects.

use jackfield_hub::{Address, Hub, Shard};
use jackfield_model::app::Event;
use jackfield_model::client::{Push, Reply};
use jackfield_model::{Disconnect, Millis};

use crate::ids::Ids;
use crate::settings::Settings;

/// Tenths of a second since the server started: fine enough for every deadline of a session, and four bytes.
pub type Tick = u32;

/// The time, read once per round.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    /// For deadlines; never jumps.
    pub tick: Tick,
    /// For what people and tokens read; may jump.
    pub millis: Millis,
}

/// What must happen after a session has spoken.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// The connection ends with this.
    Close(Disconnect),
    /// An event for the application; with a number if the session waits for what comes of it.
    Event(Box<Event>, Option<u32>),
    /// A ping goes out.
    Ping,
    /// A push for this client alone goes out.
    Push(Push),
    /// A reply goes out.
    Reply(Reply),
}

/// The surroundings of one step of a session.
#[derive(Debug)]
pub struct Turn<'a> {
    /// The time.
    pub now: Now,
    /// What all workers share.
    pub hub: &'a Hub,
    /// This worker's half of it.
    pub shard: &'a mut Shard,
    /// Where the session lives.
    pub address: Address,
    /// The configuration.
    pub settings: &'a Settings,
    /// Ids for events.
    pub ids: &'a mut Ids,
    /// What must happen, in order.
    pub effects: &'a mut Vec<Effect>,
}
