//! TLS: certificates, their renewal, and the records of one connection.
