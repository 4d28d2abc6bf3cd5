//! What can be wrong with certificates, keys and authorities: the file, the fault and the remedy.

use std::io;
use std::path::PathBuf;

/// A fault in what a listener was given for TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory of the authority's account and certificates cannot be used.
    #[error("use the ACME cache directory {path}: {fault}; name a directory that this user may write to")]
    Cache {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        fault: io::Error,
    },
    /// A file says something other than it should.
    #[error("use {path}: {fault}; {remedy}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
        /// What would be right.
        remedy: &'static str,
    },
    /// The options contradict each other.
    #[error("set up TLS: {fault}; {remedy}")]
    Options {
        /// What does not fit.
        fault: String,
        /// What would be right.
        remedy: &'static str,
    },
    /// A file cannot be read.
    #[error("read {path}: {fault}; the file must exist and be readable by the user the server runs as")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        fault: io::Error,
    },
    /// rustls refused what it was given.
    #[error("set up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}
