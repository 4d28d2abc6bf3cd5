//! Commands on streams and their groups.

use bytes::Bytes;
use jackfield_model::Millis;

use super::command::{Arguments, CommandError, Context, Outcome};
use super::resp;
use super::stream::{NewId, StreamId};

pub(super) type Done = Result<Outcome, CommandError>;
pub(super) type Found = Vec<(StreamId, Bytes)>;
/// What is read of one stream; an entry without a body is no longer in it.
type Read<'a> = (&'a Bytes, Vec<(StreamId, Option<Bytes>)>);

/// `XADD key [NOMKSTREAM] [MAXLEN [~ | =] n [LIMIT n]] * | id field value...`.
pub(super) fn xadd(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let key = arguments.next()?;
    let create = !arguments.takes("NOMKSTREAM");
    let length = if arguments.takes("MAXLEN") { Some(trim_length(arguments)?) } else { None };
    let id = new_id(arguments.next()?)?;
    let fields = arguments.some()?;
    if fields.len() % 2 == 1 {
        return Err(CommandError::Arity("xadd"));
    }
    if !create && context.store.stream(key)?.is_none() {
        resp::null(context.out);
        return Ok(Outcome::Done);
    }
    let body = body(fields);
    context.store.room_for_entry(key.len() + body.len())?;
    let id = context.store.append(key, id, context.now, body)?;
    if let Some(length) = length {
        context.store.with_stream(key, |stream| stream.trim(length))?;
    }
    resp::bulk(context.out, id.to_string().as_bytes());
    Ok(Outcome::Done)
}

/// Names and values in the form in which an entry is kept and sent.
pub(super) fn body<S: AsRef<[u8]>>(fields: &[S]) -> Bytes {
    let bytes: usize = fields.iter().map(|field| field.as_ref().len() + 16).sum();
    let mut body = Vec::with_capacity(bytes);
    resp::array(&mut body, fields.len());
    for field in fields {
        resp::bulk(&mut body, field.as_ref());
    }
    body.shrink_to_fit();
    Bytes::from(body)
}

/// `XLEN key`.
pub(super) fn xlen(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let length = context.store.stream(arguments.next()?)?.map_or(0, |stream| stream.len());
    count(context, length)
}

/// `XRANGE key start end [COUNT n]`.
pub(super) fn xrange(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let key = arguments.next()?;
    let from = bound(arguments.next()?, 0, StreamId::next)?;
    let to = bound(arguments.next()?, u64::MAX, StreamId::previous)?;
    let limit = if arguments.takes("COUNT") { arguments.number()? } else { usize::MAX };
    arguments.end()?;
    let stream = context.store.stream(key)?;
    let found = stream.map_or_else(Vec::new, |stream| stream.range(from, to, limit));
    entries(context.out, &found);
    Ok(Outcome::Done)
}

/// `XDEL key id...`.
pub(super) fn xdel(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let (key, ids) = (arguments.next()?, ids(arguments.some()?)?);
    let removed = context.store.with_stream(key, |stream| ids.iter().filter(|id| stream.remove(**id)).count())?;
    count(context, removed.unwrap_or(0))
}

/// `XTRIM key MAXLEN [~ | =] n [LIMIT n]`.
pub(super) fn xtrim(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let key = arguments.next()?;
    if !arguments.takes("MAXLEN") {
        return Err(CommandError::Syntax);
    }
    let length = trim_length(arguments)?;
    arguments.end()?;
    let removed = context.store.with_stream(key, |stream| stream.trim(length))?;
    count(context, removed.unwrap_or(0))
}

/// `XGROUP CREATE key group id | $ [MKSTREAM] [ENTRIESREAD n]`.
pub(super) fn xgroup(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    if !arguments.takes("CREATE") {
        let word = String::from_utf8_lossy(arguments.next()?).into_owned();
        let message = format!("ERR unknown subcommand '{word}'. Try XGROUP HELP.");
        return Err(CommandError::Message(message));
    }
    let (key, group, from) = (arguments.next()?, arguments.next()?, arguments.next()?);
    let mut create = false;
    while arguments.end().is_err() {
        if arguments.takes("MKSTREAM") {
            create = true;
        } else if arguments.takes("ENTRIESREAD") {
            arguments.number::<i64>()?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    context.store.room_for(key.len() + group.len())?;
    if context.store.stream(key)?.is_none() && !create {
        return Err(CommandError::Message(
            "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
             MKSTREAM option to create an empty stream automatically."
                .to_owned(),
        ));
    }
    let given = if from.as_ref() == b"$" { None } else { Some(id(from)?) };
    context.store.create_stream(key)?;
    let created = context.store.with_stream(key, |stream| stream.create_group(group, given.unwrap_or(stream.last)))?;
    if created != Some(true) {
        let message = "BUSYGROUP Consumer Group name already exists";
        return Err(CommandError::Message(message.to_owned()));
    }
    resp::simple(context.out, "OK");
    Ok(Outcome::Done)
}

/// `XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] STREAMS key... id...`.
pub(super) fn xreadgroup(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    if !arguments.takes("GROUP") {
        return Err(CommandError::Syntax);
    }
    let (group, consumer) = (arguments.next()?, arguments.next()?);
    let (mut limit, mut block) = (usize::MAX, None);
    loop {
        if arguments.takes("COUNT") {
            // Redis takes zero for no limit.
            limit = Some(arguments.number()?).filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        } else if arguments.takes("BLOCK") {
            block = Some(arguments.number::<Millis>()?);
        } else if arguments.takes("STREAMS") {
            break;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let names = arguments.some()?;
    if names.len() % 2 == 1 {
        let message =
            "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.";
        return Err(CommandError::Message(message.to_owned()));
    }
    let (keys, starts) = names.split_at(names.len() / 2);
    for key in keys {
        demand_group(context, key, group, " in XREADGROUP with GROUP option")?;
    }
    let mut read = Vec::new();
    for (key, start) in keys.iter().zip(starts) {
        if start.as_ref() != b">" {
            block = None;
            let above = id(start)?;
            let stream = context.store.stream(key)?;
            let loans = stream.map(|stream| stream.loans(group, consumer, above, limit));
            read.push((key, loans.unwrap_or_default()));
            continue;
        }
        let taken = take_new(context, (key, group, consumer), limit)?;
        if !taken.is_empty() {
            read.push((key, taken));
        }
    }
    if read.is_empty() {
        if let Some(block) = block {
            return Ok(Outcome::Empty(block));
        }
        resp::null_array(context.out);
        return Ok(Outcome::Done);
    }
    write_read(context.out, &read);
    Ok(Outcome::Done)
}

fn take_new(
    context: &mut Context<'_>,
    names: (&Bytes, &Bytes, &Bytes),
    limit: usize,
) -> Result<Vec<(StreamId, Option<Bytes>)>, CommandError> {
    let (key, group, consumer) = names;
    let (now, limits) = (context.now, (limit, usize::MAX));
    let taken = context.store.with_stream(key, |stream| stream.take_new(group, consumer, now, limits))?;
    Ok(taken.unwrap_or_default().into_iter().map(|(id, body)| (id, Some(body))).collect())
}

fn write_read(out: &mut Vec<u8>, read: &[Read<'_>]) {
    resp::array(out, read.len());
    for (key, found) in read {
        resp::array(out, 2);
        resp::bulk(out, key);
        resp::array(out, found.len());
        for (id, body) in found {
            resp::array(out, 2);
            resp::bulk(out, id.to_string().as_bytes());
            match body {
                Some(body) => out.extend_from_slice(body),
                None => resp::null_array(out),
            }
        }
    }
}

/// `XACK key group id...`.
pub(super) fn xack(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let (key, group) = (arguments.next()?, arguments.next()?);
    let ids = ids(arguments.some()?)?;
    let settled = context.store.with_stream(key, |stream| stream.acknowledge(group, &ids))?;
    count(context, settled.unwrap_or(0))
}

pub(super) fn demand_group(context: &Context<'_>, key: &Bytes, group: &Bytes, place: &str) -> Result<(), CommandError> {
    if context.store.stream(key)?.is_some_and(|stream| stream.group(group).is_some()) {
        return Ok(());
    }
    let (key, group) = (String::from_utf8_lossy(key), String::from_utf8_lossy(group));
    let message = format!("NOGROUP No such key '{key}' or consumer group '{group}'{place}");
    Err(CommandError::Message(message))
}

/// Reads what follows MAXLEN. Nearly and exactly are the same here; a LIMIT is read and not needed.
fn trim_length(arguments: &mut Arguments<'_>) -> Result<usize, CommandError> {
    if !arguments.takes("~") {
        arguments.takes("=");
    }
    let length = arguments.number()?;
    if arguments.takes("LIMIT") {
        arguments.number::<usize>()?;
    }
    Ok(length)
}

fn new_id(text: &[u8]) -> Result<NewId, CommandError> {
    if text == b"*" {
        return Ok(NewId::Clock);
    }
    if let Some(millis) = text.strip_suffix(b"-*") {
        return Ok(NewId::Millis(id(millis)?.millis));
    }
    let given = id(text)?;
    if given == StreamId::default() {
        let message = "ERR The ID specified in XADD must be greater than 0-0";
        return Err(CommandError::Message(message.to_owned()));
    }
    Ok(NewId::Given(given))
}

fn id(text: &[u8]) -> Result<StreamId, CommandError> {
    StreamId::parse(text, 0).ok_or(CommandError::StreamId)
}

fn ids(texts: &[Bytes]) -> Result<Vec<StreamId>, CommandError> {
    texts.iter().map(|text| id(text)).collect()
}

/// One end of a range: `-`, `+`, an id, or `(` and an id that is not in it.
pub(super) fn bound(
    text: &[u8],
    number: u64,
    inside: fn(StreamId) -> Option<StreamId>,
) -> Result<StreamId, CommandError> {
    if let Some(text) = text.strip_prefix(b"(") {
        let outside = StreamId::parse(text, number).ok_or(CommandError::StreamId)?;
        return inside(outside).ok_or(CommandError::StreamId);
    }
    match text {
        b"-" => Ok(StreamId::default()),
        b"+" => Ok(StreamId::MAX),
        _ => StreamId::parse(text, number).ok_or(CommandError::StreamId),
    }
}

pub(super) fn entries(out: &mut Vec<u8>, found: &Found) {
    resp::array(out, found.len());
    for (id, body) in found {
        resp::array(out, 2);
        resp::bulk(out, id.to_string().as_bytes());
        out.extend_from_slice(body);
    }
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(context: &mut Context<'_>, number: usize) -> Done {
    resp::integer(context.out, signed(number as u64));
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::embedded::command::tests::run;
    use crate::embedded::store::Store;

    #[test]
    fn an_entry_goes_from_the_sender_to_its_end() {
        let mut store = Store::new(1 << 20);
        let mut says = |now, line: &str| run(&mut store, now, line);
        assert_eq!(says(1, "XGROUP CREATE s g 0 MKSTREAM"), "+OK");
        assert_eq!(says(1, "XGROUP CREATE s g 0 MKSTREAM"), "-BUSYGROUP Consumer Group name already exists");
        assert_eq!(says(1, "XREADGROUP GROUP g c COUNT 9 BLOCK 50 STREAMS s >"), "(wait 50)");
        assert_eq!(says(1, "XREADGROUP GROUP g c STREAMS s >"), "*-1");
        assert_eq!(says(5, "XADD s MAXLEN ~ 10 * k v"), "$3 5-0");
        assert_eq!(says(5, "XADD s * k w"), "$3 5-1");
        assert_eq!(says(6, "XREADGROUP GROUP g c COUNT 1 BLOCK 0 STREAMS s >"), "*1 *2 $1 s *1 *2 $3 5-0 *2 $1 k $1 v");
        assert_eq!(says(7, "XPENDING s g"), "*4 :1 $3 5-0 $3 5-0 *1 *2 $1 c $1 1");
        assert_eq!(says(9, "XPENDING s g - + 9"), "*1 *4 $3 5-0 $1 c :3 :1");
        assert_eq!(says(9, "XPENDING s g IDLE 4 - + 9 c"), "*0");
        assert_eq!(says(9, "XREADGROUP GROUP g c STREAMS s 0"), "*1 *2 $1 s *1 *2 $3 5-0 *2 $1 k $1 v");
        assert_eq!(says(9, "XAUTOCLAIM s g d 0 0"), "*3 $3 0-0 *1 *2 $3 5-0 *2 $1 k $1 v *0");
        assert_eq!(says(9, "XAUTOCLAIM s g d 1 - JUSTID"), "*3 $3 0-0 *0 *0");
        assert_eq!(says(9, "XACK s g 5-0 5-1"), ":1");
        assert_eq!(says(9, "XDEL s 5-0 4-0"), ":1");
        assert_eq!(says(9, "XRANGE s - +"), "*1 *2 $3 5-1 *2 $1 k $1 w");
        assert_eq!(says(9, "XRANGE s (5-1 + COUNT 1"), "*0");
        assert_eq!(says(9, "XTRIM s MAXLEN 0"), ":1");
        assert_eq!(says(9, "XLEN s"), ":0");
        assert_eq!(says(9, "XPENDING s g"), "*4 :0 $-1 $-1 *-1");
    }

    #[test]
    fn mistakes_are_worded_as_redis_words_them() {
        let mut store = Store::new(1 << 20);
        let mut says = |line: &str| run(&mut store, 5, line);
        assert_eq!(
            says("XREADGROUP GROUP g c STREAMS s >"),
            "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"
        );
        assert!(says("XREADGROUP GROUP g c STREAMS a b >").starts_with("-ERR Unbalanced"));
        assert!(says("XGROUP CREATE s g $").starts_with("-ERR The XGROUP subcommand requires"));
        assert_eq!(says("XADD s NOMKSTREAM * k v"), "$-1");
        assert_eq!(says("XADD s 9-9 k v"), "$3 9-9");
        assert!(says("XADD s 9-9 k v").contains("equal or smaller"));
        assert!(says("XADD s 0 k v").contains("greater than 0-0"));
        assert_eq!(says("XADD s 9-* k v"), "$4 9-10");
        assert!(says("XADD s x k v").starts_with("-ERR Invalid stream ID"));
        assert_eq!(says("XADD s * k v w"), "-ERR wrong number of arguments for 'xadd' command");
        assert_eq!(says("XREADGROUP GROUP g c NOACK STREAMS s >"), "-ERR syntax error");
        assert_eq!(says("SET t v"), "+OK");
        assert!(says("XLEN t").starts_with("-WRONGTYPE"));
    }
}
