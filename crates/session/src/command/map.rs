//! A map on its way to a client: pages of its state, then of its stream, then live.
//!
//! While pages are read nothing is joined: what changes meanwhile is in the stream since the first page. Later pages go by
//! the options and the leave of the first request.

use jackfield_hub::namespace::{MapOptions, Options};
use jackfield_hub::{MapStep, MapWish, Page};
use jackfield_model::client::{Subscribe, Subscribed};
use jackfield_model::{ClientError, Disconnect, Grant, Position};

use super::admission::Refusal;
use crate::entry::{Door, Place, patches};
use crate::extras::Flow;
use crate::session::{Session, bad};
use crate::turn::Turn;

const STATE: u32 = 2;
const STREAM: u32 = 1;

/// Goes on with a map that the client is reading; `None` if it begins.
pub(super) fn go_on(
    session: &mut Session,
    subscribe: &Subscribe<'_>,
    options: &Options,
    turn: &mut Turn<'_>,
) -> Result<Option<Subscribed>, Refusal> {
    let continues = match subscribe.phase {
        0 => false,
        STATE => !subscribe.cursor.is_empty(),
        STREAM if !options.has_history() => {
            return Err(bad("an ephemeral map has no stream; ask for its state, phase 2").into());
        }
        STREAM => true,
        _ => return Err(bad("phase must be 2 for the state, 1 for the stream or 0").into()),
    };
    if session.is_asking_for(&subscribe.channel) {
        return Err(ClientError::CONCURRENT_PAGINATION.into());
    }
    let flow = session.take_flow(&subscribe.channel);
    session.drop_late_flows(turn.now.tick);
    let Some(flow) = flow else {
        // Only who was live before knows a position to go on from.
        let begins = !continues || (subscribe.phase == STREAM && subscribe.recover);
        return if begins { Ok(None) } else { Err(ClientError::PERMISSION_DENIED.into()) };
    };
    let is_late = flow.until <= turn.now.tick;
    if !continues {
        if is_late {
            // It gave up long ago and begins anew.
            return Ok(None);
        }
        session.put_flow(flow);
        return Err(ClientError::ALREADY_SUBSCRIBED.into());
    }
    if is_late {
        return Err(Refusal::Close(Disconnect::SLOW));
    }
    if subscribe.since.epoch != flow.first.epoch {
        return Err(ClientError::UNRECOVERABLE_POSITION.into());
    }
    let since = match subscribe.phase {
        STREAM => subscribe.since.clone(),
        _ => flow.first.clone(),
    };
    step(session, (flow, Some(&since)), subscribe, turn).map(Some)
}

/// The first page.
pub(super) fn first(
    session: &mut Session,
    subscribe: &Subscribe<'_>,
    (grant, door): (Grant, Door),
    turn: &mut Turn<'_>,
) -> Result<Subscribed, Refusal> {
    let Some(options) = turn.hub.namespaces().of(&subscribe.channel) else {
        return Err(ClientError::UNKNOWN_CHANNEL.into());
    };
    let patience = options.map.catch_up_timeout.div_ceil(100);
    let flow = Flow {
        wish: subscribe.to_owned(),
        grant,
        is_by_token: door == Door::Token,
        first: Position::default(),
        until: turn.now.tick.saturating_add(u32::try_from(patience).unwrap_or(u32::MAX)),
    };
    let since = (subscribe.phase == STREAM).then_some(&subscribe.since);
    step(session, (flow, since), subscribe, turn)
}

/// One page, or the last.
fn step(
    session: &mut Session,
    (mut flow, since): (Flow, Option<&Position>),
    subscribe: &Subscribe<'_>,
    turn: &mut Turn<'_>,
) -> Result<Subscribed, Refusal> {
    let Some(options) = turn.hub.namespaces().of(&subscribe.channel) else {
        return Err(ClientError::UNKNOWN_CHANNEL.into());
    };
    let door = if flow.is_by_token { Door::Token } else { Door::Called };
    let place = Place::of(session, (&flow.wish, options), (&flow.grant, door), turn)?;
    // Its position is from a life in which keys may have passed it by.
    let comes_back = flow.first.epoch.is_empty() && subscribe.phase == STREAM;
    if comes_back && !options.can_recover(place.delivery) {
        return Err(ClientError::UNRECOVERABLE_POSITION.into());
    }
    let limit = page_size(subscribe.limit, &options.map);
    let page = Page { cursor: &subscribe.cursor, limit, asc: flow.wish.asc };
    let is_state = subscribe.phase != STREAM;
    let wish = MapWish { page: is_state.then_some(page), since, limit };
    let member = place.member(options, turn);
    match turn.hub.subscribe_map(&subscribe.channel, member, wish, turn.now.millis)? {
        MapStep::Page { mut state, mut publications, cursor, position } => {
            place.sift(&mut state);
            place.sift(&mut publications);
            if flow.first.epoch.is_empty() {
                flow.first = position.clone();
            }
            session.put_flow(flow);
            Ok(Subscribed {
                position: Some(position),
                publications,
                // Decoded only when all pages are there: each must be as the last one says.
                delta: place.delta,
                kind: 1,
                phase: if is_state { STATE } else { STREAM },
                cursor,
                state,
                ..Subscribed::default()
            })
        }
        MapStep::Live { mut joined, mut state } => {
            let mut publications = joined.recovery.take().unwrap_or_default().publications;
            place.sift(&mut state);
            place.sift(&mut publications);
            // `recovered` makes clients take the publications for changes to what they have; so only if they have it.
            let recovers = flow.wish.recover;
            let subscribed = Subscribed {
                position: joined.position.take(),
                recoverable: options.can_recover(place.delivery),
                was_recovering: recovers,
                recovered: recovers,
                patches: if place.delta { patches(&publications, true) } else { Vec::new() },
                publications,
                data: flow.grant.data,
                ttl: place.ttl,
                delta: place.delta,
                kind: 1,
                state,
                ..Subscribed::default()
            };
            place.take(session, &joined, true, turn);
            Ok(subscribed)
        }
    }
}

fn page_size(limit: u32, options: &MapOptions) -> usize {
    let limit = if limit == 0 { options.page_size } else { limit };
    limit.max(options.min_page_size).min(options.max_page_size).max(1) as usize
}
