//! Commands on what a group has on loan: who has it, and who takes it over.

use std::collections::BTreeMap;

use bytes::Bytes;
use jackfield_model::Millis;

use super::command::{Arguments, CommandError, Context, Outcome};
use super::resp;
use super::stream::{Group, StreamId};
use super::stream_commands::{Done, bound, demand_group, entries, signed};

/// How many XAUTOCLAIM takes where it is not told.
const CLAIM_COUNT: usize = 100;

/// `XAUTOCLAIM key group consumer min-idle start [COUNT n] [JUSTID]`.
pub(super) fn xautoclaim(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let (key, group, consumer) = (arguments.next()?, arguments.next()?, arguments.next()?);
    let idle = arguments.number::<i64>()?.max(0).unsigned_abs();
    let start = bound(arguments.next()?, 0, StreamId::next)?;
    let (mut limit, mut only_ids) = (CLAIM_COUNT, false);
    while arguments.end().is_err() {
        if arguments.takes("COUNT") {
            limit = arguments.number()?;
        } else if arguments.takes("JUSTID") {
            only_ids = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if limit == 0 {
        return Err(CommandError::Message("ERR COUNT must be > 0".to_owned()));
    }
    demand_group(context, key, group, "")?;
    let (now, ask) = (context.now, (start, idle, limit));
    let claimed = context.store.with_stream(key, |stream| stream.claim(group, consumer, now, ask))?.unwrap_or_default();
    resp::array(context.out, 3);
    resp::bulk(context.out, claimed.cursor.to_string().as_bytes());
    if only_ids {
        id_list(context.out, claimed.entries.iter().map(|(id, _)| *id));
    } else {
        entries(context.out, &claimed.entries);
    }
    id_list(context.out, claimed.deleted.iter().copied());
    Ok(Outcome::Done)
}

/// `XPENDING key group [[IDLE ms] start end count [consumer]]`.
pub(super) fn xpending(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let (key, name) = (arguments.next()?, arguments.next()?);
    let summary = arguments.end().is_ok();
    demand_group(context, key, name, "")?;
    let Some(group) = context.store.stream(key)?.and_then(|stream| stream.group(name)) else {
        return Ok(Outcome::Done);
    };
    if summary {
        summarise(context.out, group);
        return Ok(Outcome::Done);
    }
    let idle: Millis = if arguments.takes("IDLE") { arguments.number()? } else { 0 };
    let from = bound(arguments.next()?, 0, StreamId::next)?;
    let to = bound(arguments.next()?, u64::MAX, StreamId::previous)?;
    let limit = arguments.number()?;
    let consumer = arguments.rest().first();
    let mut found = Vec::new();
    if from <= to {
        let age = |since: Millis| context.now.saturating_sub(since);
        let range = group.pending.range(from..=to);
        let wanted = range
            .filter(|(_, pending)| age(pending.since) >= idle && consumer.is_none_or(|name| *name == pending.consumer));
        found.extend(wanted.take(limit));
    }
    resp::array(context.out, found.len());
    for (id, pending) in found {
        resp::array(context.out, 4);
        resp::bulk(context.out, id.to_string().as_bytes());
        resp::bulk(context.out, &pending.consumer);
        resp::integer(context.out, signed(context.now.saturating_sub(pending.since)));
        resp::integer(context.out, signed(pending.times));
    }
    Ok(Outcome::Done)
}

fn summarise(out: &mut Vec<u8>, group: &Group) {
    let (first, last) = (group.pending.first_key_value(), group.pending.last_key_value());
    resp::array(out, 4);
    resp::integer(out, signed(group.pending.len() as u64));
    let (Some((first, _)), Some((last, _))) = (first, last) else {
        resp::null(out);
        resp::null(out);
        return resp::null_array(out);
    };
    resp::bulk(out, first.to_string().as_bytes());
    resp::bulk(out, last.to_string().as_bytes());
    let mut consumers = BTreeMap::<&Bytes, u64>::new();
    for pending in group.pending.values() {
        *consumers.entry(&pending.consumer).or_default() += 1;
    }
    resp::array(out, consumers.len());
    for (consumer, number) in consumers {
        resp::array(out, 2);
        resp::bulk(out, consumer);
        resp::bulk(out, number.to_string().as_bytes());
    }
}

fn id_list(out: &mut Vec<u8>, ids: impl ExactSizeIterator<Item = StreamId>) {
    resp::array(out, ids.len());
    for id in ids {
        resp::bulk(out, id.to_string().as_bytes());
    }
}
