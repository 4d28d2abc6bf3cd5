//! Handshakes shortened by tickets, across reloads, and never past an authority that is gone.

use std::fs;
use std::sync::Arc;

use jackfield_tls::{ClientAuth, Keeper, Options};
use rustls::ClientConfig;

use crate::authority::{Authority, SUITES};
use crate::wire::{Joined, calm};

/// Connects, and waits for the ticket; whether an older one was taken.
fn connect(keeper: &Keeper, config: &Arc<ClientConfig>) -> bool {
    let mut joined = Joined::new(keeper, config.clone(), calm(), calm()).shaken();
    joined.write(b"ticket first").unwrap();
    assert_eq!(joined.client_reads(), b"ticket first");
    joined.server.is_resumed()
}

#[test]
fn a_ticket_is_good_for_the_next_connection_and_after_a_reload() {
    let authority = Authority::new();
    let keeper = authority.keeper();
    for suite in SUITES {
        let config = Arc::new(authority.speaking(suite, None));
        assert!(!connect(&keeper, &config), "{suite:?}");
        assert!(connect(&keeper, &config), "{suite:?}");
        authority.issue("localhost", &["localhost"]);
        assert!(keeper.reload().unwrap());
        assert!(connect(&keeper, &config), "{suite:?}");
    }
}

#[test]
fn a_ticket_of_another_listener_is_none() {
    let authority = Authority::new();
    for suite in SUITES {
        let config = Arc::new(authority.speaking(suite, None));
        assert!(!connect(&authority.keeper(), &config));
        assert!(!connect(&authority.keeper(), &config));
    }
}

#[test]
fn a_resumed_client_is_who_it_was_until_its_authority_goes() {
    let (authority, other) = (Authority::new(), Authority::new());
    let path = authority.file();
    let options = Options { client_ca: Some(path.clone()), client_auth: ClientAuth::Optional, ..authority.options() };
    let keeper = Keeper::open(options).unwrap();
    for suite in SUITES {
        authority.file();
        keeper.reload().unwrap();
        let config = Arc::new(authority.speaking(suite, Some(authority.client("sensor-7", Vec::new()))));
        assert!(!connect(&keeper, &config));
        let joined = Joined::new(&keeper, config.clone(), calm(), calm()).shaken();
        assert!(joined.server.is_resumed());
        assert_eq!(joined.server.identity().unwrap().name(), "sensor-7");

        fs::copy(other.file(), &path).unwrap();
        assert!(keeper.reload().unwrap());
        let (server, _) = Joined::new(&keeper, config, calm(), calm()).shake();
        assert!(server.is_err(), "let in on a ticket of an authority that is trusted no longer");
    }
}
