//! One client: its commands in, effects out.
