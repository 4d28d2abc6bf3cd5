//! The hub: what all workers share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use hashbrown::hash_map::EntryRef;
use jackfield_model::app::Answer;
use jackfield_model::client::{HistoryPage, PresenceStats, Push};
use jackfield_model::{ClientError, ClientId, ClientInfo, Disconnect, Millis, Payload, Position};

use crate::bans::Bans;
use crate::broker::Broker;
use crate::control::{Listener, NodeInfo};
use crate::directory::{Channel, Directory, Table};
use crate::documents::Documents;
use crate::inquiries::Inquiries;
use crate::journal::{Forgetting, Journal};
use crate::mailbox::{Mail, Mailbox, Wakes};
use crate::namespace::{Namespaces, Options};
use crate::occupancy::Observer;
use crate::parcel::Parcel;
use crate::peers::Peers;
use crate::people::{Address, People};
use crate::stream::{Cap, Range, Stream};
use crate::tap::Tap;
use crate::undelivered::Regrets;

/// Bytes of publications that a client may recover at once: half of what may wait for a connection by default.
const RECOVERY_BYTES: usize = 512 * 1024;

/// Channels, people and mailboxes of one node.
#[derive(Debug)]
pub struct Hub {
    pub(crate) directory: Directory,
    pub(crate) documents: Documents,
    pub(crate) people: People,
    pub(crate) bans: Bans,
    pub(crate) journal: Option<Arc<dyn Journal>>,
    pub(crate) broker: OnceLock<Arc<dyn Broker>>,
    pub(crate) peers: OnceLock<Arc<dyn Peers>>,
    /// Itself, for what is done later.
    pub(crate) me: OnceLock<Weak<Self>>,
    pub(crate) tap: Option<Arc<dyn Tap>>,
    pub(crate) mailboxes: Vec<Arc<Mailbox>>,
    pub(crate) namespaces: Namespaces,
    /// Numbers every push of the node. Taken under the lock of a channel's table, so it rises within a channel.
    sequence: AtomicU64,
    keys: AtomicU64,
    seed: u64,
    history_limit: usize,
    pub(crate) cap: Cap,
    pub(crate) listener: Listener,
    pub(crate) inquiries: Inquiries,
    pub(crate) observer: Observer,
    pub(crate) regrets: Regrets,
}

impl Hub {
    /// A hub for as many workers as there are mailboxes (64 at most). `seed` makes the epochs.
    #[must_use]
    pub fn new(namespaces: Namespaces, mailboxes: Vec<Arc<Mailbox>>, history_limit: usize, seed: u64) -> Self {
        Self {
            directory: Directory::new(),
            documents: Documents::default(),
            people: People::new(),
            listener: Listener::default(),
            inquiries: Inquiries::default(),
            observer: Observer::default(),
            regrets: Regrets::default(),
            bans: Bans::default(),
            journal: None,
            broker: OnceLock::new(),
            peers: OnceLock::new(),
            me: OnceLock::new(),
            tap: None,
            mailboxes,
            namespaces,
            sequence: AtomicU64::new(0),
            keys: AtomicU64::new(1),
            seed,
            history_limit,
            cap: Cap { count: history_limit, bytes: RECOVERY_BYTES },
        }
    }

    /// How much a client may recover at once.
    pub fn set_recovery_cap(&mut self, cap: Cap) {
        self.cap = cap;
    }

    /// The namespaces.
    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The documents that somebody edits.
    #[must_use]
    pub fn documents(&self) -> &Documents {
        &self.documents
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

    /// Members of a channel.
    pub fn presence(&self, channel: &str) -> Result<Vec<Arc<ClientInfo>>, ClientError> {
        self.known(channel, |options| options.presence)?;
        let table = self.directory.table(channel);
        let presence = table.channels.get(channel).and_then(|entry| entry.presence.as_ref());
        Ok(presence.map(|presence| presence.members()).unwrap_or_default())
    }

    /// How many members a channel has.
    pub fn presence_stats(&self, channel: &str) -> Result<PresenceStats, ClientError> {
        self.known(channel, |options| options.presence)?;
        let table = self.directory.table(channel);
        let presence = table.channels.get(channel).and_then(|entry| entry.presence.as_ref());
        Ok(presence.map(|presence| presence.stats()).unwrap_or_default())
    }

    /// A stretch of a channel's history. Limit 0: the position only; negative: all, up to the server's cap.
    pub fn history(
        &self,
        channel: &str,
        limit: i32,
        (since, from): (Option<Position>, Option<Millis>),
        reverse: bool,
        now: Millis,
    ) -> Result<HistoryPage, ClientError> {
        let options = self.known(channel, Options::has_history)?;
        let mut table = self.directory.table(channel);
        let entry = self.entry(&mut table, channel, options);
        let stream = self.stream(entry, now);
        stream.expire(now, options.history_ttl());
        stream.read(&Range { limit, since, from, reverse }, self.history_limit)
    }

    /// Forgets a channel's publications and values; its position stays.
    pub fn forget_history(&self, channel: &str) -> Result<(), ClientError> {
        let options = self.known(channel, |options| options.has_history() || options.has_state())?;
        if options.is_map() {
            let message = "bad request: history_remove is for streams; empty a map with map_clear".into();
            return Err(ClientError { message, ..ClientError::BAD_REQUEST });
        }
        self.forget(channel, Forgetting::Publications)
    }

    /// How this node is.
    #[must_use]
    pub fn info(&self) -> NodeInfo {
        let (mut channels, mut subscriptions) = (0, 0);
        for table in self.directory.all() {
            channels += table.channels.len() as u64;
            subscriptions += table.channels.values().map(|entry| u64::from(entry.members)).sum::<u64>();
        }
        NodeInfo { clients: self.people.count() as u64, users: self.people.users() as u64, subscriptions, channels }
    }

    /// Entries of a page of a map that asked for no measure.
    pub(crate) fn page_size(&self, channel: &str) -> usize {
        self.namespaces.of(channel).map_or(0, |options| options.map.page_size as usize)
    }

    /// The channels whose names fit a pattern, and how many subscribe to each.
    #[must_use]
    pub fn survey(&self, fits: impl Fn(&str) -> bool) -> Vec<(Arc<str>, u32)> {
        let mut found = Vec::new();
        for table in self.directory.all() {
            let here = table.channels.values().filter(|entry| entry.members > 0 && fits(&entry.name));
            found.extend(here.map(|entry| (Arc::clone(&entry.name), entry.members)));
        }
        found.sort_unstable();
        found
    }

    /// Registers a connection that said who it is; false if its user has too many (`limit`, 0: none).
    #[must_use]
    pub fn arrive(&self, info: &ClientInfo, at: Address, limit: usize) -> bool {
        let is_in = self.people.arrive(info.client, &info.user, at, limit);
        if is_in
            && limit != 0
            && !info.user.is_empty()
            && let Some(peers) = self.peers.get()
        {
            peers.arrived(&info.user, info.client, limit);
        }
        is_in
    }

    /// Forgets a connection.
    pub fn depart(&self, info: &ClientInfo, at: Address) {
        self.people.depart(info.client, &info.user, at);
        if let Some(peers) = self.peers.get() {
            peers.departed(&info.user, info.client);
        }
        self.end_inquiries(at);
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

    /// Brings the answer of a call home.
    pub fn resume(&self, address: Address, call: u32, answer: Answer) {
        if let Some(answer) = self.documents.takes(address, call, answer) {
            self.post(address, Mail::Resume(address, call, Box::new(answer)));
        }
    }

    /// Tells every worker to say goodbye.
    pub fn shut_down(&self, disconnect: &Disconnect) {
        for mailbox in &self.mailboxes {
            mailbox.post(Mail::Shutdown(disconnect.clone()));
        }
    }

    /// Forgets old history in one part of the directory; call once a second or so.
    pub fn sweep(&self, round: usize, now: Millis) {
        let dropped = self.directory.sweep(round, now);
        if let Some(broker) = self.broker() {
            for channel in dropped {
                broker.close(&channel);
            }
        }
        self.bans.sweep(now);
        self.expire_values(now);
        self.expire_inquiries(now);
    }

    /// Whether a connection is still registered.
    #[must_use]
    pub fn is_connected(&self, client: ClientId) -> bool {
        self.people.of_client(client).is_some()
    }

    pub(crate) fn known(&self, channel: &str, has: impl Fn(&Options) -> bool) -> Result<&Arc<Options>, ClientError> {
        let options = self.namespaces.of(channel).ok_or(ClientError::UNKNOWN_CHANNEL)?;
        if has(options) { Ok(options) } else { Err(ClientError::NOT_AVAILABLE) }
    }

    /// A channel of a locked table, new if need be.
    pub(crate) fn entry<'t>(&self, table: &'t mut Table, channel: &str, options: &Arc<Options>) -> &'t mut Channel {
        match table.channels.entry_ref(channel) {
            EntryRef::Occupied(entry) => entry.into_mut(),
            EntryRef::Vacant(entry) => {
                let name: Arc<str> = channel.into();
                entry.insert_with_key(Arc::clone(&name), self.new_channel(name, options))
            }
        }
    }

    pub(crate) fn new_channel(&self, name: Arc<str>, options: &Arc<Options>) -> Channel {
        let is_tapped = self.is_tapped(&name);
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        Channel { is_tapped, ..Channel::new(key, name, Arc::clone(options)) }
    }

    pub(crate) fn stream<'a>(&self, entry: &'a mut Channel, now: Millis) -> &'a mut Stream {
        // Keys of channels are far below 2^40 in any life of a node.
        let life = entry.key ^ (u64::from(entry.life) << 40);
        entry.stream.get_or_insert_with(|| Box::new(Stream::new(self.epoch(life), now)))
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

    /// Sends a parcel to every worker that cares, with the next number.
    pub(crate) fn mail(&self, entry: &Channel, parcel: Parcel) {
        self.mail_in(entry, parcel, &mut Wakes::Now);
    }

    /// The same within a batch.
    pub(crate) fn mail_in(&self, entry: &Channel, parcel: Parcel, wakes: &mut Wakes) {
        if entry.workers == 0 {
            return;
        }
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let parcel = Arc::new(parcel);
        for (worker, mailbox) in self.mailboxes.iter().enumerate() {
            if entry.workers & (1 << worker) != 0 {
                let parcel = Arc::clone(&parcel);
                wakes.post(worker, mailbox, Mail::Channel { key: entry.key, sequence, parcel });
            }
        }
    }

    /// The number of the last push. What it was is only certain under the lock of a table.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    pub(crate) fn is_channel_behind(&self, channel: &str) -> bool {
        let workers = self.directory.table(channel).channels.get(channel).map_or(0, |entry| entry.workers);
        self.is_behind(workers)
    }

    pub(crate) fn is_behind(&self, workers: u64) -> bool {
        self.each_worker(workers).any(Mailbox::is_full)
    }

    pub(crate) fn each_worker(&self, bits: u64) -> impl Iterator<Item = &Mailbox> {
        self.mailboxes.iter().enumerate().filter(move |(n, _)| bits & (1 << n) != 0).map(|(_, mailbox)| &**mailbox)
    }

    pub(crate) fn post(&self, address: Address, mail: Mail) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(address.worker)) {
            mailbox.post(mail);
        }
    }
}
