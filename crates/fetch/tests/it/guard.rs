//! Addresses that must not be asked, in all the ways in which they can be written.

use std::time::Duration;

use jackfield_fetch::{Fetch, FetchError, HeaderMap, Options, Url};

use crate::server::{Server, Then, ok};

/// Long enough for everything that is to come.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn who_asks_only_the_internet_reaches_nothing_else() {
    let fetch = Fetch::new(&Options { public_only: true, ..Options::default() }).unwrap();
    let server = Server::start(|_| (ok("secret"), Then::Keep)).await;
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        // What the system's resolver takes for an address.
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "224.0.0.1",
    ] {
        let url = Url::parse(&format!("http://{host}:{port}/")).unwrap();
        let error = fetch.post(&url, HeaderMap::new(), "", LONG).await.unwrap_err();
        assert!(error.is_unsent() && matches!(error, FetchError::Connect { .. }), "{host}: {error}");
        assert!(error.to_string().contains("no address of the internet"), "{host}: {error}");
    }
    assert_eq!(server.seen.connections(), 0);
    let all = Fetch::new(&Options::default()).unwrap();
    assert_eq!(all.get(&server.url("/"), HeaderMap::new(), LONG).await.unwrap().body, "secret");
}
