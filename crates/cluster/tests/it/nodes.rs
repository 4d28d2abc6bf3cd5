//! Several hubs on one bus.
