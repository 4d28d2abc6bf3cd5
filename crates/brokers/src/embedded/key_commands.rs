//! Commands on strings, lists and whole keys.

use bytes::Bytes;
use jackfield_model::Millis;

use super::command::{Arguments, CommandError, Context, Outcome, number};
use super::resp;

type Done = Result<Outcome, CommandError>;

/// `SET key value [NX | XX] [PX ms | EX s]`.
pub(super) fn set(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let (key, value) = (arguments.next()?, arguments.next()?);
    let (mut only_new, mut only_old, mut expires) = (false, false, None);
    while arguments.end().is_err() {
        if arguments.takes("NX") {
            only_new = true;
        } else if arguments.takes("XX") {
            only_old = true;
        } else if expires.is_none() && arguments.takes("PX") {
            expires = Some(moment(context.now, arguments.number()?, 1, "set")?);
        } else if expires.is_none() && arguments.takes("EX") {
            expires = Some(moment(context.now, arguments.number()?, 1000, "set")?);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if only_new && only_old {
        return Err(CommandError::Syntax);
    }
    let exists = context.store.exists(key);
    if (only_new && exists) || (only_old && !exists) {
        resp::null(context.out);
        return Ok(Outcome::Done);
    }
    context.store.room_for(key.len() + value.len())?;
    context.store.set_text(key, value);
    context.store.set_expiry(key, expires);
    resp::simple(context.out, "OK");
    Ok(Outcome::Done)
}

/// `GET key`.
pub(super) fn get(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let text = context.store.text(arguments.next()?)?;
    match text {
        Some(text) => resp::bulk(context.out, &text),
        None => resp::null(context.out),
    }
    Ok(Outcome::Done)
}

/// `DEL key...`.
pub(super) fn del(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let removed = arguments.some()?.iter().filter(|key| context.store.remove(key)).count();
    count(context, removed)
}

/// `EXISTS key...`.
pub(super) fn exists(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let found = arguments.some()?.iter().filter(|key| context.store.exists(key)).count();
    count(context, found)
}

/// `EXPIRE key s`.
pub(super) fn expire(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    expire_in(context, arguments, 1000, "expire")
}

/// `PEXPIRE key ms`.
pub(super) fn pexpire(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    expire_in(context, arguments, 1, "pexpire")
}

fn expire_in(context: &mut Context<'_>, arguments: &mut Arguments<'_>, unit: i64, command: &str) -> Done {
    let (key, amount) = (arguments.next()?, arguments.number::<i64>()?);
    arguments.end()?;
    let done = if amount <= 0 {
        context.store.remove(key)
    } else {
        let when = moment(context.now, amount, unit, command)?;
        context.store.set_expiry(key, Some(when))
    };
    count(context, usize::from(done))
}

/// `PTTL key`: -2 without a key, -1 without an end.
pub(super) fn pttl(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let left = match context.store.expiry(arguments.next()?) {
        None => -2,
        Some(None) => -1,
        Some(Some(when)) => i64::try_from(when.saturating_sub(context.now)).unwrap_or(i64::MAX),
    };
    resp::integer(context.out, left);
    Ok(Outcome::Done)
}

/// `RPUSH key element...`.
pub(super) fn rpush(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let (key, elements) = (arguments.next()?, arguments.some()?);
    context.store.room_for(elements.iter().map(Bytes::len).sum())?;
    let length = context.store.push(key, elements)?;
    count(context, length)
}

/// `LLEN key`.
pub(super) fn llen(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let length = context.store.list_len(arguments.next()?)?;
    count(context, length)
}

/// `LPOP key [count]`.
pub(super) fn lpop(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let key = arguments.next()?;
    if arguments.end().is_ok() {
        match context.store.pop(key, 1)?.first() {
            Some(element) => resp::bulk(context.out, element),
            None => resp::null(context.out),
        }
        return Ok(Outcome::Done);
    }
    let wanted = arguments.number::<u32>()?;
    arguments.end()?;
    if !context.store.exists(key) {
        resp::null_array(context.out);
        return Ok(Outcome::Done);
    }
    let elements = context.store.pop(key, wanted as usize)?;
    resp::array(context.out, elements.len());
    for element in elements {
        resp::bulk(context.out, &element);
    }
    Ok(Outcome::Done)
}

/// `BLPOP key... seconds`.
pub(super) fn blpop(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Done {
    let Some((timeout, keys)) = arguments.some()?.split_last() else {
        return Err(CommandError::Syntax);
    };
    let timeout = wait(timeout)?;
    for key in keys {
        if let Some(element) = context.store.pop(key, 1)?.first() {
            resp::array(context.out, 2);
            resp::bulk(context.out, key);
            resp::bulk(context.out, element);
            return Ok(Outcome::Done);
        }
    }
    Ok(Outcome::Empty(timeout))
}

/// Seconds with a fraction, as milliseconds; a little more than nothing does not become for ever.
fn wait(seconds: &[u8]) -> Result<Millis, CommandError> {
    let error = |text: &str| CommandError::Message(format!("ERR timeout is {text}"));
    let number: f64 = number(seconds).map_err(|_| error("not a float or out of range"))?;
    if number < 0.0 {
        return Err(error("negative"));
    }
    let wait = std::time::Duration::try_from_secs_f64(number).map_err(|_| error("not a float or out of range"))?;
    let millis = u64::try_from(wait.as_micros().div_ceil(1000));
    millis.map_err(|_| error("out of range"))
}

fn moment(now: Millis, amount: i64, unit: i64, command: &str) -> Result<Millis, CommandError> {
    let moment =
        amount.checked_mul(unit).filter(|millis| *millis > 0).and_then(|millis| now.checked_add(millis.unsigned_abs()));
    moment.ok_or_else(|| CommandError::Message(format!("ERR invalid expire time in '{command}' command")))
}

fn count(context: &mut Context<'_>, number: usize) -> Done {
    resp::integer(context.out, i64::try_from(number).unwrap_or(i64::MAX));
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use crate::embedded::command::tests::run;
    use crate::embedded::store::Store;

    #[test]
    fn a_lease_is_taken_once_kept_and_given_back() {
        let mut store = Store::new(1 << 20);
        assert_eq!(run(&mut store, 0, "SET lease a NX PX 5000"), "+OK");
        assert_eq!(run(&mut store, 1, "SET lease b NX PX 5000"), "$-1");
        assert_eq!(run(&mut store, 2000, "PTTL lease"), ":3000");
        assert_eq!(run(&mut store, 2000, "PEXPIRE lease 5000"), ":1");
        assert_eq!(run(&mut store, 6999, "GET lease"), "$1 a");
        assert_eq!(run(&mut store, 7000, "GET lease"), "$-1");
        assert_eq!(run(&mut store, 7000, "SET lease b XX"), "$-1");
        assert_eq!(run(&mut store, 7000, "SET lease b NX EX 5"), "+OK");
        assert_eq!(run(&mut store, 7000, "DEL lease none"), ":1");
        assert_eq!(run(&mut store, 7000, "PTTL lease"), ":-2");
        assert_eq!(run(&mut store, 7000, "SET lease b NX XX"), "-ERR syntax error");
        assert_eq!(run(&mut store, 7000, "SET lease b PX 0"), "-ERR invalid expire time in 'set' command");
    }

    #[test]
    fn lists_are_queues() {
        let mut store = Store::new(1 << 20);
        assert_eq!(run(&mut store, 0, "BLPOP l m 0.0001"), "(wait 1)");
        assert_eq!(run(&mut store, 0, "RPUSH m 1 2 3 4"), ":4");
        assert_eq!(run(&mut store, 0, "BLPOP l m 0"), "*2 $1 m $1 1");
        assert_eq!(run(&mut store, 0, "LPOP m"), "$1 2");
        assert_eq!(run(&mut store, 0, "LLEN m"), ":2");
        assert_eq!(run(&mut store, 0, "LPOP m 9"), "*2 $1 3 $1 4");
        assert_eq!(run(&mut store, 0, "LPOP m 9"), "*-1");
        assert_eq!(run(&mut store, 0, "EXISTS m m"), ":0");
        assert_eq!(run(&mut store, 0, "BLPOP m -1"), "-ERR timeout is negative");
        assert_eq!(run(&mut store, 0, "BLPOP m x"), "-ERR timeout is not a float or out of range");
    }

    #[test]
    fn memory_has_an_end() {
        let mut store = Store::new(350);
        assert_eq!(run(&mut store, 0, "SET k v"), "+OK");
        let large = format!("SET k {}", "v".repeat(2 << 20));
        assert!(run(&mut store, 0, &large).starts_with("-OOM command not allowed"));
        assert_eq!(run(&mut store, 0, "GET k"), "$1 v");
        assert!(run(&mut store, 0, &large.replace("SET", "RPUSH")).starts_with("-OOM"));
        assert_eq!(run(&mut store, 0, "XADD s 1-1 k v"), "$3 1-1");
        assert!(run(&mut store, 0, "XADD s 1-2 k v").starts_with("-OOM"));
        assert_eq!(run(&mut store, 0, "XGROUP CREATE s g 0"), "+OK");
    }
}
