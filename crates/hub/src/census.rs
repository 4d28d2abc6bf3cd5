//! Which connections there are: only the sessions know what they are in, so each that is meant writes its own line.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jackfield_model::app::{ConnectionLine, Target};

use crate::control::{Done, Outcome};
use crate::hub::Hub;
use crate::mailbox::Mail;
use crate::orders::SessionOrder;

/// Lines of one node. Who has more connections than this asks for those of a user.
const MOST: usize = 10_000;

/// A list that sessions write themselves into.
///
/// It is complete when nobody holds it any more: who has written, who was not meant and who has gone meanwhile have all let go
/// of it, and nobody needs to count them.
#[derive(Clone)]
pub struct Census(Arc<List>);

struct List {
    lines: Mutex<Vec<ConnectionLine>>,
    done: Mutex<Option<Done>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for List {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut *lock(&self.lines));
        if let Some(done) = lock(&self.done).take() {
            done(Ok(Outcome::Census(lines)));
        }
    }
}

impl fmt::Debug for Census {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Census").field(&lock(&self.0.lines).len()).finish()
    }
}

impl PartialEq for Census {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Census {
    fn new(done: Done) -> Self {
        Self(Arc::new(List { lines: Mutex::default(), done: Mutex::new(Some(done)) }))
    }

    /// A session writes its line, if there is room.
    pub fn write(&self, line: impl FnOnce() -> ConnectionLine) {
        let mut lines = lock(&self.0.lines);
        if lines.len() < MOST {
            lines.push(line());
        }
    }
}

impl Hub {
    /// Asks which connections of this node match all that is given, or which there are at all; `done` is called by whoever
    /// writes last, so it must not block.
    pub fn census(&self, target: &Target, done: Done) {
        let census = Census::new(done);
        let order = SessionOrder::Describe(target.clone(), census);
        if *target == Target::default() {
            let order = Arc::new(order);
            for mailbox in &self.mailboxes {
                mailbox.post(Mail::OrderAll(Arc::clone(&order)));
            }
        } else {
            self.tell(target, order);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_complete_when_all_have_let_go() {
        let told = Arc::new(Mutex::new(None));
        let heard = Arc::clone(&told);
        let census = Census::new(Box::new(move |outcome| *heard.lock().unwrap() = Some(outcome)));
        let other = census.clone();
        census.write(|| ConnectionLine { user: "ann".into(), ..ConnectionLine::default() });
        drop(census);
        assert!(told.lock().unwrap().is_none());
        for _ in 0..MOST {
            other.write(ConnectionLine::default);
        }
        drop(other);
        let Some(Ok(Outcome::Census(lines))) = told.lock().unwrap().take() else { panic!("nothing was told") };
        assert_eq!((lines.len(), &*lines[0].user), (MOST, "ann"));
    }
}
