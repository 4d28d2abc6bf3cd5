//! The client protocol of Centrifugo, version 2, as its SDKs speak it.

pub mod emulation;
pub mod json;
pub mod protobuf;

/// Nodes of a filter that are read at all.
const MAX_FILTER_NODES: usize = 1000;
