//! Windows of one aggregate: what its subscribers hear instead of publications.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackfield_model::client::Push;
use jackfield_model::{Content, Millis, Payload, Publication};

use crate::aggregate::Aggregate;
use crate::filter::Filter;
use crate::parcel::Parcel;
use crate::subscribers::{Dense, Special};
use crate::tally::Tally;

/// Those of one channel and worker who want the same figures of the same publications: they are reckoned once for all.
#[derive(Debug)]
pub(crate) struct Aggregator {
    pub(crate) aggregate: Arc<Aggregate>,
    pub(crate) filter: Option<Arc<Filter>>,
    pub(crate) listeners: Dense<Special>,
    channel: Arc<str>,
    /// Publications numbered up to here were before its time.
    since: u64,
    groups: BTreeMap<Box<str>, Vec<Tally>>,
    /// Where the open window begins; none is open while nothing comes.
    from: Option<Millis>,
}

impl Aggregator {
    pub(crate) fn new(
        aggregate: Arc<Aggregate>,
        filter: Option<Arc<Filter>>,
        (channel, since): (Arc<str>, u64),
    ) -> Self {
        Self { aggregate, filter, listeners: Dense::default(), channel, since, groups: BTreeMap::new(), from: None }
    }

    /// Takes a publication into the window.
    pub(crate) fn take(&mut self, sequence: u64, publication: &Publication, now: Millis) {
        if sequence <= self.since || self.filter.as_ref().is_some_and(|filter| !filter.matches(publication.tags())) {
            return;
        }
        let is_json = publication.data.content == Content::Json && !publication.is_removal();
        let Some(json) = is_json.then(|| serde_json::from_slice(&publication.data.bytes).ok()).flatten() else {
            return;
        };
        if self.aggregate.take(&json, &mut self.groups) && self.from.is_none() {
            self.from = Some(now - now % self.aggregate.every);
        }
    }

    /// When the window that is open ends.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.from.map(|from| from + self.aggregate.every)
    }

    /// The window that is over by now. An empty one behind one that was not is told too, and is the last until something
    /// comes: so a line on a screen falls to nothing instead of staying where it was.
    pub(crate) fn release(&mut self, now: Millis) -> Option<Arc<Parcel>> {
        let from = self.from.filter(|from| from + self.aggregate.every <= now)?;
        let data = self.aggregate.tell(from, &mut self.groups);
        let was_empty = std::mem::take(&mut self.groups).is_empty();
        self.from = (!was_empty).then(|| (now - now % self.aggregate.every).max(from + self.aggregate.every));
        let publication = Publication { data: Payload::json(data), time: now, ..Publication::default() };
        Some(Arc::new(Parcel::new(Push::Publication(Arc::clone(&self.channel), Arc::new(publication)))))
    }
}
