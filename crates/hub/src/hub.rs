//! The hub: what all workers share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::hash_map::EntryRef;
use jackfield_model::app::{Answer, Ejection};
use jackfield_model::client::{HistoryPage, PresenceStats, Push};
use jackfield_model::{ClientError, ClientId, ClientInfo, Disconnect, Millis, Payload, Position, Publication};

use crate::directory::{Channel, Directory, Joined, Recovery, Since, Table, release};
use crate::mailbox::{Mail, Mailbox};
use crate::namespace::{Namespaces, Options};
use crate::parcel::Parcel;
use crate::people::{Address, People};
use crate::stream::{Range, Stream};

/// A publication on its way in.
#[derive(Clone, Debug, Default)]
pub struct Publishing {
    /// The data.
    pub data: Payload,
    /// The publisher, if it is a client.
    pub info: Option<Arc<ClientInfo>>,
    /// Strings beside the data.
    pub tags: Option<Arc<BTreeMap<String, String>>>,
    /// Keeps it out of the history.
    pub skip_history: bool,
    /// Is taken even by a worker that is behind; for what was half done already.
    pub pressing: bool,
}

/// What became of a publication.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// Where it stands in the history, if there is one.
    pub position: Option<Position>,
}

/// Why a publication was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PublishError {
    /// A worker is behind; try again in a moment.
    Busy,
    /// The namespace is not configured.
    UnknownChannel,
}

impl From<PublishError> for ClientError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Busy => Self::TOO_MANY_REQUESTS,
            PublishError::UnknownChannel => Self::UNKNOWN_CHANNEL,
        }
    }
}

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

/// A client's place in a channel.
#[derive(Clone, Copy, Debug)]
pub struct Membership<'a> {
    /// Its worker.
    pub worker: u16,
    /// Who it is.
    pub info: &'a Arc<ClientInfo>,
}

/// Channels, people and mailboxes of one node.
#[derive(Debug)]
pub struct Hub {
    directory: Directory,
    pub(crate) people: People,
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    namespaces: Namespaces,
    /// Numbers every push of the node. Taken under the lock of a channel's table, so it rises within a channel.
    sequence: AtomicU64,
    keys: AtomicU64,
    seed: u64,
    history_limit: usize,
}

impl Hub {
    /// A hub for as many workers as there are mailboxes (64 at most). `seed` makes the epochs.
    #[must_use]
    pub fn new(namespaces: Namespaces, mailboxes: Vec<Arc<Mailbox>>, history_limit: usize, seed: u64) -> Self {
        Self {
            directory: Directory::new(),
            people: People::new(),
            mailboxes,
            namespaces,
            sequence: AtomicU64::new(0),
            keys: AtomicU64::new(1),
            seed,
            history_limit,
        }
    }

    /// The namespaces.
    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Number of workers.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.mailboxes.len()
    }

    /// Connections that are connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.people.count()
    }

    /// Channels that somebody cares for.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.directory.count()
    }

    /// Numbers a publication, keeps it, and mails it to the workers that care.
    pub fn publish(&self, channel: &str, publishing: Publishing, now: Millis) -> Result<Published, PublishError> {
        let options = self.namespaces.of(channel).ok_or(PublishError::UnknownChannel)?;
        let mut table = self.directory.table(channel);
        let keeps = options.has_history() && !publishing.skip_history;
        if keeps && !table.contains_key(channel) {
            let name: Arc<str> = channel.into();
            table.insert(Arc::clone(&name), self.new_channel(name, options));
        }
        let Some(entry) = table.get_mut(channel) else { return Ok(Published::default()) };
        if !publishing.pressing && self.each_worker(entry.workers).any(Mailbox::is_full) {
            return Err(PublishError::Busy);
        }
        let offset = if keeps { self.stream(entry, now).next_offset() } else { 0 };
        let publication = Arc::new(Publication {
            offset,
            data: publishing.data,
            info: publishing.info,
            tags: publishing.tags,
            time: now,
            rare: None,
        });
        let mut published = Published::default();
        if keeps {
            let size = options.history_size;
            let stream = self.stream(entry, now);
            stream.expire(now, options.history_ttl);
            stream.keep(Arc::clone(&publication), size);
            published.position = Some(stream.position());
        }
        let push = Push::Publication(Arc::clone(&entry.name), publication);
        self.mail(entry, push);
        Ok(published)
    }

    /// Registers a worker's interest and a member's presence, and tells what came before: all that was missed `since`
    /// the client was here, or where the channel stands.
    ///
    /// Invariant: the number in [`Joined`] is read under the lock that publications are numbered under, and so is the
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
        let mut table = self.directory.table(channel);
        let entry = self.entry(&mut table, channel, options);
        let (position, recovery) = self.catch_up(entry, since, now);
        let is_whole = recovery.as_ref().is_some_and(|recovery| recovery.recovered);
        if since.is_some_and(|since| since.or_nothing) && !is_whole {
            release(&mut table, channel);
            return Err(SubscribeError::Unrecoverable);
        }
        entry.workers |= 1 << member.worker;
        let joined = Joined {
            key: entry.key,
            name: Arc::clone(&entry.name),
            sequence: self.sequence.load(Ordering::Relaxed),
            position,
            recovery,
            options: Arc::clone(options),
        };
        if options.presence {
            entry.presence.get_or_insert_default().insert(Arc::clone(member.info));
        }
        if options.join_leave {
            self.mail(entry, Push::Join(Arc::clone(&entry.name), Arc::clone(member.info)));
        }
        Ok(joined)
    }

    /// Takes a member out; `last` says that its worker has no other subscriber of the channel.
    pub fn unsubscribe(&self, channel: &str, member: Membership<'_>, last: bool) {
        let mut table = self.directory.table(channel);
        let Some(entry) = table.get_mut(channel) else { return };
        if last {
            entry.workers &= !(1 << member.worker);
        }
        if let Some(presence) = &mut entry.presence {
            presence.remove(member.info.client);
        }
        if entry.options.join_leave {
            self.mail(entry, Push::Leave(Arc::clone(&entry.name), Arc::clone(member.info)));
        }
        release(&mut table, channel);
    }

    /// Members of a channel.
    pub fn presence(&self, channel: &str) -> Result<Vec<Arc<ClientInfo>>, ClientError> {
        self.known(channel, |options| options.presence)?;
        let table = self.directory.table(channel);
        let presence = table.get(channel).and_then(|entry| entry.presence.as_ref());
        Ok(presence.map(|presence| presence.members()).unwrap_or_default())
    }

    /// How many members a channel has.
    pub fn presence_stats(&self, channel: &str) -> Result<PresenceStats, ClientError> {
        self.known(channel, |options| options.presence)?;
        let table = self.directory.table(channel);
        let presence = table.get(channel).and_then(|entry| entry.presence.as_ref());
        Ok(presence.map(|presence| presence.stats()).unwrap_or_default())
    }

    /// A stretch of a channel's history. Limit 0: the position only; negative: all, up to the server's cap.
    pub fn history(
        &self,
        channel: &str,
        limit: i32,
        since: Option<Position>,
        reverse: bool,
        now: Millis,
    ) -> Result<HistoryPage, ClientError> {
        let options = self.known(channel, Options::has_history)?;
        let mut table = self.directory.table(channel);
        let entry = self.entry(&mut table, channel, options);
        let stream = self.stream(entry, now);
        stream.expire(now, options.history_ttl);
        stream.read(&Range { limit, since, reverse }, self.history_limit)
    }

    /// Registers a connection that said who it is; false if its user has too many (`limit`, 0: none).
    #[must_use]
    pub fn arrive(&self, info: &ClientInfo, at: Address, limit: usize) -> bool {
        self.people.arrive(info.client, &info.user, at, limit)
    }

    /// Forgets a connection.
    pub fn depart(&self, info: &ClientInfo, at: Address) {
        self.people.depart(info.client, &info.user, at);
    }

    /// Speaks to every connection of a user; returns to how many.
    pub fn send(&self, user: &str, data: Payload) -> usize {
        let addresses = self.people.of_user(user);
        let parcel = Arc::new(Parcel::new(Push::Message(data)));
        for address in &addresses {
            self.post(*address, Mail::Direct(*address, Arc::clone(&parcel)));
        }
        addresses.len()
    }

    /// Ends connections that match all that is given; returns how many were told.
    pub fn eject(&self, ejection: Ejection) -> usize {
        let addresses = match (ejection.target.client, &ejection.target.user) {
            (Some(client), Some(user)) => {
                let of_user = self.people.of_user(user);
                self.people.of_client(client).into_iter().filter(|address| of_user.contains(address)).collect()
            }
            (Some(client), None) => self.people.of_client(client).into_iter().collect(),
            (None, Some(user)) => self.people.of_user(user),
            (None, None) => Vec::new(),
        };
        let ejection = Arc::new(ejection);
        for address in &addresses {
            self.post(*address, Mail::Eject(*address, Arc::clone(&ejection)));
        }
        addresses.len()
    }

    /// Brings the answer of a call home.
    pub fn resume(&self, address: Address, call: u32, answer: Answer) {
        self.post(address, Mail::Resume(address, call, Box::new(answer)));
    }

    /// Tells every worker to say goodbye.
    pub fn shut_down(&self, disconnect: &Disconnect) {
        for mailbox in &self.mailboxes {
            mailbox.post(Mail::Shutdown(disconnect.clone()));
        }
    }

    /// Forgets old history in one part of the directory; call once a second or so.
    pub fn sweep(&self, round: usize, now: Millis) {
        self.directory.sweep(round, now);
    }

    /// Whether a connection is still registered.
    #[must_use]
    pub fn is_connected(&self, client: ClientId) -> bool {
        self.people.of_client(client).is_some()
    }

    fn known(&self, channel: &str, has: impl Fn(&Options) -> bool) -> Result<&Arc<Options>, ClientError> {
        let options = self.namespaces.of(channel).ok_or(ClientError::UNKNOWN_CHANNEL)?;
        if has(options) { Ok(options) } else { Err(ClientError::NOT_AVAILABLE) }
    }

    /// A channel of a locked table, new if need be.
    fn entry<'t>(&self, table: &'t mut Table, channel: &str, options: &Arc<Options>) -> &'t mut Channel {
        match table.entry_ref(channel) {
            EntryRef::Occupied(entry) => entry.into_mut(),
            EntryRef::Vacant(entry) => {
                let name: Arc<str> = channel.into();
                entry.insert_with_key(Arc::clone(&name), self.new_channel(name, options))
            }
        }
    }

    /// What a subscriber that was here before has missed, and the position it is told.
    fn catch_up(
        &self,
        entry: &mut Channel,
        since: Option<Since<'_>>,
        now: Millis,
    ) -> (Option<Position>, Option<Recovery>) {
        let options = Arc::clone(&entry.options);
        if !options.has_history() {
            return (None, None);
        }
        let stream = self.stream(entry, now);
        let top = stream.position();
        let Some(since) = since else { return (Some(top), None) };
        stream.expire(now, options.history_ttl);
        match stream.recover(since.position, self.history_limit) {
            // Its own offset: the client counts on from there while it reads the publications.
            Some(publications) => (
                Some(Position { offset: since.position.offset, ..top }),
                Some(Recovery { recovered: true, publications }),
            ),
            None => (Some(top), Some(Recovery::default())),
        }
    }

    fn new_channel(&self, name: Arc<str>, options: &Arc<Options>) -> Channel {
        Channel::new(self.keys.fetch_add(1, Ordering::Relaxed), name, Arc::clone(options))
    }

    fn stream<'a>(&self, entry: &'a mut Channel, now: Millis) -> &'a mut Stream {
        let key = entry.key;
        entry.stream.get_or_insert_with(|| Box::new(Stream::new(self.epoch(key), now)))
    }

    /// Four letters that differ between channels and between lives of the node.
    fn epoch(&self, key: u64) -> Arc<str> {
        // SplitMix64: one multiplication chain, no state.
        let mut z = self.seed.wrapping_add(key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        (0..6).map(|n| char::from(b'a' + ((z >> (n * 8)) % 26) as u8)).collect::<String>().into()
    }

    fn mail(&self, entry: &Channel, push: Push) {
        if entry.workers == 0 {
            return;
        }
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let parcel = Arc::new(Parcel::new(push));
        for mailbox in self.each_worker(entry.workers) {
            mailbox.post(Mail::Channel { key: entry.key, sequence, parcel: Arc::clone(&parcel) });
        }
    }

    fn each_worker(&self, bits: u64) -> impl Iterator<Item = &Mailbox> {
        self.mailboxes.iter().enumerate().filter(move |(n, _)| bits & (1 << n) != 0).map(|(_, mailbox)| &**mailbox)
    }

    fn post(&self, address: Address, mail: Mail) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(address.worker)) {
            mailbox.post(mail);
        }
    }
}
