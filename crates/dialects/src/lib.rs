//! Turns frames into commands and pushes into frames' payloads.
