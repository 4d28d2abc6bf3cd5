//! Channels, fan-out, history and presence.
