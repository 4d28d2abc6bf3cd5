//! Into a channel and out of it, and what a subscriber is told when it comes.

use std::sync::Arc;

use jackfield_model::app::{KeyMode, PublishMore};
use jackfield_model::client::Push;
use jackfield_model::{ClientError, ClientInfo, Millis, Position, Publication};

use crate::directory::{Channel, Joined, Recovery, Since, release};
use crate::hub::Hub;
use crate::namespace::{Options, RecoveryMode};
use crate::parcel::Parcel;
use crate::publish::Publishing;

/// Why a client was not let into a channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubscribeError {
    /// The namespace is not configured.
    UnknownChannel,
    /// It would have missed something, and said that it would rather stay out.
    Unrecoverable,
}

impl From<SubscribeError> for ClientError {
    fn from(error: SubscribeError) -> Self {
        match error {
            SubscribeError::UnknownChannel => Self::UNKNOWN_CHANNEL,
            SubscribeError::Unrecoverable => Self::UNRECOVERABLE_POSITION,
        }
    }
}

/// A client's place in a channel. Whoever leaves must say the same as when it came.
#[derive(Clone, Copy, Debug)]
pub struct Membership<'a> {
    /// Its worker.
    pub worker: u16,
    /// Who it is.
    pub info: &'a Arc<ClientInfo>,
    /// It counts among those who are there.
    pub counted: bool,
    /// The others hear of it.
    pub announced: bool,
}

impl Hub {
    /// Registers a worker's interest and a member's presence, and tells what came before: all that was missed `since`
    /// the client was here, or where the channel stands.
    ///
    /// Invariant: the number in [`Joined`] is read under the lock that publications are shown under, and so is the
    /// history. Every push is either before this subscription (and then among what was missed) or delivered to it,
    /// never both and never neither.
    pub fn subscribe(
        &self,
        channel: &str,
        member: Membership<'_>,
        since: Option<Since<'_>>,
        now: Millis,
    ) -> Result<Joined, SubscribeError> {
        let options = self.namespaces.of(channel).ok_or(SubscribeError::UnknownChannel)?;
        let joined = {
            let mut table = self.directory.table(channel);
            let entry = self.entry(&mut table, channel, options);
            let (position, recovery) = self.catch_up(entry, since, now);
            let is_whole = recovery.as_ref().is_some_and(|recovery| recovery.recovered);
            if since.is_some_and(|since| since.or_nothing) && !is_whole {
                release(&mut table, channel);
                return Err(SubscribeError::Unrecoverable);
            }
            self.enter(entry, member, (position, recovery))
        };
        self.enter_maps(channel, options, member, now);
        Ok(joined)
    }

    /// The latest values of a channel that has snapshots, of those that somebody wants.
    pub fn latest(&self, channel: &str, wanted: impl Fn(&Publication) -> bool) -> Vec<Arc<Publication>> {
        let table = self.directory.table(channel);
        let entry = table.channels.get(channel).filter(|entry| entry.options.snapshot);
        let state = entry.and_then(|entry| entry.state());
        state.map_or_else(Vec::new, |state| state.snapshot().into_iter().filter(|one| wanted(one)).collect())
    }

    /// Lets a member in, under the lock of its channel.
    pub(crate) fn enter(
        &self,
        entry: &mut Channel,
        member: Membership<'_>,
        (position, recovery): (Option<Position>, Option<Recovery>),
    ) -> Joined {
        entry.workers |= 1 << member.worker;
        entry.members += 1;
        if entry.members == 1 {
            self.note_occupied(entry);
        }
        let joined = Joined {
            key: entry.key,
            name: Arc::clone(&entry.name),
            sequence: self.last_sequence(),
            position,
            recovery,
            options: Arc::clone(&entry.options),
        };
        if member.counted {
            entry.presence.get_or_insert_default().insert(Arc::clone(member.info));
        }
        if member.announced && is_small(entry) {
            self.announce(entry, Push::Join(Arc::clone(&entry.name), Arc::clone(member.info)));
        }
        joined
    }

    /// Tells the subscribers of all nodes who came or went.
    fn announce(&self, entry: &Channel, push: Push) {
        match self.broker() {
            Some(broker) => broker.spread(&entry.name, &push),
            None => self.mail(entry, Parcel::new(push)),
        }
    }

    /// Takes a member out; `last` says that its worker has no other subscriber of the channel.
    pub fn unsubscribe(&self, channel: &str, member: Membership<'_>, last: bool, now: Millis) {
        let (options, owned) = {
            let mut table = self.directory.table(channel);
            let Some(entry) = table.channels.get_mut(channel) else { return };
            if last {
                entry.workers &= !(1 << member.worker);
            }
            let is_small = is_small(entry);
            let was_in_use = entry.members > 0;
            entry.members = entry.members.saturating_sub(1);
            if was_in_use && entry.members == 0 {
                self.note_vacated(entry);
            }
            if member.counted
                && let Some(presence) = &mut entry.presence
            {
                presence.remove(member.info.client);
            }
            if member.announced && is_small {
                self.announce(entry, Push::Leave(Arc::clone(&entry.name), Arc::clone(member.info)));
            }
            let options = Arc::clone(&entry.options);
            let owned = match entry.state().filter(|_| options.map.remove_client_on_unsubscribe) {
                Some(state) => state.of(member.info.client),
                None => Vec::new(),
            };
            release(&mut table, channel);
            (options, owned)
        };
        for key in owned {
            self.remove_value(channel, &key, now);
        }
        self.leave_maps(channel, &options, member, now);
    }

    /// What a subscriber that was here before has missed, and the position it is told.
    fn catch_up(
        &self,
        entry: &mut Channel,
        since: Option<Since<'_>>,
        now: Millis,
    ) -> (Option<Position>, Option<Recovery>) {
        let options = Arc::clone(&entry.options);
        let latest = |entry: &Channel| match entry.state() {
            Some(state) => state.snapshot(),
            None => entry.stream.iter().filter_map(|stream| stream.latest().cloned()).collect(),
        };
        if !options.has_history() {
            let snapshot = options.snapshot.then(|| Recovery { recovered: false, publications: latest(entry) });
            return (None, snapshot);
        }
        let stream = self.stream(entry, now);
        stream.expire(now, options.history_ttl());
        let top = stream.position();
        let Some(since) = since else {
            let begins = options.snapshot || (caches(&options) && options.auto_cache_recover);
            let begin = begins.then(|| Recovery { recovered: false, publications: latest(entry) });
            return (Some(top), begin);
        };
        if since.latest || caches(&options) {
            let is_at_top = since.position.offset == top.offset && since.position.epoch == top.epoch;
            // Where publications may pass it by, it may have the last one and not the one before: a key that waited its
            // turn while another went out. Only the latest values say what it should have.
            let has_it = is_at_top && !since.latest && !options.delivery.skips();
            let publications = if has_it { Vec::new() } else { latest(entry) };
            let is_current = publications.last().is_some_and(|last| last.offset == top.offset);
            let recovered = is_at_top || is_current || (options.snapshot && top.offset > 0);
            return (Some(top), Some(Recovery { recovered, publications }));
        }
        match stream.recover(since.position, self.cap) {
            // Its own offset: the client counts on from there while it reads the publications.
            Some(publications) => (
                Some(Position { offset: since.position.offset, ..top }),
                Some(Recovery { recovered: true, publications }),
            ),
            None => {
                let publications = if options.snapshot { latest(entry) } else { Vec::new() };
                (Some(top), Some(Recovery { recovered: false, publications }))
            }
        }
    }

    /// What others are told of a member has changed.
    pub fn renew_member(&self, channel: &str, member: Membership<'_>, now: Millis) {
        let Some(options) = self.namespaces.of(channel) else { return };
        if member.counted {
            let mut table = self.directory.table(channel);
            let presence = table.channels.get_mut(channel).and_then(|entry| entry.presence.as_mut());
            if let Some(presence) = presence {
                presence.insert(Arc::clone(member.info));
            }
        }
        if !options.clients_map_prefix.is_empty() {
            self.put_client(channel, options, member.info, (KeyMode::IfExists, now));
        }
    }

    fn put_client(&self, channel: &str, options: &Options, info: &Arc<ClientInfo>, (mode, now): (KeyMode, Millis)) {
        let name = format!("{}{channel}", options.clients_map_prefix);
        self.put_member(&name, (info.client.to_string(), mode), Some(Arc::clone(info)), now);
    }

    fn put_member(&self, map: &str, (key, key_mode): (String, KeyMode), info: Option<Arc<ClientInfo>>, now: Millis) {
        let more = PublishMore { key, key_mode, ..PublishMore::default() };
        let entry =
            Publishing { info, is_for_map: true, pressing: true, more: Some(Box::new(more)), ..Publishing::default() };
        if let Err(error) = self.publish_and_forget(map, entry, now) {
            tracing::warn!(map, ?error, "a map of who is in a channel is not kept");
        }
    }

    /// Keeps the maps of who is in a channel.
    pub(crate) fn enter_maps(&self, channel: &str, options: &Options, member: Membership<'_>, now: Millis) {
        let info = member.info;
        if !options.clients_map_prefix.is_empty() {
            self.put_client(channel, options, info, (KeyMode::IfNew, now));
        }
        if !options.users_map_prefix.is_empty() && !info.user.is_empty() {
            let name = format!("{}{channel}", options.users_map_prefix);
            self.put_member(&name, (info.user.to_string(), KeyMode::IfNew), None, now);
        }
    }

    fn leave_maps(&self, channel: &str, options: &Options, member: Membership<'_>, now: Millis) {
        if !options.clients_map_prefix.is_empty() {
            let name = format!("{}{channel}", options.clients_map_prefix);
            self.remove_value(&name, &member.info.client.to_string(), now);
        }
        if !options.users_map_prefix.is_empty() && !member.info.user.is_empty() {
            let name = format!("{}{channel}", options.users_map_prefix);
            let is_last = {
                let mut table = self.directory.table(&name);
                let value = table.channels.get_mut(&*name).and_then(|entry| entry.more().state.edit(&member.info.user));
                value.is_some_and(|value| {
                    value.holders = value.holders.saturating_sub(1);
                    value.holders == 0
                })
            };
            if is_last {
                self.remove_value(&name, &member.info.user, now);
            }
        }
    }

    fn remove_value(&self, channel: &str, key: &str, now: Millis) {
        let more = PublishMore { key: key.to_owned(), ..PublishMore::default() };
        let removal = Publishing {
            is_for_map: true,
            removes: true,
            pressing: true,
            more: Some(Box::new(more)),
            ..Publishing::default()
        };
        if let Err(error) = self.publish_and_forget(channel, removal, now) {
            tracing::warn!(?channel, ?error, "a value of a client that left was not removed");
        }
    }
}

/// Whether a channel is small enough that everybody hears who comes and goes.
fn is_small(entry: &Channel) -> bool {
    entry.options.join_leave_limit == 0 || entry.members <= entry.options.join_leave_limit
}

/// Whether who comes back gets the latest values: its offset says nothing where publications may pass it by.
fn caches(options: &Options) -> bool {
    options.recovery_mode == RecoveryMode::Cache || (options.delivery.skips() && options.snapshot)
}
