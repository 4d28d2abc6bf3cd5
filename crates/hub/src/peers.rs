//! The other nodes: what concerns connections or members anywhere is asked of all of them.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_model::app::{Answer, ClientCall, Command, Ejection};
use jackfield_model::{ClientError, ClientId, Millis, Uuid};

use crate::control::{self, ControlError, Done, Outcome};
use crate::hub::Hub;
use crate::people::Address;

/// Is told which of several users are nowhere.
pub type Absent = Box<dyn FnOnce(Vec<Arc<str>>) + Send>;

/// The other nodes of the cluster.
pub trait Peers: Debug + Send + Sync {
    /// Has a command done by all other nodes, and calls `done` with what came of it everywhere; `own` is what came of it
    /// here. It does not block.
    fn ask(&self, command: &Command, own: Result<Outcome, ControlError>, now: Millis, done: Done);

    /// Has the one client asked that is meant, on whichever node it is; `here`: how many connections of this node match.
    fn call(&self, call: &ClientCall, here: usize, now: Millis, done: Done);

    /// Looks which of these users have no connection on any other node, and calls `then` with those.
    fn absent(&self, users: Vec<Arc<str>>, then: Absent);

    /// A channel has its first subscriber on this node, or has lost its last; called under the lock of its table, so in
    /// the order in which it happened. Once it is the first or the last of all nodes, [`Hub::tell_occupancy`] hears of it on
    /// one of them.
    fn occupy(&self, channel: &Arc<str>, in_use: bool);

    /// A connection of a user has come who may have so many; it is ended where other nodes have as many already.
    fn arrived(&self, user: &Arc<str>, client: ClientId, limit: usize);

    /// A connection has gone.
    fn departed(&self, user: &Arc<str>, client: ClientId);

    /// Hands what a client said to the node that holds its session; false if that is not known. It does not block.
    fn uplink(&self, node: &str, session: Uuid, data: Bytes) -> bool;
}

impl Hub {
    /// There are other nodes; before the first connection.
    pub fn set_peers(&self, peers: Arc<dyn Peers>) -> bool {
        self.peers.set(peers).is_ok()
    }
}

/// Who is anywhere.
impl Hub {
    /// Whether there are other nodes to be asked.
    #[must_use]
    pub fn has_peers(&self) -> bool {
        self.peers.get().is_some()
    }

    /// How many members a channel has on this node, and a number for each of their users, the same on every node.
    pub fn count_members(&self, channel: &str) -> Result<(u64, Vec<u64>), ClientError> {
        self.known(channel, |options| options.presence)?;
        let table = self.directory.table(channel);
        let presence = table.channels.get(channel).and_then(|entry| entry.presence.as_ref());
        Ok(presence.map_or_else(Default::default, |all| (u64::from(all.stats().num_clients), all.user_marks())))
    }

    /// Who is kept out and which tokens are void, as commands that say so.
    #[must_use]
    pub fn bans(&self) -> Vec<Command> {
        self.bans.commands()
    }

    /// Hands what a client said to its session, which lives on another node; false if there is no such node.
    #[must_use]
    pub fn uplink_to(&self, node: &str, session: Uuid, data: Bytes) -> bool {
        self.peers.get().is_some_and(|peers| peers.uplink(node, session, data))
    }

    /// Ends connections that match all that is given, on any node.
    pub fn eject_everywhere(&self, ejection: Ejection, now: Millis) {
        control::apply(self, &Command::Disconnect(ejection), now, Box::new(drop));
    }

    /// Asks all nodes who or how many are in a channel; the answer comes to the session under the number of its call.
    pub fn ask_peers(&self, command: &Command, (address, call): (Address, u32), now: Millis) {
        let me = self.me.get().cloned().unwrap_or_default();
        let done: Done = Box::new(move |outcome| {
            let answer = match outcome {
                Ok(Outcome::Presence(members)) => Answer::Members(members),
                Ok(Outcome::PresenceStats(stats)) => Answer::MemberCounts(stats),
                Ok(_) => Answer::Error(ClientError::INTERNAL),
                Err(ControlError::Refused(error)) => Answer::Error(error),
                Err(ControlError::Busy) => Answer::Error(ClientError::TOO_MANY_REQUESTS),
            };
            if let Some(me) = me.upgrade() {
                me.resume(address, call, answer);
            }
        });
        control::apply(self, command, now, done);
    }
}

/// Whether a command is about connections or members, wherever they are.
pub(crate) fn concerns_all(command: &Command) -> bool {
    match command {
        Command::BlockUser(_)
        | Command::Channels(_)
        | Command::Connections(_)
        | Command::Disconnect(_)
        | Command::Info
        | Command::InvalidateUserTokens(_)
        | Command::Presence(_)
        | Command::PresenceStats(_)
        | Command::Refresh(_)
        | Command::RevokeToken(_)
        | Command::Send(_)
        | Command::Subscribe(_)
        | Command::UnblockUser(_)
        | Command::Unsubscribe(_) => true,
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
        | Command::Publish(_) => false,
    }
}
