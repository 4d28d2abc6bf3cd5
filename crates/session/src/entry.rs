//! The way into a channel: what a client asked for, what it is granted, and what it is told when it is in.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_hub::aggregate::Aggregate;
use jackfield_hub::filter::Filter;
use jackfield_hub::namespace::{Delivery, Options};
use jackfield_hub::{Interest, Joined, Membership, Seat, Since};
use jackfield_model::client::{ERROR_IF_UNRECOVERED, Subscribe, Subscribed};
use jackfield_model::{ClientError, ClientInfo, Grant, Publication};

use crate::aggregate;
use crate::extras;
use crate::session::{Session, bad};
use crate::subscription::{More, Subscription, announced, counted};
use crate::token::Right;
use crate::turn::{Tick, Turn};

/// By whose leave a client enters a channel, and who keeps the subscription alive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Door {
    /// It asked, and the options of the namespace let it.
    Asked,
    /// It asked, and the application let it.
    Called,
    /// It asked, and brought a token.
    Token,
    /// The server put it there.
    Server,
}

/// Where a client will sit in a channel.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) who: Arc<ClientInfo>,
    pub(crate) filter: Option<Arc<Filter>>,
    /// The keys it wants to hear: none, until it says which.
    pub(crate) interest: Option<Arc<Interest>>,
    pub(crate) delivery: Delivery,
    pub(crate) aggregate: Option<Arc<Aggregate>>,
    pub(crate) delta: bool,
    pub(crate) hears_members: bool,
    pub(crate) more: More,
    /// Seconds that the client is told to have.
    pub(crate) ttl: Option<u64>,
}

impl Place {
    /// What the client gets of what it wishes; an error names what it cannot have.
    pub(crate) fn of(
        session: &Session,
        (wish, options): (&Subscribe<'_>, &Options),
        (grant, door): (&Grant, Door),
        turn: &Turn<'_>,
    ) -> Result<Self, ClientError> {
        let delivery = delivery(wish, options)?;
        let aggregate = aggregate::of(wish, options)?;
        let filter = filter(wish, options)?;
        let interest = options.interest.as_ref().map(|_| Arc::default());
        // What passes a filter has gaps: no deltas there.
        let delta =
            !wish.delta.is_empty() && options.delta && filter.is_none() && interest.is_none() && aggregate.is_none();
        let info = grant
            .info
            .as_ref()
            .map(|info| Arc::new(ClientInfo { chan_info: Some(info.clone()), ..ClientInfo::clone(&session.who) }));
        let (due, is_renewed_by_app, ttl) = ends(grant, (options, door), turn)?;
        let more = More {
            info: info.clone(),
            counted: grant.overrides.presence,
            announced: grant.overrides.join_leave,
            publishes: grant.overrides.publish,
            is_server_side: door == Door::Server,
            due,
            is_renewed_by_app,
        };
        let forced = grant.overrides.force_push_join_leave.unwrap_or(options.force_push_join_leave);
        let hears_members = announced(Some(&more), Some(options)) && (forced || wish.join_leave);
        let who = info.unwrap_or_else(|| Arc::clone(&session.who));
        Ok(Self { who, filter, interest, delivery, aggregate, delta, hears_members, more, ttl })
    }

    pub(crate) fn member(&self, options: &Options, turn: &Turn<'_>) -> Membership<'_> {
        Membership {
            worker: turn.address.worker,
            info: &self.who,
            counted: counted(Some(&self.more), Some(options)),
            announced: announced(Some(&self.more), Some(options)),
        }
    }

    /// Sits down. `has_values`: of a map, all that deltas are made against.
    ///
    /// The reply that tells of it must be queued in the same turn: then it stands in the outbox before any push of this
    /// channel can, because mail is looked at after the frames are read.
    pub(crate) fn take(self, session: &mut Session, joined: &Joined, has_values: bool, turn: &mut Turn<'_>) {
        let seat = Seat {
            slot: turn.address.slot,
            encoding: session.endpoint.encoding(),
            hears_members: self.hears_members,
            filter: self.filter,
            interest: self.interest,
            delivery: self.delivery,
            delta: self.delta,
            has_values,
            aggregate: self.aggregate,
        };
        turn.shard.join(joined, seat);
        let more = (self.more != More::default()).then(|| Box::new(self.more));
        session.keep_subscription(Subscription { key: joined.key, name: Arc::clone(&joined.name), more });
        session.tell_subscribed(&joined.name, turn);
    }

    /// Leaves out what the client does not want to hear; that counts as seen.
    pub(crate) fn sift(&self, publications: &mut Vec<Arc<Publication>>) {
        if let Some(filter) = &self.filter {
            publications.retain(|publication| filter.matches(publication.tags()));
        }
    }
}

/// When a granted subscription ends, whether the application renews it, and what the client is told of it.
fn ends(
    grant: &Grant,
    (options, door): (&Options, Door),
    turn: &Turn<'_>,
) -> Result<(Tick, bool, Option<u64>), ClientError> {
    let Some(at) = grant.expire_at else { return Ok((0, false, None)) };
    let now = turn.now.millis / 1000;
    if at <= now {
        return Err(ClientError::EXPIRED);
    }
    let due = Session::tick_of(at, (turn.now.tick, turn.now.millis)).max(1);
    if door != Door::Token && options.sub_refresh_call.is_some() {
        return Ok((due, true, None));
    }
    let ttl = (at - now).min(MOST_SECONDS);
    Ok((due.saturating_add(turn.settings.expired_sub_close_delay), false, Some(ttl)))
}

/// A year: what clients can set a timer for.
pub(crate) const MOST_SECONDS: u64 = 365 * 24 * 3600;

fn delivery(wish: &Subscribe<'_>, options: &Options) -> Result<Delivery, ClientError> {
    if wish.delivery.is_empty() {
        return Ok(options.delivery);
    }
    let Some(delivery) = Delivery::parse(&wish.delivery) else {
        return Err(bad("delivery must be all, latest, drop_oldest or sampled:N with N from 1 to 1000"));
    };
    // The value that gives way may be the last one of its key, and the client's map would be wrong for ever.
    if options.is_map() && delivery == Delivery::DropOldest {
        return Err(bad("delivery of a map cannot be drop_oldest: a key's last value may be lost; ask for latest"));
    }
    if delivery.is_gentler_than(options.delivery) {
        Ok(delivery)
    } else {
        Err(bad("delivery may only be gentler than the namespace's; leave it out, or ask for latest or sampled:N"))
    }
}

fn filter(wish: &Subscribe<'_>, options: &Options) -> Result<Option<Arc<Filter>>, ClientError> {
    let Some(node) = &wish.filter else { return Ok(None) };
    if !options.tags_filter {
        return Err(bad("the namespace has no allow_tags_filter"));
    }
    let filter = Filter::new(node).map_err(|error| bad(&error.to_string()))?;
    Ok(Some(Arc::new(filter)))
}

/// Lets a client into a stream by somebody's leave; nothing has changed if it fails.
pub(crate) fn enter(
    session: &mut Session,
    wish: &Subscribe<'_>,
    (grant, door): (&Grant, Door),
    turn: &mut Turn<'_>,
) -> Result<Subscribed, ClientError> {
    let namespaces = turn.hub.namespaces();
    let options = namespaces.of(&wish.channel).ok_or(ClientError::UNKNOWN_CHANNEL)?;
    if options.is_map() {
        // What a map holds comes in pages, and only a client can ask for the next one.
        return Err(bad("a map is entered by a client's own subscribe command"));
    }
    let place = Place::of(session, (wish, options), (grant, door), turn)?;
    let positions = match place.aggregate {
        // A figure has no place in the history.
        Some(_) => Positions::default(),
        None => Positions::of(session, (wish, options), (grant, place.delivery), turn),
    };
    let since = Since {
        position: &wish.since,
        or_nothing: wish.flag & ERROR_IF_UNRECOVERED != 0,
        latest: place.delivery.skips(),
    };
    let since = positions.recovers.then_some(since);
    let mut joined = turn.hub.subscribe(&wish.channel, place.member(options, turn), since, turn.now.millis)?;
    let mut recovery = joined.recovery.take().unwrap_or_default();
    if place.aggregate.is_some() {
        recovery.publications.clear();
    }
    place.sift(&mut recovery.publications);
    if let (Some(interest), Some(by)) = (&place.interest, &options.interest) {
        recovery.publications.retain(|publication| interest.wants(by, publication));
    }
    let patches = if place.delta { patches(&recovery.publications, false) } else { Vec::new() };
    let subscribed = Subscribed {
        position: joined.position.take(),
        recoverable: positions.recoverable,
        positioned: positions.positioned,
        was_recovering: wish.recover,
        recovered: recovery.recovered,
        publications: recovery.publications,
        data: grant.data.clone(),
        ttl: place.ttl,
        delta: place.delta,
        patches,
        ..Subscribed::default()
    };
    place.take(session, &joined, false, turn);
    Ok(subscribed)
}

/// What a client gets of what it asked about positions.
#[derive(Clone, Copy, Debug, Default)]
struct Positions {
    recoverable: bool,
    positioned: bool,
    /// It comes back, and may be told what it missed.
    recovers: bool,
}

impl Positions {
    fn of(
        session: &Session,
        (wish, options): (&Subscribe<'_>, &Options),
        (grant, delivery): (&Grant, Delivery),
        turn: &Turn<'_>,
    ) -> Self {
        if !options.has_history() {
            return Self::default();
        }
        // It is about to be a subscriber, and recovery tells it no more than `history` would.
        let may_read = turn.settings.insecure
            || options.read_history.allows(!session.user().is_empty(), true)
            || extras::allows(session.extras.as_deref(), &wish.channel, Right::History);
        let asks = wish.recoverable || wish.recover;
        let forced = grant.overrides.force_recovery.unwrap_or(options.force_recovery);
        let recoverable = options.can_recover(delivery) && (forced || (asks && (options.allow_recovery || may_read)));
        let forced = grant.overrides.force_positioning.unwrap_or(options.force_positioning);
        let positioned = forced || (wish.positioned && (options.allow_positioning || may_read));
        // Who may recover must know where it is.
        Self { recoverable, positioned: positioned || recoverable, recovers: recoverable && wish.recover }
    }
}

/// What stands for each payload whose predecessor is known; the first is whole. Maps have a chain for each key, streams
/// one for all, whatever keys their publications have.
pub(crate) fn patches(publications: &[Arc<Publication>], is_map: bool) -> Vec<Option<Bytes>> {
    let mut last: HashMap<Option<&Arc<str>>, &Arc<Publication>> = HashMap::new();
    let mut made = Vec::with_capacity(publications.len());
    for publication in publications {
        let chain = publication.key().filter(|_| is_map);
        let before = last.insert(chain, publication);
        made.push(before.and_then(|before| jackfield_hub::patch(before, publication)));
    }
    if made.iter().all(Option::is_none) { Vec::new() } else { made }
}
