//! Negotiation, and what goes through both ways.
