//! Questions of the application to one client, and who waits for the answers.
//!
//! Whoever takes a question out answers it: the client, the end of its connection, or the time that is up.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jackfield_model::app::{ClientCall, Target};
use jackfield_model::{ClientError, Millis, Uuid};

use crate::control::{ControlError, Done, Outcome};
use crate::hub::Hub;
use crate::orders::SessionOrder;
use crate::people::Address;

/// Questions that may be open at a time.
const MOST: usize = 65_536;

/// What a client answers: JSON, or an error of its own.
pub type ClientAnswer = Result<Bytes, ClientError>;

struct Inquiry {
    /// Whose answer counts.
    from: Address,
    until: Millis,
    done: Done,
}

/// All that are open.
#[derive(Default)]
pub(crate) struct Inquiries {
    by_id: Mutex<HashMap<Uuid, Inquiry>>,
    /// How many, for who only wants to know that there are none.
    open: AtomicUsize,
}

impl fmt::Debug for Inquiries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Inquiries").field(&self.open.load(Ordering::Relaxed)).finish()
    }
}

impl Inquiries {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Inquiry>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, is_meant: impl Fn(&Uuid, &Inquiry) -> bool) -> Vec<Inquiry> {
        let mut open = self.lock();
        let taken = open.extract_if(|id, inquiry| is_meant(id, inquiry)).map(|(_, inquiry)| inquiry).collect();
        self.open.store(open.len(), Ordering::Relaxed);
        taken
    }
}

impl Hub {
    /// Asks the one client that is meant, on whichever node it is.
    pub(crate) fn inquire_anywhere(&self, call: &ClientCall, now: Millis, done: Done) {
        let here = self.find(&call.target).len();
        // Of a connection that is named there is no other.
        let is_named = call.target.client.is_some() || call.target.session.is_some();
        match self.peers.get().filter(|_| here == 0 || !is_named) {
            Some(peers) => peers.call(call, here, now, done),
            None => self.inquire(call, now, done),
        }
    }

    /// How many connections of this node match.
    #[must_use]
    pub fn matching(&self, target: &Target) -> usize {
        self.find(target).len()
    }

    /// Asks the one client of this node that is meant; `done` is told its answer, or why there is none.
    pub fn inquire(&self, call: &ClientCall, now: Millis, done: Done) {
        let addresses = self.find(&call.target);
        let [from] = addresses[..] else {
            let error = match addresses.len() {
                0 => gone(),
                several => ambiguous(several),
            };
            return done(Err(error.into()));
        };
        let id = Uuid::new_v4();
        {
            let mut open = self.inquiries.lock();
            if open.len() >= MOST {
                drop(open);
                return done(Err(ClientError::TOO_MANY_REQUESTS.into()));
            }
            open.insert(id, Inquiry { from, until: now.saturating_add(call.timeout), done });
            self.inquiries.open.store(open.len(), Ordering::Relaxed);
        }
        self.tell_one(from, SessionOrder::Call(id, Arc::new(call.clone())));
        // Whose end came before the question was noted has not been heard.
        if !self.find(&call.target).contains(&from) {
            self.end_inquiries(from);
        }
    }

    /// Takes the answer to a question; false if it is not open, or not for whoever answers. `from` is `None` where the
    /// answer comes from another node, which has looked for itself.
    pub fn answer(&self, id: Uuid, from: Option<Address>, answer: ClientAnswer) -> bool {
        let inquiry = {
            let mut open = self.inquiries.lock();
            let is_theirs = |inquiry: &Inquiry| from.is_none_or(|from| inquiry.from == from);
            if !open.get(&id).is_some_and(is_theirs) {
                return false;
            }
            let inquiry = open.remove(&id);
            self.inquiries.open.store(open.len(), Ordering::Relaxed);
            inquiry
        };
        let Some(inquiry) = inquiry else { return false };
        (inquiry.done)(answer.map(Outcome::Answered).map_err(ControlError::Refused));
        true
    }

    /// How many questions are open.
    #[must_use]
    pub fn inquiries(&self) -> usize {
        self.inquiries.open.load(Ordering::Relaxed)
    }

    /// A connection has ended: it answers nothing any more.
    pub(crate) fn end_inquiries(&self, from: Address) {
        if self.inquiries() > 0 {
            for inquiry in self.inquiries.take(|_, inquiry| inquiry.from == from) {
                (inquiry.done)(Err(gone().into()));
            }
        }
    }

    /// Ends the waiting where the time is up.
    pub(crate) fn expire_inquiries(&self, now: Millis) {
        if self.inquiries() > 0 {
            for inquiry in self.inquiries.take(|_, inquiry| inquiry.until <= now) {
                let message = "the client did not answer in time".into();
                (inquiry.done)(Err(ClientError { message, ..ClientError::INTERNAL }.into()));
            }
        }
    }
}

/// Several connections match a question for one.
#[must_use]
pub fn ambiguous(several: usize) -> ClientError {
    ClientError {
        message: format!("{several} connections match; a call is for one: name it by `client`").into(),
        ..ClientError::BAD_REQUEST
    }
}

/// There is no such connection, or it ended before it answered.
#[must_use]
pub fn gone() -> ClientError {
    ClientError {
        message: "not available: there is no such connection, or it has ended".into(),
        ..ClientError::NOT_AVAILABLE
    }
}
