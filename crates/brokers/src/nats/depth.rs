//! How much waits in NATS. What is handed out and not settled counts; ages are by the clock of the server, as far as it
//! agrees with that of this machine.

use std::time::{Duration, SystemTime};

use async_nats::jetstream::stream::State;
use jackfield_bridge::{Depth, Oldest, QueueError};

use super::session::Session;
use super::wire;

/// Asks for the state of the three streams.
pub(super) async fn read(session: &Session) -> Result<Depth, QueueError> {
    let (commands, events) = (state(session, "commands").await?, state(session, "events").await?);
    let dead = state(session, "dead").await?.messages;
    let oldest = Some(Oldest { command: age(&commands), event: age(&events) });
    Ok(Depth { commands: commands.messages, events: events.messages, dead, oldest })
}

async fn state(session: &Session, what: &str) -> Result<State, QueueError> {
    match session.context.get_stream(session.names.stream(what)).await {
        Ok(stream) => Ok(stream.cached_info().state.clone()),
        Err(error) => Err(wire::refused(&error)),
    }
}

fn age(state: &State) -> Duration {
    if state.messages == 0 {
        return Duration::ZERO;
    }
    let born = SystemTime::from(state.first_timestamp);
    SystemTime::now().duration_since(born).unwrap_or_default()
}
