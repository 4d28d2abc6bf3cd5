//! Tests of the log as a whole, on a disk that loses power, runs full and breaks.

mod crashes;
mod faults;
mod memory;
