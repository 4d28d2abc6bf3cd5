//! What tests share: contract suites, a started server, sockets that speak.

pub mod queue_contract;
pub mod servers;
