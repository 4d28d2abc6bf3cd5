//! Mailboxes: the one place where the planes and the workers meet.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jackfield_model::app::Answer;
use jackfield_model::client::Unsubscribed;
use jackfield_model::{Disconnect, Uuid};

use crate::orders::SessionOrder;
use crate::parcel::Parcel;
use crate::people::Address;

/// What a worker finds in its mailbox.
#[derive(Clone, Debug)]
pub enum Mail {
    /// A push for everybody of this worker who listens to the channel.
    Channel {
        /// The channel's number.
        key: u64,
        /// The push's number.
        sequence: u64,
        /// The push.
        parcel: Arc<Parcel>,
    },
    /// A push for one connection.
    Direct(Address, Arc<Parcel>),
    /// What a client without an uplink of its own sent by another request, for the session with this secret.
    Uplink(Address, Uuid, Bytes),
    /// The application wants something of a connection.
    Order(Address, Arc<SessionOrder>),
    /// The application wants something of whoever is meant.
    OrderAll(Arc<SessionOrder>),
    /// What subscribers of a channel know of it is not enough, or void.
    Lost {
        /// The channel's number.
        key: u64,
        /// What they are told.
        unsubscribed: Unsubscribed,
    },
    /// What came of a call that a session made.
    Resume(Address, u32, Box<Answer>),
    /// The server goes down: everybody is told, then the worker ends.
    Shutdown(Disconnect),
}

/// Wakes a worker out of its poll.
pub trait Wake: Debug + Send + Sync {
    /// Makes the worker look into its mailbox soon.
    fn wake(&self);
}

/// Mail beyond this makes publishers wait or fail, so that one stuck worker cannot fill the memory.
const FULL: usize = 65_536;

/// The mailbox of one worker.
///
/// Whoever posts into an empty box wakes the worker; the rest of a batch rides along.
#[derive(Debug)]
pub struct Mailbox {
    mail: Mutex<Vec<Mail>>,
    count: AtomicUsize,
    wake: Box<dyn Wake>,
}

impl Mailbox {
    /// A box whose owner is woken by `wake`.
    #[must_use]
    pub fn new(wake: Box<dyn Wake>) -> Self {
        Self { mail: Mutex::new(Vec::new()), count: AtomicUsize::new(0), wake }
    }

    /// Puts mail in. Control mail is never refused; publications ask [`Self::is_full`] first.
    pub fn post(&self, mail: Mail) {
        if self.post_quietly(mail) {
            self.wake.wake();
        }
    }

    /// Puts mail in and wakes nobody; true if somebody has to, because the box was empty.
    fn post_quietly(&self, mail: Mail) -> bool {
        let mut mails = self.lock();
        mails.push(mail);
        self.count.store(mails.len(), Ordering::Relaxed);
        mails.len() == 1
    }

    /// Whether publications should wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= FULL
    }

    /// Whether there is anything to take; cheaper than taking.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Takes all mail at once, in exchange for an empty vector whose room is used again.
    pub fn take(&self, empty: &mut Vec<Mail>) {
        empty.clear();
        let mut mails = self.lock();
        std::mem::swap(&mut *mails, empty);
        self.count.store(0, Ordering::Relaxed);
    }

    /// Wakes the owner.
    pub(crate) fn ring(&self) {
        self.wake.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Mail>> {
        // A vector of mail is whole after any panic of its holder: pushing and swapping do not stop half-way.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When workers are woken for mail.
///
/// Why not always at once: a worker that is woken for the first publication of a batch writes it alone, and the others in a
/// second round. Woken after the batch it gathers them into one write per subscriber.
#[derive(Debug)]
pub(crate) enum Wakes {
    /// At once.
    Now,
    /// When the batch is over: one bit per worker.
    Later(u64),
}

impl Wakes {
    pub(crate) fn post(&mut self, worker: usize, mailbox: &Mailbox, mail: Mail) {
        match self {
            Self::Now => mailbox.post(mail),
            Self::Later(bits) => *bits |= u64::from(mailbox.post_quietly(mail)) << worker,
        }
    }
}
