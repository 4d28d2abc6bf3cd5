//! The client protocol of Centrifugo, version 2, as its SDKs speak it.

pub mod emulation;
pub mod json;
pub mod protobuf;
