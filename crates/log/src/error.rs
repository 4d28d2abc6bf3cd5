//! What can be wrong with a log, in words that name the file and the ways out.

use std::io;
use std::path::PathBuf;

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("its checksum does not fit")]
    Checksum,
    #[error("its head is no head of a log file")]
    Head,
    #[error("it holds a record of an unknown kind ({0}), so a newer version may have written it")]
    Kind(u8),
    #[error("it holds a number beyond 64 bits")]
    Number,
    #[error("it is not the one that follows the one before it")]
    Sequence,
    #[error("it ends too early")]
    Short,
    #[error("it holds a text that is not UTF-8")]
    Text,
}

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// What was safe on the disk is not what was written.
    #[error(
        "read {file} at byte {at}: {why}. The log is damaged and nothing of it was changed. Two ways out: restore the \
         folder from a backup and put an empty file `restored` into it, or start anew by moving the folder away"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Where in it.
        at: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The system refuses.
    #[error("{what} {file}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else has the folder.
    #[error("lock the folder {}: another server has it open; give each server a history.path of its own", .0.display())]
    Locked(PathBuf),
    /// A file is gone.
    #[error(
        "open the log: the file {0} is missing. Two ways out: restore the folder from a backup and put an empty file \
         `restored` into it, or start anew by moving the folder away"
    )]
    Missing(String),
}

impl LogError {
    /// What the system refused to do with a file; for `map_err`.
    pub(crate) fn io(what: &'static str, file: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let file = file.into();
        move |source| Self::Io { what, file, source }
    }
}
