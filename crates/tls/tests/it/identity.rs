//! Who a client is, from certificates good and strange.

use std::net::IpAddr;

use jackfield_tls::{ClientAuth, Identity, Keeper, Options};
use rcgen::SanType;
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

use crate::authority::{Authority, Shown};
use crate::wire::{Joined, calm};

fn keeper(authority: &Authority, client_auth: ClientAuth) -> Arc<Keeper> {
    Keeper::open(Options { client_ca: Some(authority.file()), client_auth, ..authority.options() }).unwrap()
}

fn identity(authority: &Authority, shown: Shown) -> Arc<Identity> {
    let config = authority.trusted(&[&TLS13], Some(shown));
    Joined::new(&keeper(authority, ClientAuth::Required), config, calm(), calm()).shaken().server.identity().unwrap()
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

#[test]
fn the_best_name_is_the_most_telling() {
    let authority = Authority::new();
    let uri = SanType::URI("spiffe://works/sensor/7".try_into().unwrap());
    let mail = SanType::Rfc822Name("sensor@example.org".try_into().unwrap());
    let address = SanType::IpAddress(IpAddr::from([10, 0, 0, 7]));
    let all = vec![address.clone(), mail.clone(), dns("sensor.example.org"), uri];
    let found = identity(&authority, authority.client("sensor-7", all));
    assert_eq!(found.name(), "spiffe://works/sensor/7");
    assert_eq!(found.names, ["10.0.0.7", "sensor@example.org", "sensor.example.org", "spiffe://works/sensor/7"]);
    assert_eq!(found.common_name.as_deref(), Some("sensor-7"));
    assert_eq!(found.subject, "CN=sensor-7,O=Works\\, Inc.");
    assert_eq!(found.fingerprint.len(), 64);

    let best = |names: Vec<SanType>| identity(&authority, authority.client("sensor-7", names)).name().to_owned();
    assert_eq!(best(vec![mail.clone(), dns("sensor.example.org")]), "sensor.example.org");
    assert_eq!(best(vec![address.clone(), mail]), "sensor@example.org");
    assert_eq!(best(vec![address]), "sensor-7");
}

#[test]
fn strange_names_get_into_no_log_line() {
    let authority = Authority::new();
    let strange = authority.client("a\r\nb\u{1b}[31m", Vec::new());
    let found = identity(&authority, strange);
    assert_eq!(found.common_name, None);
    assert_eq!(found.name(), found.fingerprint);
    assert_eq!(found.subject, "CN=a\\0D\\0Ab\\1B[31m,O=Works\\, Inc.");
    let long = identity(&authority, authority.client(&"n".repeat(3000), Vec::new()));
    assert_eq!(long.name(), long.fingerprint);
}

#[test]
fn a_required_certificate_is_required() {
    let (authority, other) = (Authority::new(), Authority::new());
    let keeper = keeper(&authority, ClientAuth::Required);
    for version in [&TLS12, &TLS13] {
        for shown in [None, Some(other.client("stranger", Vec::new()))] {
            let mut joined = Joined::new(&keeper, authority.trusted(&[version], shown), calm(), calm());
            let (server, client) = joined.shake();
            // In TLS 1.3 the client is done before it is refused; it learns so from the next read.
            let client = client.and_then(|()| joined.turn_client());
            assert!(server.is_err() && client.is_err(), "{server:?} {client:?}");
            assert_eq!(joined.server.identity(), None);
        }
    }
}

#[test]
fn an_optional_certificate_may_be_absent_but_not_wrong() {
    let (authority, other) = (Authority::new(), Authority::new());
    let keeper = keeper(&authority, ClientAuth::Optional);
    let joined = Joined::new(&keeper, authority.trusted(&[&TLS13], None), calm(), calm()).shaken();
    assert_eq!(joined.server.identity(), None);
    let shown = Some(authority.client("known", Vec::new()));
    let joined = Joined::new(&keeper, authority.trusted(&[&TLS13], shown), calm(), calm()).shaken();
    assert_eq!(joined.server.identity().unwrap().name(), "known");
    let shown = Some(other.client("stranger", Vec::new()));
    let (server, _) = Joined::new(&keeper, authority.trusted(&[&TLS13], shown), calm(), calm()).shake();
    assert!(server.is_err());
}
