//! Why commands were not done and events not taken, in the few words that metrics can count by.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use jackfield_model::ClientError;

use crate::command::CommandError;
use crate::queue::QueueError;

/// A reason of a known few.
pub trait Reason: Copy + 'static {
    /// All of them with their names, in the order of their numbers.
    const NAMES: &'static [&'static str];

    /// Its number.
    fn index(self) -> usize;
}

/// Why a command was not done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CommandFailure {
    /// The server's own trouble, the log's among it.
    Internal,
    /// The payload is not what the method takes.
    Malformed,
    /// A call without a place for its answer.
    NoReplyTo,
    /// The namespace has no such thing, or it is not built.
    NotAvailable,
    /// The hub said no for another reason.
    Refused,
    /// More than `max_payload_bytes`.
    TooLarge,
    /// No namespace for the channel.
    UnknownChannel,
    /// No such method, or none named.
    UnknownMethod,
}

/// Why the queue did not take an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventFailure {
    /// It is full.
    Full,
    /// It did not want it.
    Refused,
    /// It was not there.
    Unreachable,
}

impl Reason for CommandFailure {
    const NAMES: &'static [&'static str] = &[
        "internal",
        "malformed",
        "no_reply_to",
        "not_available",
        "refused",
        "too_large",
        "unknown_channel",
        "unknown_method",
    ];

    fn index(self) -> usize {
        self as usize
    }
}

impl Reason for EventFailure {
    const NAMES: &'static [&'static str] = &["full", "refused", "unreachable"];

    fn index(self) -> usize {
        self as usize
    }
}

impl From<&ClientError> for CommandFailure {
    fn from(error: &ClientError) -> Self {
        match error.code {
            code if code == ClientError::INTERNAL.code => Self::Internal,
            code if code == ClientError::UNKNOWN_CHANNEL.code => Self::UnknownChannel,
            code if code == ClientError::METHOD_NOT_FOUND.code => Self::UnknownMethod,
            code if code == ClientError::BAD_REQUEST.code => Self::Malformed,
            code if code == ClientError::NOT_AVAILABLE.code => Self::NotAvailable,
            _ => Self::Refused,
        }
    }
}

impl From<&CommandError> for CommandFailure {
    fn from(error: &CommandError) -> Self {
        match error {
            CommandError::NoJson { .. } | CommandError::Payload { .. } => Self::Malformed,
            CommandError::NoMethod | CommandError::UnknownMethod(_) => Self::UnknownMethod,
            CommandError::NotBuilt { .. } => Self::NotAvailable,
        }
    }
}

impl From<&QueueError> for EventFailure {
    fn from(error: &QueueError) -> Self {
        match error {
            QueueError::Full(_) => Self::Full,
            QueueError::Refused(_) => Self::Refused,
            QueueError::Unreachable(_) => Self::Unreachable,
        }
    }
}

/// A counter for each reason.
#[derive(Debug)]
pub struct Tally<R> {
    counts: Box<[AtomicU64]>,
    of: PhantomData<R>,
}

impl<R: Reason> Default for Tally<R> {
    fn default() -> Self {
        Self { counts: R::NAMES.iter().map(|_| AtomicU64::new(0)).collect(), of: PhantomData }
    }
}

impl<R: Reason> Tally<R> {
    /// One more.
    pub(crate) fn count(&self, reason: R) {
        if let Some(counter) = self.counts.get(reason.index()) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All reasons with how often they were, those that never were too.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        R::NAMES.iter().copied().zip(self.counts.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_counts_under_its_own_name() {
        let tally = Tally::<CommandFailure>::default();
        let all = [
            (CommandFailure::Internal, "internal"),
            (CommandFailure::Malformed, "malformed"),
            (CommandFailure::NoReplyTo, "no_reply_to"),
            (CommandFailure::NotAvailable, "not_available"),
            (CommandFailure::Refused, "refused"),
            (CommandFailure::TooLarge, "too_large"),
            (CommandFailure::UnknownChannel, "unknown_channel"),
            (CommandFailure::UnknownMethod, "unknown_method"),
        ];
        assert_eq!(all.len(), CommandFailure::NAMES.len());
        for (times, (reason, _)) in (1..).zip(all) {
            (0..times).for_each(|_| tally.count(reason));
        }
        let wanted: Vec<_> = all.iter().map(|(_, name)| *name).zip(1..).collect();
        assert_eq!(tally.read().collect::<Vec<_>>(), wanted);
        let tally = Tally::<EventFailure>::default();
        for error in [QueueError::Full, QueueError::Refused, QueueError::Unreachable] {
            tally.count((&error(String::new())).into());
        }
        assert_eq!(tally.read().collect::<Vec<_>>(), [("full", 1), ("refused", 1), ("unreachable", 1)]);
    }
}
