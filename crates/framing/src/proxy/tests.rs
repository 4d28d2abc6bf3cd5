//! PROXY headers of both versions that are read, and those that are refused.
