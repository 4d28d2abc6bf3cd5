//! A certificate from a real ACME authority, where there is one.
