//! What a node asks of the others, what they answer, and how the answers are put together.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_hub::Hub;
use jackfield_hub::control::{ControlError, NodeInfo, NodeLine, Outcome, apply_here};
use jackfield_model::app::{
    Block, ClientCall, Command, ConnectionLine, Ejection, InvalidTokens, Refresh, Revocation, Send, Subscribe, Target,
    Unsubscribe,
};
use jackfield_model::client::PresenceStats;
use jackfield_model::{ClientError, ClientInfo, Millis};
use serde::{Deserialize, Serialize};

use crate::card::Card;

/// A command that concerns connections or members, wherever they are.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Ask {
    /// What is kept out on your side?
    Bans,
    Block(Block),
    /// Ask your client; the answer comes when it has answered.
    Call(ClientCall),
    Channels(String),
    /// Which connections have you? The answer comes when they have written themselves down.
    Connections(Target),
    Disconnect(Ejection),
    /// How many of your connections match?
    Find(Target),
    Info,
    Invalidate(InvalidTokens),
    /// Which of these users are connected to you?
    Online(Vec<Arc<str>>),
    Presence(Arc<str>),
    PresenceStats(Arc<str>),
    Refresh(Refresh),
    Revoke(Revocation),
    Send(Send),
    Subscribe(Subscribe),
    Unblock(Arc<str>),
    Unsubscribe(Unsubscribe),
}

/// What one node answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Reply {
    /// What a client answered.
    Answered(Result<Bytes, ClientError>),
    Bans(Vec<Ask>),
    Census(Vec<ConnectionLine>),
    Channels(Vec<(Arc<str>, u32)>),
    Connections(u64),
    Done,
    Error(ClientError),
    Info(Card),
    Online(Vec<Arc<str>>),
    Presence(Vec<ClientInfo>),
    /// Members, and a number for each user.
    Stats(u64, Vec<u64>),
}

impl Ask {
    /// The question in a command; none where it concerns this node or the broker alone.
    pub(crate) fn of(command: &Command) -> Option<Self> {
        Some(match command.clone() {
            Command::BlockUser(block) => Self::Block(block),
            Command::Channels(pattern) => Self::Channels(pattern),
            Command::Connections(target) => Self::Connections(target),
            Command::Disconnect(ejection) => Self::Disconnect(ejection),
            Command::Info => Self::Info,
            Command::InvalidateUserTokens(tokens) => Self::Invalidate(tokens),
            Command::Presence(channel) => Self::Presence(channel),
            Command::PresenceStats(channel) => Self::PresenceStats(channel),
            Command::Refresh(refresh) => Self::Refresh(refresh),
            Command::RevokeToken(revocation) => Self::Revoke(revocation),
            Command::Send(send) => Self::Send(send),
            Command::Subscribe(subscribe) => Self::Subscribe(subscribe),
            Command::UnblockUser(user) => Self::Unblock(user),
            Command::Unsubscribe(unsubscribe) => Self::Unsubscribe(unsubscribe),
            Command::Broadcast(_)
            | Command::Call(_)
            | Command::History(_)
            | Command::HistoryRemove(_)
            | Command::MapClear(_)
            | Command::MapPublish(_)
            | Command::MapReadState(_)
            | Command::MapReadStream(_)
            | Command::MapRemove(_)
            | Command::MapStats(_)
            | Command::Publish(_) => return None,
        })
    }

    fn command(self) -> Option<Command> {
        Some(match self {
            Self::Bans | Self::Call(_) | Self::Connections(_) | Self::Find(_) | Self::Online(_) => return None,
            Self::Block(block) => Command::BlockUser(block),
            Self::Channels(pattern) => Command::Channels(pattern),
            Self::Disconnect(ejection) => Command::Disconnect(ejection),
            Self::Info => Command::Info,
            Self::Invalidate(tokens) => Command::InvalidateUserTokens(tokens),
            Self::Presence(channel) => Command::Presence(channel),
            Self::PresenceStats(channel) => Command::PresenceStats(channel),
            Self::Refresh(refresh) => Command::Refresh(refresh),
            Self::Revoke(revocation) => Command::RevokeToken(revocation),
            Self::Send(send) => Command::Send(send),
            Self::Subscribe(subscribe) => Command::Subscribe(subscribe),
            Self::Unblock(user) => Command::UnblockUser(user),
            Self::Unsubscribe(unsubscribe) => Command::Unsubscribe(unsubscribe),
        })
    }

    /// Whether connections are asked, who answer when they come to it.
    pub(crate) fn takes_time(&self) -> bool {
        matches!(self, Self::Call(_) | Self::Connections(_))
    }

    /// Does it here, and answers.
    pub(crate) fn answer(self, hub: &Hub, card: Card, now: Millis) -> Reply {
        match self {
            Self::PresenceStats(channel) => {
                return match hub.count_members(&channel) {
                    Ok((members, users)) => Reply::Stats(members, users),
                    Err(error) => Reply::Error(error),
                };
            }
            Self::Find(target) => return Reply::Connections(hub.matching(&target) as u64),
            Self::Online(mut users) => {
                users.retain(|user| hub.is_online(user));
                return Reply::Online(users);
            }
            _ => {}
        }
        let Some(command) = self.command() else {
            return Reply::Bans(hub.bans().iter().filter_map(Self::of).collect());
        };
        match apply_here(hub, &command, now) {
            Ok(Outcome::Channels(channels)) => Reply::Channels(channels),
            Ok(Outcome::Connections(count)) => Reply::Connections(count as u64),
            Ok(Outcome::Info(info)) => Reply::Info(card.with(info)),
            Ok(Outcome::Presence(members)) => {
                Reply::Presence(members.iter().map(|one| ClientInfo::clone(one)).collect())
            }
            Ok(_) => Reply::Done,
            Err(ControlError::Refused(error)) => Reply::Error(error),
            Err(ControlError::Busy) => Reply::Error(ClientError::TOO_MANY_REQUESTS),
        }
    }

    /// Learns what another node keeps out.
    pub(crate) fn learn(bans: Vec<Self>, hub: &Hub, now: Millis) {
        for command in bans.into_iter().filter_map(Self::command) {
            if let Err(error) = apply_here(hub, &command, now) {
                tracing::warn!(?error, "what another node keeps out is not known here");
            }
        }
    }
}

/// Answers of several nodes, put together.
#[derive(Debug)]
pub(crate) struct Sum {
    outcome: Result<Outcome, ControlError>,
    /// Users that are counted.
    users: Option<HashSet<u64>>,
    members: u64,
    /// Where connections were found, and how many.
    pub(crate) found: Vec<(Arc<str>, u64)>,
    /// Users that are somewhere.
    pub(crate) online: HashSet<Arc<str>>,
}

impl Sum {
    /// Begins with what came of it here.
    pub(crate) fn new(own: Result<Outcome, ControlError>, command: &Command, hub: &Hub, card: Card) -> Self {
        let mut sum = Self { outcome: own, ..Self::empty() };
        match (&sum.outcome, command) {
            (Ok(Outcome::Info(info)), _) => {
                sum.outcome = Ok(Outcome::Nodes(vec![line(card.with(*info))]));
            }
            (Ok(_), Command::PresenceStats(channel)) => {
                let (members, users) = hub.count_members(channel).unwrap_or_default();
                (sum.members, sum.users) = (members, Some(users.into_iter().collect()));
            }
            _ => {}
        }
        sum
    }

    /// Of a question that nothing here answers; as long as nobody does, there is no such connection.
    pub(crate) fn empty() -> Self {
        let outcome = Err(ControlError::Refused(jackfield_hub::gone()));
        Self { outcome, users: None, members: 0, found: Vec::new(), online: HashSet::new() }
    }

    pub(crate) fn add(&mut self, from: &Arc<str>, reply: Reply) {
        let reply = match reply {
            Reply::Answered(answer) => {
                self.outcome = answer.map(Outcome::Answered).map_err(ControlError::Refused);
                return;
            }
            Reply::Connections(count) if self.outcome.is_err() => return self.found.push((Arc::clone(from), count)),
            Reply::Online(users) => return self.online.extend(users),
            reply => reply,
        };
        // Where this node says no, the others' options are the same: nothing is added.
        let Ok(outcome) = &mut self.outcome else { return };
        match (outcome, reply) {
            (Outcome::Census(all), Reply::Census(more)) => all.extend(more),
            (Outcome::Channels(all), Reply::Channels(more)) => {
                for (name, count) in more {
                    match all.binary_search_by(|(known, _)| known.cmp(&name)) {
                        Ok(place) => all[place].1 = all[place].1.saturating_add(count),
                        Err(place) => all.insert(place, (name, count)),
                    }
                }
            }
            (Outcome::Connections(all), Reply::Connections(more)) => {
                *all = all.saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
            }
            (Outcome::Nodes(all), Reply::Info(card)) => all.push(line(card)),
            (Outcome::Presence(all), Reply::Presence(more)) => all.extend(more.into_iter().map(Arc::new)),
            (Outcome::PresenceStats(_), Reply::Stats(members, users)) => {
                self.members = self.members.saturating_add(members);
                self.users.get_or_insert_default().extend(users);
            }
            (_, Reply::Error(error)) => tracing::debug!(?error, "another node refused what this one did"),
            _ => {}
        }
    }

    pub(crate) fn outcome(mut self) -> Result<Outcome, ControlError> {
        if let (Ok(Outcome::PresenceStats(stats)), Some(users)) = (&mut self.outcome, &self.users) {
            let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
            *stats = PresenceStats { num_clients: number(self.members), num_users: number(users.len() as u64) };
        }
        self.outcome
    }
}

fn line(card: Card) -> NodeLine {
    let Card { uid, name, version, uptime, clients, users, subscriptions, channels } = card;
    NodeLine { uid, name, version, uptime, info: NodeInfo { clients, users, subscriptions, channels } }
}
