//! One request of a Redis client: looked up by name, its arguments read, applied to the store.

use bytes::Bytes;
use jackfield_model::Millis;

use super::store::{Store, StoreError};
use super::{key_commands, loan_commands, resp, stream_commands};

/// Why a command was not done; the text is what Redis would say.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum CommandError {
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(&'static str),
    #[error("{0}")]
    Message(String),
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR Invalid stream ID specified as stream command argument")]
    StreamId,
}

/// What came of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The reply is written.
    Done,
    /// There is nothing yet and no reply; the client waits so long, zero is for ever. Then it gets the null array.
    Empty(Millis),
}

/// What commands need beside their arguments.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) store: &'a mut Store,
    pub(super) now: Millis,
    pub(super) out: &'a mut Vec<u8>,
}

/// Arguments, read one after the other.
#[derive(Debug)]
pub(super) struct Arguments<'a> {
    command: &'static str,
    rest: &'a [Bytes],
}

impl<'a> Arguments<'a> {
    /// The next one; that there is none is a wrong number of arguments.
    pub(super) fn next(&mut self) -> Result<&'a Bytes, CommandError> {
        let (first, rest) = self.rest.split_first().ok_or(CommandError::Arity(self.command))?;
        self.rest = rest;
        Ok(first)
    }

    /// Whether the next one is this word; it is taken then.
    pub(super) fn takes(&mut self, word: &str) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if first.eq_ignore_ascii_case(word.as_bytes()) => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn number<N: std::str::FromStr>(&mut self) -> Result<N, CommandError> {
        number(self.next()?)
    }

    pub(super) fn rest(&mut self) -> &'a [Bytes] {
        std::mem::take(&mut self.rest)
    }

    /// At least one more.
    pub(super) fn some(&mut self) -> Result<&'a [Bytes], CommandError> {
        if self.rest.is_empty() {
            return Err(CommandError::Arity(self.command));
        }
        Ok(self.rest())
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), CommandError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CommandError::Syntax) }
    }
}

/// Reads a number as Redis does: no sign but minus, no space.
pub(super) fn number<N: std::str::FromStr>(text: &[u8]) -> Result<N, CommandError> {
    let text = std::str::from_utf8(text).map_err(|_| CommandError::NotInteger)?;
    if text.starts_with('+') {
        return Err(CommandError::NotInteger);
    }
    text.parse().map_err(|_| CommandError::NotInteger)
}

type Apply = fn(&mut Context<'_>, &mut Arguments<'_>) -> Result<Outcome, CommandError>;

/// A line of the table: what it is called, what does it, and the least number of arguments.
struct Entry(&'static str, Apply, usize);

/// Every command that works on the store; those of the connection itself are in `connection.rs`.
const TABLE: &[Entry] = &[
    Entry("blpop", key_commands::blpop, 2),
    Entry("del", key_commands::del, 1),
    Entry("exists", key_commands::exists, 1),
    Entry("expire", key_commands::expire, 2),
    Entry("get", key_commands::get, 1),
    Entry("llen", key_commands::llen, 1),
    Entry("lpop", key_commands::lpop, 1),
    Entry("pexpire", key_commands::pexpire, 2),
    Entry("pttl", key_commands::pttl, 1),
    Entry("rpush", key_commands::rpush, 2),
    Entry("set", key_commands::set, 2),
    Entry("xack", stream_commands::xack, 3),
    Entry("xadd", stream_commands::xadd, 4),
    Entry("xautoclaim", loan_commands::xautoclaim, 5),
    Entry("xdel", stream_commands::xdel, 2),
    Entry("xgroup", stream_commands::xgroup, 1),
    Entry("xlen", stream_commands::xlen, 1),
    Entry("xpending", loan_commands::xpending, 2),
    Entry("xrange", stream_commands::xrange, 3),
    Entry("xreadgroup", stream_commands::xreadgroup, 6),
    Entry("xtrim", stream_commands::xtrim, 3),
];

/// Does one command; an error writes nothing.
pub(super) fn apply(context: &mut Context<'_>, parts: &[Bytes]) -> Result<Outcome, CommandError> {
    let (Entry(command, apply, least), rest) = find(parts)?;
    let mut arguments = Arguments { command, rest };
    if rest.len() < *least {
        return Err(CommandError::Arity(command));
    }
    context.store.expire(context.now);
    let length = context.out.len();
    let outcome = apply(context, &mut arguments);
    if outcome.is_err() {
        context.out.truncate(length);
    }
    outcome
}

/// Whether such a command may stand in a transaction.
pub(super) fn check(parts: &[Bytes]) -> Result<(), CommandError> {
    let (Entry(command, _, least), rest) = find(parts)?;
    if rest.len() < *least { Err(CommandError::Arity(command)) } else { Ok(()) }
}

fn find(parts: &[Bytes]) -> Result<(&'static Entry, &[Bytes]), CommandError> {
    let (name, rest) = parts.split_first().ok_or(CommandError::Syntax)?;
    let found = TABLE.iter().find(|entry| name.eq_ignore_ascii_case(entry.0.as_bytes()));
    found.map(|entry| (entry, rest)).ok_or_else(|| unknown(name, rest))
}

/// As Redis words it, with no more of the arguments than helps.
pub(super) fn unknown(name: &[u8], rest: &[Bytes]) -> CommandError {
    let short = |text: &[u8]| String::from_utf8_lossy(&text[..text.len().min(128)]).into_owned();
    let mut message = format!("ERR unknown command '{}', with args beginning with: ", short(name));
    for argument in rest.iter().take(4) {
        message.push_str(&format!("'{}' ", short(argument)));
    }
    CommandError::Message(message)
}

/// Writes a command's error.
pub(super) fn refuse(out: &mut Vec<u8>, error: &CommandError) {
    resp::error(out, &error.to_string());
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Runs a line of words against a store and returns the reply; a wait is `(wait N)`.
    pub(in crate::embedded) fn run(store: &mut Store, now: Millis, line: &str) -> String {
        let parts: Vec<Bytes> = line.split(' ').map(|word| Bytes::from(word.to_owned())).collect();
        let mut out = Vec::new();
        match apply(&mut Context { store, now, out: &mut out }, &parts) {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Empty(wait)) => return format!("(wait {wait})"),
            Err(error) => refuse(&mut out, &error),
        }
        String::from_utf8(out).unwrap().trim_end().replace("\r\n", " ")
    }

    #[test]
    fn mistakes_are_worded_as_redis_words_them() {
        let mut store = Store::new(1 << 20);
        let mut says = |line| run(&mut store, 1, line);
        assert_eq!(says("EVAL a b"), "-ERR unknown command 'EVAL', with args beginning with: 'a' 'b'");
        assert_eq!(says("xadd s * f"), "-ERR wrong number of arguments for 'xadd' command");
        assert_eq!(says("GET"), "-ERR wrong number of arguments for 'get' command");
        assert_eq!(says("SET k v PX +5"), "-ERR value is not an integer or out of range");
    }

    #[test]
    fn the_table_is_sorted_and_its_names_are_small() {
        assert!(TABLE.windows(2).all(|two| two[0].0 < two[1].0));
        assert!(TABLE.iter().all(|entry| entry.0 == entry.0.to_ascii_lowercase()));
    }
}
