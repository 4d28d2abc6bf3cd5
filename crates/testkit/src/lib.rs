//! What tests share: contract suites, a started server, sockets that speak.

pub mod broker_contract;
pub mod queue_contract;
pub mod servers;
