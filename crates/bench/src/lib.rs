//! The load generator, and the floor that every figure stands beside.
