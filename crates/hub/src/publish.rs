//! A publication's way in: decided, numbered, kept, and mailed to the workers that care.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use jackfield_model::app::{KeyMode, PublishMore, Stamp};
use jackfield_model::client::Push;
use jackfield_model::{ClientError, ClientInfo, Content, Millis, Payload, Position, Publication, Rare};

use crate::directory::{Channel, Table, release};
use crate::hub::Hub;
use crate::journal::{Order, Ticket};
use crate::keyed::{Keyed, Value};
use crate::mailbox::Wakes;
use crate::namespace::{Format, Kind, MapMode, Options};
use crate::parcel::Parcel;

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
    /// It is for a map, and for nothing else.
    pub is_for_map: bool,
    /// The key loses its value.
    pub removes: bool,
    /// Only because the value's time is up: one that has come since then stays.
    pub if_over: bool,
    /// What few publications have.
    pub more: Option<Box<PublishMore>>,
    /// By what it is known when it comes again, where it comes from a queue.
    pub stamp: Option<Stamp>,
}

/// What became of a publication.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// Where it stands in the history, if there is one.
    pub position: Option<Position>,
    /// It was not taken, for this reason: `idempotency`, `version`, `key_exists`, `key_not_found`.
    pub suppressed: Option<&'static str>,
}

/// How a publication was answered.
#[derive(Debug, PartialEq)]
pub enum Receipt {
    /// At once.
    Ready(Published),
    /// It is on its way to the log; the ticket will tell.
    Later,
}

/// Why a publication was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PublishError {
    /// A worker or the log is behind; try again in a moment.
    Busy,
    /// The map has as many keys as it may have.
    Full,
    /// It is not what the namespace takes.
    Misfit,
    /// The log could not be written; try again.
    NotWritten,
    /// The namespace is not configured.
    UnknownChannel,
    /// The broker between the nodes does not answer; try again.
    Unreachable,
}

impl From<PublishError> for ClientError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Busy => Self::TOO_MANY_REQUESTS,
            PublishError::Full => Self::LIMIT_EXCEEDED,
            PublishError::Misfit => Self::BAD_REQUEST,
            PublishError::NotWritten | PublishError::Unreachable => Self::INTERNAL,
            PublishError::UnknownChannel => Self::UNKNOWN_CHANNEL,
        }
    }
}

/// A publication that has its number and is not yet shown.
#[derive(Debug)]
pub(crate) struct Taken {
    /// What subscribers hear.
    pub(crate) publication: Arc<Publication>,
    /// What is kept as the key's value; `None` where it loses it, or has none.
    pub(crate) state: Option<Arc<Publication>>,
    pub(crate) keeps: bool,
    pub(crate) wants_delta: bool,
    pub(crate) more: Option<Box<PublishMore>>,
}

impl Hub {
    /// Numbers a publication, keeps it, and mails it to the workers that care; or hands it to the log, which does so once
    /// it is safe and answers the ticket then.
    pub fn publish(
        &self,
        channel: &str,
        publishing: Publishing,
        ticket: Option<Ticket>,
        now: Millis,
    ) -> Result<Receipt, PublishError> {
        let options = self.namespaces.of(channel).ok_or(PublishError::UnknownChannel)?;
        if let Some(broker) = self.broker() {
            if !publishing.pressing && self.is_channel_behind(channel) {
                return Err(PublishError::Busy);
            }
            fits(&publishing, options)?;
            let ticket = self.tap_ticket(channel, &publishing, ticket, now);
            let order = Order { channel: channel.into(), publishing, ticket };
            return broker.publish(order).map(|()| Receipt::Later).map_err(|_| PublishError::Busy);
        }
        if options.durable
            && let Some(journal) = &self.journal
        {
            if !publishing.pressing && self.is_channel_behind(channel) {
                return Err(PublishError::Busy);
            }
            // It has its place in the order now: were it refused later, what came after it would overtake it.
            let publishing = Publishing { pressing: true, ..publishing };
            let order = Order { channel: channel.into(), publishing, ticket };
            return journal.take(order).map(|()| Receipt::Later).map_err(|_| PublishError::Busy);
        }
        // One lock for both steps: nobody may show a later number before an earlier one.
        let mut table = self.directory.table(channel);
        let (published, taken) = self.take(&mut table, channel, publishing, now)?;
        if let Some(taken) = taken {
            self.show(&mut table, channel, taken, &mut Wakes::Now);
        }
        Ok(Receipt::Ready(published))
    }

    /// As [`Self::publish`], where nobody waits for what comes of it.
    pub fn publish_and_forget(&self, channel: &str, publishing: Publishing, now: Millis) -> Result<(), PublishError> {
        self.publish(channel, publishing, None, now).map(drop)
    }

    /// Decides whether a publication is taken, and gives it its number.
    pub(crate) fn take(
        &self,
        table: &mut Table,
        channel: &str,
        publishing: Publishing,
        now: Millis,
    ) -> Result<(Published, Option<Taken>), PublishError> {
        let options = self.namespaces.of(channel).ok_or(PublishError::UnknownChannel)?;
        fits(&publishing, options)?;
        let idempotency_key = publishing.more.as_ref().map_or("", |more| &more.idempotency_key).to_owned();
        if !idempotency_key.is_empty()
            && let Some(known) = table.results.get(channel, &idempotency_key, now)
        {
            return Ok((Published { suppressed: Some("idempotency"), ..known }, None));
        }
        let keeps = options.has_history() && !publishing.skip_history;
        let is_kept = keeps || options.has_state();
        if !table.channels.contains_key(channel) && (is_kept || self.is_tapped(channel)) {
            let name: Arc<str> = channel.into();
            table.channels.insert(Arc::clone(&name), self.new_channel(name, options));
        }
        let (published, taken) = match table.channels.get_mut(channel) {
            None => (Published::default(), None),
            Some(entry) => {
                if !publishing.pressing && self.is_behind(entry.workers) {
                    return Err(PublishError::Busy);
                }
                let taken = self.number_one(entry, publishing, (keeps, now));
                if taken.is_err() {
                    release(table, channel);
                }
                taken?
            }
        };
        if !idempotency_key.is_empty() && published.suppressed.is_none() {
            table.results.put(channel, &idempotency_key, &published, now);
        }
        Ok((published, taken))
    }

    fn number_one(
        &self,
        entry: &mut Channel,
        mut publishing: Publishing,
        (keeps, now): (bool, Millis),
    ) -> Result<(Published, Option<Taken>), PublishError> {
        let options = Arc::clone(&entry.options);
        if let Some(reason) = suppressed(entry, &publishing, now) {
            let position = options.has_history().then(|| self.stream(entry, now).position());
            return Ok((Published { position, suppressed: Some(reason) }, None));
        }
        let key = publishing.more.as_ref().map_or("", |more| &more.key);
        if publishing.removes && publishing.tags.is_none() {
            // Whoever's filter let the value in must hear that it is gone.
            let value = entry.state().and_then(|state| state.get(key));
            publishing.tags = value.and_then(|value| value.publication.tags.clone());
        }
        let is_new = !key.is_empty() && entry.state().is_none_or(|state| state.get(key).is_none());
        let has_room = entry.state().map_or(0, |state| state.len()) < options.max_keys();
        if options.is_map() && is_new && !has_room {
            return Err(PublishError::Full);
        }
        let position = keeps.then(|| {
            let stream = self.stream(entry, now);
            Position { offset: stream.next_offset(), epoch: Arc::clone(stream.epoch()) }
        });
        let holds = options.has_state() && !publishing.removes && (!is_new || has_room) && takes_state(&options, key);
        let taken = assemble(publishing, position.as_ref(), (holds, keeps), &options, now);
        if let Some(more) = taken.more.as_ref().filter(|more| more.version > 0) {
            let version = (more.version, Arc::from(more.version_epoch.as_str()));
            if !options.is_map() {
                entry.more().version = version;
            }
        }
        Ok((Published { position, suppressed: None }, Some(taken)))
    }

    /// Shows a publication: it enters history and state, and goes to the workers that care.
    pub(crate) fn show(&self, table: &mut Table, channel: &str, taken: Taken, wakes: &mut Wakes) {
        let Some(entry) = table.channels.get_mut(channel) else { return };
        let Taken { publication, state, keeps, wants_delta, more } = taken;
        let options = Arc::clone(&entry.options);
        let mut before = None;
        if keeps {
            let stream = self.stream(entry, publication.time);
            stream.expire(publication.time, options.history_ttl());
            stream.keep(Arc::clone(&publication), options.history_size());
        }
        if options.has_state() {
            before = keep_state(entry, &publication, state, more.as_deref());
            note_end(entry, &mut table.ends);
        }
        if options.has_deltas() && !options.is_map() {
            before = entry.more().last.replace(Arc::clone(&publication));
        }
        self.tell_tap(entry, &publication);
        if options.document.is_some() {
            self.documents.heard(&entry.name, &publication);
        }
        let push = Push::Publication(Arc::clone(&entry.name), publication);
        let before = before.filter(|_| wants_delta);
        self.mail_in(entry, Parcel::publication(push, before, entry.key, options), wakes);
    }

    /// Removes what has run out in any map; call often.
    pub fn expire_values(&self, now: Millis) {
        let mut expired = Vec::new();
        for mut table in self.directory.all() {
            let table: &mut Table = &mut table;
            while table.ends.peek().is_some_and(|Reverse((ends, _))| *ends <= now) {
                let Some(Reverse((_, channel))) = table.ends.pop() else { break };
                let Some(entry) = table.channels.get_mut(&channel) else { continue };
                expired.extend(entry.more().state.expired(now).into_iter().map(|key| (Arc::clone(&channel), key)));
                entry.more().noted = None;
                note_end(entry, &mut table.ends);
            }
        }
        for (channel, key) in expired {
            let more = PublishMore { key: key.to_string(), ..PublishMore::default() };
            let removal = Publishing {
                is_for_map: true,
                removes: true,
                pressing: true,
                if_over: true,
                more: Some(Box::new(more)),
                ..Publishing::default()
            };
            if let Err(error) = self.publish_and_forget(&channel, removal, now) {
                tracing::warn!(?channel, ?error, "a value that ran out is not removed yet");
                let mut table = self.directory.table(&channel);
                let table: &mut Table = &mut table;
                if let Some(entry) = table.channels.get_mut(&channel) {
                    is_still_over(entry, &key, &mut table.ends);
                }
            }
        }
    }
}

/// Whether values with this key are kept: a map keeps all, the snapshot of a stream also those without a key.
pub(crate) fn takes_state(options: &Options, key: &str) -> bool {
    options.kind == Kind::Stream || !key.is_empty()
}

fn fits(publishing: &Publishing, options: &Options) -> Result<(), PublishError> {
    let key = publishing.more.as_ref().map_or("", |more| &more.key);
    let is_right = match (options.is_map(), publishing.is_for_map) {
        (true, true) => !key.is_empty() && !key.contains('\0') && key.len() <= 255,
        (false, false) => !publishing.removes || !key.is_empty(),
        _ => false,
    };
    let is_format = publishing.removes
        || match options.format {
            Format::Any => true,
            Format::Json => publishing.data.content == Content::Json,
            Format::Binary => publishing.data.content == Content::Binary,
        };
    if is_right && is_format { Ok(()) } else { Err(PublishError::Misfit) }
}

/// Why a publication is not taken, if it is not. A value that lives on because of it is renewed.
fn suppressed(entry: &mut Channel, publishing: &Publishing, now: Millis) -> Option<&'static str> {
    let more = publishing.more.as_deref()?;
    let options = Arc::clone(&entry.options);
    let value = entry.state().and_then(|state| state.get(&more.key));
    let last = match (options.is_map(), value) {
        (true, Some(value)) => Some(value.version.clone()),
        (true, None) => None,
        (false, _) => entry.more.as_ref().map(|more| more.version.clone()),
    };
    let has_value = value.is_some();
    if publishing.if_over && value.is_some_and(|value| value.ends > now) {
        return Some("renewed");
    }
    if more.version > 0 && last.is_some_and(|(version, epoch)| more.version <= version && *epoch == *more.version_epoch)
    {
        return Some("version");
    }
    match (more.key_mode, has_value) {
        (KeyMode::IfNew, true) => {
            let ends = options.value_ends(now);
            let state = &mut entry.more().state;
            state.renew(&more.key, ends);
            if options.kind == Kind::Users
                && let Some(value) = state.edit(&more.key)
            {
                value.holders += 1;
            }
            Some("key_exists")
        }
        (KeyMode::IfExists, false) => Some("key_not_found"),
        _ if publishing.removes && options.has_state() && !has_value => Some("key_not_found"),
        _ => None,
    }
}

fn assemble(
    publishing: Publishing,
    position: Option<&Position>,
    (holds, keeps): (bool, bool),
    options: &Options,
    now: Millis,
) -> Taken {
    let Publishing { data, info, tags, removes, more, .. } = publishing;
    let offset = position.map_or(0, |position| position.offset);
    let key = more.as_ref().map(|more| more.key.as_str()).filter(|key| !key.is_empty()).map(Arc::from);
    let rare = Rare {
        key,
        removed: removes,
        score: more.as_ref().map_or(0, |more| more.score),
        epoch: position.filter(|position| position.offset == 1).map(|position| Arc::clone(&position.epoch)),
        version: 0,
    };
    let rare = (rare != Rare::default()).then(|| Box::new(rare));
    let kept = Publication { offset, data, info, tags, time: now, rare };
    let streamed = more.as_ref().and_then(|more| more.stream_data.clone());
    let (publication, state) = match streamed {
        Some(data) => (Arc::new(Publication { data, ..kept.clone() }), Some(Arc::new(kept))),
        None => {
            let one = Arc::new(kept);
            (Arc::clone(&one), Some(one))
        }
    };
    let wants_delta = options.delta && (options.delta_publish || more.as_ref().is_some_and(|more| more.delta));
    Taken { publication, state: state.filter(|_| holds), keeps, wants_delta, more }
}

/// Brings the state up to date; the value before is returned.
pub(crate) fn keep_state(
    entry: &mut Channel,
    publication: &Arc<Publication>,
    state: Option<Arc<Publication>>,
    more: Option<&PublishMore>,
) -> Option<Arc<Publication>> {
    let options = Arc::clone(&entry.options);
    let nameless: Arc<str> = "".into();
    let key = publication.key().unwrap_or(&nameless);
    let values = &mut entry.more().state;
    let Some(state) = state else {
        if publication.is_removal() {
            values.take(key);
        }
        return None;
    };
    let value = Value {
        ends: options.value_ends(publication.time),
        owner: state.info.as_ref().map(|info| info.client),
        publication: state,
        holders: 1,
        version: more
            .map_or_else(|| (0, Arc::clone(&nameless)), |more| (more.version, more.version_epoch.as_str().into())),
    };
    let score = more.map_or(0, |more| more.score);
    let before = values.put(key, score, value);
    // A publication without a count does not begin a new one.
    if let (Some(before), Some(value)) = (&before, values.edit(key))
        && value.version.0 == 0
    {
        value.version = before.version.clone();
    }
    before.map(|before| before.publication)
}

/// A value could not be removed: its end is looked at again.
pub(crate) fn is_still_over(entry: &mut Channel, key: &str, ends: &mut BinaryHeap<Reverse<(Millis, Arc<str>)>>) {
    entry.more().state.tell_again(key);
    note_end(entry, ends);
}

/// Remembers when the next value of a channel runs out.
pub(crate) fn note_end(entry: &mut Channel, ends: &mut BinaryHeap<Reverse<(Millis, Arc<str>)>>) {
    let Some(next) = entry.state().and_then(Keyed::next_end) else { return };
    // One note is enough: values that were renewed end later than it says, which is found out then.
    if entry.more().noted.is_none_or(|noted| noted > next) {
        entry.more().noted = Some(next);
        ends.push(Reverse((next, Arc::clone(&entry.name))));
    }
}

impl Options {
    /// Whether somebody who comes back to the map gets what it missed.
    #[must_use]
    pub fn map_recovers(&self) -> bool {
        self.is_map() && self.map.mode != MapMode::Ephemeral
    }
}
