//! Commands of the web application, applied. Two doors (queue and HTTP), one hall.

use std::sync::Arc;

use jackfield_model::app::{Broadcast, Command};
use jackfield_model::client::{HistoryPage, PresenceStats};
use jackfield_model::{ClientError, ClientInfo, Millis};

use crate::hub::{Hub, PublishError, Published, Publishing};

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One result per channel.
    Broadcast(Vec<Result<Published, ClientError>>),
    /// How many connections were reached.
    Connections(usize),
    /// A stretch of history.
    History(HistoryPage),
    /// Who is there.
    Presence(Vec<Arc<ClientInfo>>),
    /// How many are there.
    PresenceStats(PresenceStats),
    /// Published.
    Published(Published),
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlError {
    /// A worker is behind: the same command again in a moment.
    Busy,
    /// It cannot be done.
    Refused(ClientError),
}

impl From<ClientError> for ControlError {
    fn from(error: ClientError) -> Self {
        Self::Refused(error)
    }
}

impl From<PublishError> for ControlError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Busy => Self::Busy,
            PublishError::UnknownChannel => Self::Refused(error.into()),
        }
    }
}

/// Does what the application asks.
pub fn apply(hub: &Hub, command: &Command, now: Millis) -> Result<Outcome, ControlError> {
    Ok(match command {
        Command::Broadcast(broadcast) => Outcome::Broadcast(apply_broadcast(hub, broadcast, now)?),
        Command::Disconnect(ejection) => Outcome::Connections(hub.eject(ejection.clone())),
        Command::History(query) => {
            Outcome::History(hub.history(&query.channel, query.limit, query.since.clone(), query.reverse, now)?)
        }
        Command::Presence(channel) => Outcome::Presence(hub.presence(channel)?),
        Command::PresenceStats(channel) => Outcome::PresenceStats(hub.presence_stats(channel)?),
        Command::Publish(publish) => {
            let publishing = Publishing {
                data: publish.data.clone(),
                info: None,
                tags: publish.tags.clone(),
                skip_history: publish.skip_history,
                pressing: false,
            };
            Outcome::Published(hub.publish(&publish.channel, publishing, now)?)
        }
        Command::Send(send) => Outcome::Connections(hub.send(&send.user, send.data.clone())),
        _ => return Err(ClientError::NOT_AVAILABLE.into()),
    })
}

/// A busy worker stops a broadcast only before its first channel: after that a repetition would double what is out.
fn apply_broadcast(
    hub: &Hub,
    broadcast: &Broadcast,
    now: Millis,
) -> Result<Vec<Result<Published, ClientError>>, ControlError> {
    let mut results = Vec::with_capacity(broadcast.channels.len());
    for (nth, channel) in broadcast.channels.iter().enumerate() {
        let publishing = Publishing {
            data: broadcast.publish.data.clone(),
            info: None,
            tags: broadcast.publish.tags.clone(),
            skip_history: broadcast.publish.skip_history,
            pressing: nth > 0,
        };
        match hub.publish(channel, publishing, now) {
            Err(PublishError::Busy) => return Err(ControlError::Busy),
            result => results.push(result.map_err(ClientError::from)),
        }
    }
    Ok(results)
}
