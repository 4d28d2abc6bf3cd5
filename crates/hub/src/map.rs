//! Maps: channels of keys with values, told page by page and then live.

use std::sync::Arc;

use jackfield_model::client::HistoryPage;
use jackfield_model::{ClientError, Millis, Position, Publication};

use crate::directory::{Joined, Recovery, release};
use crate::hub::Hub;
use crate::journal::Forgetting;
use crate::keyed::{Keyed, Page};
use crate::namespace::Options;
use crate::stream::Range;
use crate::subscribe::Membership;

/// What a client that subscribes to a map asks for next.
#[derive(Clone, Copy, Debug)]
pub struct MapWish<'a> {
    /// A page of the state; `None`: it has all pages, or comes back.
    pub page: Option<Page<'a>>,
    /// Where the map stood when the first page was read, or when the client was last here.
    pub since: Option<&'a Position>,
    /// Publications of a page of the stream, and how near to the top it must be to go live.
    pub limit: usize,
}

/// What it gets.
#[derive(Debug)]
pub enum MapStep {
    /// A page; there is more.
    Page {
        /// Of the state.
        state: Vec<Arc<Publication>>,
        /// Of the stream.
        publications: Vec<Arc<Publication>>,
        /// Where the next page of the state begins; empty where what is left is the stream.
        cursor: String,
        /// Where the pages stand.
        position: Position,
    },
    /// It is in: the last page, what the stream had since the first one, and everything from now on.
    Live {
        /// Its place.
        joined: Joined,
        /// The last page of the state.
        state: Vec<Arc<Publication>>,
    },
}

/// A page of a map, for the application.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MapPage {
    /// The values.
    pub entries: Vec<Arc<Publication>>,
    /// Where the next page begins; empty after the last.
    pub cursor: String,
    /// Where the map stands.
    pub position: Position,
}

impl Hub {
    /// The next step of a client into a map.
    ///
    /// Invariant: as [`Hub::subscribe`]. What changed between two pages is in the stream since the first one; a map
    /// without a stream is told in one page, under one lock.
    pub fn subscribe_map(
        &self,
        channel: &str,
        member: Membership<'_>,
        wish: MapWish<'_>,
        now: Millis,
    ) -> Result<MapStep, ClientError> {
        let step = self.next_step(channel, member, wish, now)?;
        if let MapStep::Live { joined, .. } = &step {
            self.enter_maps(channel, &joined.options, member, now);
        }
        Ok(step)
    }

    fn next_step(
        &self,
        channel: &str,
        member: Membership<'_>,
        wish: MapWish<'_>,
        now: Millis,
    ) -> Result<MapStep, ClientError> {
        let options = self.known(channel, Options::is_map)?;
        let mut table = self.directory.table(channel);
        let entry = self.entry(&mut table, channel, options);
        let top = if options.has_history() {
            let stream = self.stream(entry, now);
            stream.expire(now, options.history_ttl());
            Some(stream.position())
        } else {
            None
        };
        let step = |state, publications, cursor, position: &Position| {
            Ok(MapStep::Page { state, publications, cursor, position: position.clone() })
        };
        let none = Keyed::default();
        let Some(top) = top else {
            let all = Page { limit: usize::MAX, ..wish.page.unwrap_or_default() };
            let (state, _) = entry.state().unwrap_or(&none).page(Page { cursor: "", ..all }, None);
            return Ok(MapStep::Live { joined: self.enter(entry, member, (None, None)), state });
        };
        let since = wish.since.unwrap_or(&top);
        let gone = || ClientError::UNRECOVERABLE_POSITION;
        if !entry.stream.as_ref().is_some_and(|stream| stream.knows(since)) || since.offset > top.offset {
            release(&mut table, channel);
            return Err(gone());
        }
        let mut state = Vec::new();
        if let Some(page) = wish.page {
            let bound = wish.since.map(|since| since.offset);
            let (entries, cursor) = entry.state().unwrap_or(&none).page(page, bound);
            if !cursor.is_empty() || top.offset.saturating_sub(since.offset) > wish.limit as u64 {
                return step(entries, Vec::new(), cursor, since);
            }
            state = entries;
        }
        let missed = self.stream(entry, now).after(since, wish.limit);
        let Some(missed) = missed else {
            release(&mut table, channel);
            return Err(gone());
        };
        let reached = missed.last().map_or(since.offset, |last| last.offset);
        if reached < top.offset {
            let position = Position { offset: reached, ..top };
            return step(state, missed, String::new(), &position);
        }
        let recovery = Recovery { recovered: true, publications: missed };
        Ok(MapStep::Live { joined: self.enter(entry, member, (Some(top), Some(recovery))), state })
    }

    /// A page of a map.
    pub fn map_page(
        &self,
        channel: &str,
        (page, key): (Page<'_>, Option<&str>),
        revision: Option<&Position>,
        now: Millis,
    ) -> Result<MapPage, ClientError> {
        let options = self.known(channel, Options::has_state)?;
        let mut table = self.directory.table(channel);
        let Some(entry) = table.channels.get_mut(channel) else { return Ok(MapPage::default()) };
        let position = if options.has_history() { self.stream(entry, now).position() } else { Position::default() };
        if revision.is_some_and(|revision| !revision.epoch.is_empty() && revision.epoch != position.epoch) {
            return Err(ClientError::UNRECOVERABLE_POSITION);
        }
        let none = Keyed::default();
        let state = entry.state().unwrap_or(&none);
        let (entries, cursor) = match key {
            Some(key) => (state.get(key).iter().map(|value| Arc::clone(&value.publication)).collect(), String::new()),
            None => state.page(page, revision.map(|revision| revision.offset)),
        };
        Ok(MapPage { entries, cursor, position })
    }

    /// A stretch of a map's stream.
    pub fn map_stream(
        &self,
        channel: &str,
        limit: i32,
        (since, from): (Option<Position>, Option<Millis>),
        (reverse, now): (bool, Millis),
    ) -> Result<HistoryPage, ClientError> {
        let options = self.known(channel, |options| options.is_map() && options.has_history())?;
        let mut table = self.directory.table(channel);
        let entry = self.entry(&mut table, channel, options);
        let stream = self.stream(entry, now);
        stream.expire(now, options.history_ttl());
        stream.read(&Range { limit, since, from, reverse }, self.cap.count)
    }

    /// How many keys a map has.
    pub fn map_keys(&self, channel: &str) -> Result<u64, ClientError> {
        self.known(channel, Options::has_state)?;
        let table = self.directory.table(channel);
        Ok(table.channels.get(channel).and_then(|entry| entry.state()).map_or(0, |state| state.len() as u64))
    }

    /// Empties a map. Its stream begins a new life, and who listens must begin anew too.
    pub fn clear_map(&self, channel: &str) -> Result<(), ClientError> {
        self.known(channel, Options::is_map)?;
        self.forget(channel, Forgetting::Life)
    }
}
