//! Clients without sockets: what they say, what they hear, and what the application is told.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod asked;
mod by_session;
mod called;
mod calls;
mod client;
mod commands;
mod connect;
mod deadlines;
mod documents;
mod figures;
mod interest;
mod maps;
mod orders;
mod rates;
mod raw;
mod recovery;
mod rights;
mod scripts;
mod server_side;
mod tokens;
mod transcripts;
mod transports;
mod wishes;
