//! Lists of addresses, honest and forged.
