//! The client of other servers, against servers that behave well and badly.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod guard;
mod plain;
mod server;
mod tls;
