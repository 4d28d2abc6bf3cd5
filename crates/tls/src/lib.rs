//! TLS: certificates, their renewal, and the records of one connection.
//!
//! A [`Keeper`] holds the certificates of one listener and hands out a ready `rustls::ServerConfig`; a [`Stream`] is one
//! connection on a socket that never blocks. A worker reads and writes through it as it would through the socket, and an
//! idle stream owns no buffer: ciphertext passes through the worker's one [`Scratch`]. What belongs to the control plane
//! is [`Handed`] over with the bytes already read. Of cryptography there is nothing here; it is all rustls.

mod acme;
mod certificate;
mod error;
mod handed;
mod identity;
mod keeper;
mod kept;
mod negotiation;
mod plain;
mod records;
mod resolver;
mod scratch;
mod secret;
mod stream;

pub use rustls::{ProtocolVersion, ServerConfig};

pub use crate::acme::{Acme, AcmeOptions, Challenge};
pub use crate::certificate::CertificateFiles;
pub use crate::error::Error;
pub use crate::handed::{Handed, HandedSocket};
pub use crate::identity::Identity;
pub use crate::keeper::{ClientAuth, Keeper, Options, Version};
pub use crate::scratch::Scratch;
pub use crate::stream::Stream;
