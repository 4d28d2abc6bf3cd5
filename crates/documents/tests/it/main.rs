//! Documents and awareness beside the libraries that browsers run, and beside another implementation of Yjs.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod awareness;
mod cost;
mod documents;
mod fixtures;
mod hostile;
mod replicas;
mod wire;
