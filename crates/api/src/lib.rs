//! The internal HTTP door.
