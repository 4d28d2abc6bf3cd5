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
    /// `iat`, seconds since 1970.
    pub issued_at: Option<u64>,
}

/// A moment in seconds since 1970 up to which something counts; `None`: for ever.
type Until = Option<u64>;

#[derive(Debug, Default)]
struct Lists {
    blocked: HashMap<Arc<str>, Until, ahash::RandomState>,
    revoked: HashMap<Box<str>, Until, ahash::RandomState>,
    invalid: HashMap<Arc<str>, (u64, Until), ahash::RandomState>,
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
        self.lists().revoked.insert(revocation.uid.as_str().into(), revocation.expire_at);
    }

    pub(crate) fn invalidate(&self, tokens: &InvalidTokens) {
        self.lists().invalid.insert(Arc::clone(&tokens.user), (tokens.issued_before, tokens.expire_at));
    }

    pub(crate) fn is_blocked(&self, user: &str, now: Millis) -> bool {
        self.lists().blocked.get(user).is_some_and(|until| counts(*until, now))
    }

    pub(crate) fn is_void(&self, user: &str, marks: TokenMarks<'_>, now: Millis) -> bool {
        let lists = self.lists();
        let revoked = !marks.uid.is_empty() && lists.revoked.get(marks.uid).is_some_and(|until| counts(*until, now));
        revoked
            || lists.invalid.get(user).is_some_and(|(before, until)| {
                // A token that does not say when it was issued may be as old as any.
                counts(*until, now) && marks.issued_at.is_none_or(|issued| issued < *before)
            })
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
            .map(|(uid, until)| Command::RevokeToken(Revocation { uid: uid.to_string(), expire_at: *until }));
        let invalid = lists.invalid.iter().map(|(user, (before, until))| {
            let user = Arc::clone(user);
            Command::InvalidateUserTokens(InvalidTokens { user, issued_before: *before, expire_at: *until })
        });
        blocked.chain(revoked).chain(invalid).collect()
    }

    /// Forgets what no longer counts.
    pub(crate) fn sweep(&self, now: Millis) {
        let mut lists = self.lists();
        lists.blocked.retain(|_, until| counts(*until, now));
        lists.revoked.retain(|_, until| counts(*until, now));
        lists.invalid.retain(|_, (_, until)| counts(*until, now));
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
        bans.revoke(&Revocation { uid: "j".to_owned(), expire_at: None });
        bans.invalidate(&InvalidTokens { user: "eve".into(), issued_before: 100, expire_at: Some(50) });
        let void = |user, uid, issued_at, now| bans.is_void(user, TokenMarks { uid, issued_at }, now);
        assert!(void("ann", "j", Some(5), 0) && !void("ann", "", None, 0) && !void("ann", "k", None, 0));
        assert!(void("eve", "", Some(99), 0) && void("eve", "", None, 0) && !void("eve", "", Some(100), 0));
        assert!(!void("eve", "", None, 50_000));
        bans.sweep(50_000);
        assert!(bans.lists().blocked.is_empty() && bans.lists().invalid.is_empty() && !bans.lists().revoked.is_empty());
    }
}
