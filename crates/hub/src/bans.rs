//! Who is kept out, and which tokens are void, whatever they say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use jackfield_model::Millis;
use jackfield_model::app::{Block, Command, InvalidTokens, Revocation};

/// What a token says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenMarks<'a> {
    /// `jti`; empty where it has none.
    pub uid: &'a str,
    /// `iat`, in milliseconds.
    pub issued_at: Option<Millis>,
}

/// How a token is void.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Void {
    /// Who came by it is not wanted any more.
    ForGood,
    /// Who came by it may come again with a new one.
    Renew,
}

impl Void {
    fn by(renew: bool) -> Self {
        if renew { Self::Renew } else { Self::ForGood }
    }
}

/// A moment in seconds since 1970 up to which something counts; `None`: for ever.
type Until = Option<u64>;

/// A user's tokens that are too old.
#[derive(Clone, Copy, Debug)]
struct Old {
    before: Millis,
    until: Until,
    renew: bool,
}

#[derive(Debug, Default)]
struct Lists {
    blocked: HashMap<Arc<str>, Until, ahash::RandomState>,
    revoked: HashMap<Box<str>, (Until, bool), ahash::RandomState>,
    invalid: HashMap<Arc<str>, Old, ahash::RandomState>,
}

/// The lists, read once per connect and refresh.
#[derive(Debug, Default)]
pub(crate) struct Bans {
    lists: Mutex<Lists>,
}

fn counts(until: Until, now: Millis) -> bool {
    until.is_none_or(|until| now < until.saturating_mul(1000))
}

impl Bans {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn block(&self, block: &Block) {
        self.lists().blocked.insert(Arc::clone(&block.user), block.expire_at);
    }

    pub(crate) fn unblock(&self, user: &str) {
        self.lists().blocked.remove(user);
    }

    pub(crate) fn revoke(&self, revocation: &Revocation) {
        let Revocation { uid, expire_at, renew } = revocation;
        let mut lists = self.lists();
        let entry = lists.revoked.entry(uid.as_str().into()).or_insert((*expire_at, *renew));
        // Whoever is not wanted any more does not come again because of a later word.
        *entry = (*expire_at, *renew && entry.1);
    }

    pub(crate) fn invalidate(&self, tokens: &InvalidTokens) {
        let InvalidTokens { user, issued_before, expire_at, renew } = tokens;
        let old = Old { before: *issued_before, until: *expire_at, renew: *renew };
        self.lists().invalid.insert(Arc::clone(user), old);
    }

    pub(crate) fn is_blocked(&self, user: &str, now: Millis) -> bool {
        self.lists().blocked.get(user).is_some_and(|until| counts(*until, now))
    }

    pub(crate) fn void(&self, user: &str, marks: TokenMarks<'_>, now: Millis) -> Option<Void> {
        let lists = self.lists();
        let revoked = lists.revoked.get(marks.uid).filter(|(until, _)| !marks.uid.is_empty() && counts(*until, now));
        let old = lists.invalid.get(user).filter(|old| {
            // A token that does not say when it was issued may be as old as any.
            counts(old.until, now) && marks.issued_at.is_none_or(|issued| issued < old.before)
        });
        match (revoked, old) {
            (None, None) => None,
            (Some((_, renew)), None) => Some(Void::by(*renew)),
            (None, Some(old)) => Some(Void::by(old.renew)),
            (Some((_, renew)), Some(old)) => Some(Void::by(*renew && old.renew)),
        }
    }

    pub(crate) fn commands(&self) -> Vec<Command> {
        let lists = self.lists();
        let blocked = lists
            .blocked
            .iter()
            .map(|(user, until)| Command::BlockUser(Block { user: Arc::clone(user), expire_at: *until }));
        let revoked = lists
            .revoked
            .iter()
            .map(|(uid, (until, renew))| Revocation { uid: uid.to_string(), expire_at: *until, renew: *renew })
            .map(Command::RevokeToken);
        let invalid = lists.invalid.iter().map(|(user, Old { before, until, renew })| {
            let user = Arc::clone(user);
            let tokens = InvalidTokens { user, issued_before: *before, expire_at: *until, renew: *renew };
            Command::InvalidateUserTokens(tokens)
        });
        blocked.chain(revoked).chain(invalid).collect()
    }

    /// Forgets what no longer counts.
    pub(crate) fn sweep(&self, now: Millis) {
        let mut lists = self.lists();
        lists.blocked.retain(|_, until| counts(*until, now));
        lists.revoked.retain(|_, (until, _)| counts(*until, now));
        lists.invalid.retain(|_, old| counts(old.until, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_count_until_their_time_is_over() {
        let bans = Bans::default();
        bans.block(&Block { user: "ann".into(), expire_at: Some(10) });
        bans.block(&Block { user: "bob".into(), expire_at: None });
        assert!(bans.is_blocked("ann", 9_999) && !bans.is_blocked("ann", 10_000) && bans.is_blocked("bob", u64::MAX));
        bans.unblock("bob");
        assert!(!bans.is_blocked("bob", 0));
        bans.revoke(&Revocation { uid: "j".to_owned(), ..Revocation::default() });
        bans.invalidate(&InvalidTokens { user: "eve".into(), issued_before: 100, expire_at: Some(50), renew: true });
        let void = |user, uid, issued_at, now| bans.void(user, TokenMarks { uid, issued_at }, now).is_some();
        assert!(void("ann", "j", Some(5), 0) && !void("ann", "", None, 0) && !void("ann", "k", None, 0));
        assert!(void("eve", "", Some(99), 0) && void("eve", "", None, 0) && !void("eve", "", Some(100), 0));
        assert!(!void("eve", "", None, 50_000));
        let how = |user, uid| bans.void(user, TokenMarks { uid, issued_at: None }, 0);
        assert_eq!(
            (how("ann", "j"), how("eve", ""), how("eve", "j")),
            (Some(Void::ForGood), Some(Void::Renew), Some(Void::ForGood))
        );
        bans.revoke(&Revocation { uid: "j".to_owned(), expire_at: None, renew: true });
        assert_eq!(how("ann", "j"), Some(Void::ForGood));
        bans.sweep(50_000);
        assert!(bans.lists().blocked.is_empty() && bans.lists().invalid.is_empty() && !bans.lists().revoked.is_empty());
    }
}
