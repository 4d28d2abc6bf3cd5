//! A method: its name, its table, and how a command is made of what was read; and the parts that many have in common.

use std::sync::Arc;

use jackfield_model::Position;
use jackfield_model::app::Command;

use super::field::{Kind, Shape, Table, Told};
use super::read::Fields;
use super::{channel, people, publish};

/// One method of the application's commands.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// The fields of its payload.
    pub takes: Table,
    /// The fields of its result.
    pub tells: &'static [Told],
    /// The codes of the errors that it may end with, beside 100.
    pub errors: &'static [u32],
    pub(super) read: fn(&mut Fields<'_>) -> Result<Command, String>,
}

/// What the server can do, in the order of the specification.
pub const METHODS: &[Method] = &[
    publish::PUBLISH,
    publish::BROADCAST,
    people::SUBSCRIBE,
    people::UNSUBSCRIBE,
    people::DISCONNECT,
    people::REFRESH,
    channel::PRESENCE,
    channel::PRESENCE_STATS,
    channel::HISTORY,
    channel::HISTORY_REMOVE,
    channel::CHANNELS,
    channel::INFO,
    publish::MAP_PUBLISH,
    publish::MAP_REMOVE,
    channel::MAP_READ_STATE,
    channel::MAP_READ_STREAM,
    channel::MAP_STATS,
    channel::MAP_CLEAR,
    publish::SEND,
    people::CALL,
    people::BLOCK_USER,
    people::UNBLOCK_USER,
    people::REVOKE_TOKEN,
    people::INVALIDATE_USER_TOKENS,
    people::LIST,
];

/// Methods of the protocol that are not built, and what to do instead.
pub const NOT_BUILT: [(&str, &str); 2] = [
    ("rpc", "methods of the application are called by its clients, over the app link"),
    ("shared_poll_publish", "publish into a map instead"),
];

impl Method {
    /// The method of a name.
    #[must_use]
    pub fn of(name: &str) -> Option<&'static Self> {
        METHODS.iter().find(|method| method.name == name)
    }
}

/// The names of all methods, for who sought another one.
pub(super) fn names() -> String {
    METHODS.iter().map(|method| method.name).collect::<Vec<_>>().join(", ")
}

pub(super) const POSITION: [Told; 2] = [
    Told::maybe("offset", Shape::Plain(Kind::Count), "Its number in the history; absent without one."),
    Told::maybe("epoch", Shape::Plain(Kind::Text), "The life of the history that the number belongs to."),
];

pub(super) fn channel(fields: &mut Fields<'_>) -> Result<Arc<str>, String> {
    named(fields.text("channel"))
}

/// A channel of this name.
pub(super) fn named(name: String) -> Result<Arc<str>, String> {
    if name.is_empty() {
        return Err("a channel is empty; name one".to_owned());
    }
    if name.chars().any(char::is_control) {
        return Err(format!("the channel {name:?} has a control character, which no client may use"));
    }
    Ok(name.into())
}

pub(super) fn user(fields: &mut Fields<'_>) -> Result<Arc<str>, String> {
    match fields.text("user") {
        none if none.is_empty() => Err("`user` is empty; name one".to_owned()),
        user => Ok(user.into()),
    }
}

/// A position, where the object has one; half of one is a mistake.
pub(super) fn position(place: &mut Fields<'_>) -> Result<Option<Position>, String> {
    match (place.count("offset"), place.given("epoch")) {
        (None, None) => Ok(None),
        (Some(offset), Some(epoch)) => Ok(Some(Position { offset, epoch: epoch.into() })),
        _ => Err("`offset` and `epoch` are given together; both are in each result".to_owned()),
    }
}
