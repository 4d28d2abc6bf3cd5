//! A document as the updates that make it, what of them is not saved yet, and what somebody lacks.

use bytes::Bytes;
use thiserror::Error;

use crate::levels::Levels;
use crate::merge::{diff, state_vector};
use crate::{Malformed, check};

/// The update, and the state vector, of a document in which nothing was ever written.
const NOTHING: &[u8] = &[0, 0];
const KNOWS_NOTHING: &[u8] = &[0];

/// Why a document does not take an update.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum DocumentError {
    /// It is not an update.
    #[error("malformed update: {0}")]
    Malformed(#[from] Malformed),
    /// With it, the document would be too large.
    #[error(
        "document would be larger than {limit} bytes, delete from it and compact it, go on in another one or raise the limit"
    )]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// A document that somebody edits: bytes, merged now and then.
#[derive(Debug)]
pub struct Document {
    saved: Levels,
    unsaved: Levels,
    /// What was taken to be saved and came back. It is in `saved`, too.
    refused: Option<Bytes>,
    /// All of it as one update, and what that has; until the next one comes.
    whole: Option<Bytes>,
    state_vector: Option<Bytes>,
    max_bytes: usize,
}

impl Document {
    /// A document with what was saved of it: an update, or nothing.
    ///
    /// # Errors
    ///
    /// [`DocumentError::Malformed`] if that is not an update. It may be longer than `max_bytes`: it can be read then, and
    /// nothing can be added.
    pub fn open(saved: Bytes, max_bytes: usize) -> Result<Self, DocumentError> {
        let mut document = Self {
            saved: Levels::default(),
            unsaved: Levels::default(),
            refused: None,
            whole: None,
            state_vector: None,
            max_bytes,
        };
        if !saved.is_empty() {
            check(&saved)?;
            document.saved.push(saved)?;
        }
        Ok(document)
    }

    /// Adds an update; false if there is nothing in it.
    ///
    /// # Errors
    ///
    /// [`DocumentError`], and the document is as it was.
    pub fn push(&mut self, update: Bytes) -> Result<bool, DocumentError> {
        if update == NOTHING {
            return Ok(false);
        }
        check(&update)?;
        self.make_room(update.len())?;
        (self.whole, self.state_vector) = (None, None);
        self.unsaved.push(update)?;
        Ok(true)
    }

    /// Merges what can be merged if there is no room. Why not each time: merging costs as much as the document is long,
    /// and it shrinks only by what was not merged yet.
    fn make_room(&mut self, bytes: usize) -> Result<(), DocumentError> {
        let limit = self.max_bytes;
        if self.bytes().saturating_add(bytes) > limit
            && self.saved.new_bytes() + self.unsaved.new_bytes() > self.bytes() / 8
        {
            self.saved.fold()?;
            self.unsaved.fold()?;
        }
        if self.bytes().saturating_add(bytes) > limit { Err(DocumentError::TooLarge { limit }) } else { Ok(()) }
    }

    /// How many bytes it takes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.saved.length() + self.unsaved.length()
    }

    /// How many bytes went into merges since it was opened.
    #[must_use]
    pub const fn merged_bytes(&self) -> u64 {
        self.saved.work + self.unsaved.work
    }

    /// Makes one update of all, for whoever reads it whole.
    ///
    /// # Errors
    ///
    /// None that could be caused from outside: all in it has been checked.
    pub fn fold(&mut self) -> Result<Bytes, Malformed> {
        if let Some(whole) = &self.whole {
            return Ok(whole.clone());
        }
        let unsaved = if self.unsaved.is_empty() { None } else { Some(self.unsaved.fold()?) };
        let saved = if self.saved.is_empty() { None } else { Some(self.saved.fold()?) };
        let whole = match (saved, unsaved) {
            (Some(saved), Some(unsaved)) => {
                self.saved.work += (saved.len() + unsaved.len()) as u64;
                Bytes::from(crate::merge([&saved[..], &unsaved])?)
            }
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => Bytes::from_static(NOTHING),
        };
        self.whole = Some(whole.clone());
        Ok(whole)
    }

    /// What somebody lacks who has `state_vector`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if `state_vector` is not one.
    pub fn step2(&mut self, state_vector: &[u8]) -> Result<Bytes, Malformed> {
        let whole = self.fold()?;
        if state_vector == KNOWS_NOTHING { Ok(whole) } else { Ok(diff(&whole, state_vector)?.into()) }
    }

    /// What the document has.
    ///
    /// # Errors
    ///
    /// None that could be caused from outside: all in it has been checked.
    pub fn state_vector(&mut self) -> Result<Bytes, Malformed> {
        if let Some(known) = &self.state_vector {
            return Ok(known.clone());
        }
        let known = Bytes::from(state_vector(&self.fold()?)?);
        self.state_vector = Some(known.clone());
        Ok(known)
    }

    /// What was pushed since it was last taken, as one update, for the application to save; `None` if nothing was. If
    /// it cannot be saved, it comes back with [`Document::restore_unsaved`].
    ///
    /// # Errors
    ///
    /// None that could be caused from outside: all in it has been checked.
    pub fn take_unsaved(&mut self) -> Result<Option<Bytes>, Malformed> {
        let taken = if self.unsaved.is_empty() { None } else { Some(self.unsaved.fold()?) };
        if let Some(taken) = &taken {
            let work = self.unsaved.work;
            self.saved.push(taken.clone())?;
            self.saved.work += work;
            self.unsaved = Levels::default();
        }
        Ok(match (self.refused.take(), taken) {
            (Some(refused), Some(taken)) => Some(crate::merge([&refused[..], &taken])?.into()),
            (refused, taken) => taken.or(refused),
        })
    }

    /// Takes back what [`Document::take_unsaved`] gave out and could not be saved; it comes with the next.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is something else.
    pub fn restore_unsaved(&mut self, unsaved: Bytes) -> Result<(), Malformed> {
        check(&unsaved)?;
        self.refused = Some(match self.refused.take() {
            Some(refused) => crate::merge([&refused[..], &unsaved])?.into(),
            None => unsaved,
        });
        Ok(())
    }

    /// Whether there is something to save.
    #[must_use]
    pub const fn is_unsaved(&self) -> bool {
        self.refused.is_some() || !self.unsaved.is_empty()
    }
}
