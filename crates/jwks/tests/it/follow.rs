//! What tokens are worth while their provider exchanges keys, is down, lies, or says nothing.

use std::time::Duration;

use jackfield_fetch::{Fetch, Options, Url};
use jackfield_jwks::{Pace, follow};
use jackfield_session::{TokenError, Verifier};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::provider::{Pair, Provider, response, set};

const NOW: u64 = 1_700_000_000_000;
/// Asks all the time.
const QUICK: Pace = Pace {
    every: Duration::from_millis(5),
    at_most_every: Duration::from_millis(1),
    at_worst_every: Duration::from_millis(5),
    timeout: Duration::from_millis(100),
};
/// Asks when a token names an unknown key, and never else.
const ASKED: Pace = Pace { every: Duration::from_secs(3600), timeout: Duration::from_secs(3600), ..QUICK };

/// A verifier whose keys are followed while it lives.
struct Followed {
    verifier: Verifier,
    task: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Followed {
    fn start(url: Url, pace: Pace) -> Self {
        let fetch = Fetch::new(&Options::default()).unwrap();
        let (keys, follower) = follow(&fetch, url, "test", pace);
        Self { verifier: Verifier::default().published(keys), task: tokio::spawn(follower.run()) }
    }

    fn verify(&self, pair: &Pair) -> Result<(), TokenError> {
        self.verifier.verify(&pair.token(), NOW).map(|_| ())
    }

    /// Waits until a token is worth so much, as a client does that comes again after a temporary error.
    async fn becomes(&self, pair: &Pair, worth: Result<(), TokenError>) {
        while self.verify(pair) != worth {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn keys_come_and_go() {
    let (old, new) = (Pair::make("old"), Pair::make("new"));
    let provider = Provider::start(set(&[&old])).await;
    let followed = Followed::start(provider.url(), QUICK);
    followed.becomes(&old, Ok(())).await;
    assert_eq!(followed.verify(&new), Err(TokenError::UnknownKey));
    provider.says(set(&[&old, &new]));
    followed.becomes(&new, Ok(())).await;
    assert_eq!(followed.verify(&old), Ok(()));
    provider.says(set(&[&new]));
    followed.becomes(&old, Err(TokenError::UnknownKey)).await;
    assert_eq!(followed.verify(&new), Ok(()));
    provider.says(set(&[]));
    followed.becomes(&new, Err(TokenError::UnknownKey)).await;
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_at_once() {
    let (old, new) = (Pair::make("old"), Pair::make("new"));
    let provider = Provider::start(set(&[&old])).await;
    let followed = Followed::start(provider.url(), ASKED);
    followed.becomes(&old, Ok(())).await;
    provider.says(set(&[&new]));
    followed.becomes(&new, Ok(())).await;
}

#[tokio::test]
async fn unknown_keys_are_not_looked_for_all_the_time() {
    let (known, unknown) = (Pair::make("known"), Pair::make("unknown"));
    let provider = Provider::start(set(&[&known])).await;
    let patient = Followed::start(provider.url(), Pace { at_most_every: Duration::from_secs(3600), ..ASKED });
    patient.becomes(&known, Ok(())).await;
    assert_eq!(provider.asked(), 1);
    for _ in 0..1000 {
        assert_eq!(patient.verify(&unknown), Err(TokenError::UnknownKey));
    }
    // While another asks the same provider 20 times, the patient one does not.
    let other = Provider::start(set(&[&known])).await;
    let _quick = Followed::start(other.url(), QUICK);
    other.is_asked(20).await;
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn the_last_good_keys_count_whatever_comes_after() {
    let pair = Pair::make("k");
    let many = format!("{{\"keys\":[{}{{}}]}}", "{},".repeat(100));
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(64 * 1024));
    for (bad, what) in [
        (response(500, "{\"keys\":[]}"), "a fault"),
        (response(404, "{\"keys\":[]}"), "nothing there"),
        (b"HTTP/1.1 302 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".to_vec(), "a redirect"),
        (response(200, "<html>maintenance</html>"), "a page"),
        (response(200, ""), "nothing"),
        (response(200, "{\"keys\":null}"), "no list"),
        (response(200, &many), "too many keys"),
        (response(200, &large), "too many bytes"),
        (b"no HTTP\r\n".to_vec(), "another protocol"),
        (Vec::new(), "silence"),
    ] {
        let provider = Provider::start(set(&[&pair])).await;
        let followed = Followed::start(provider.url(), QUICK);
        followed.becomes(&pair, Ok(())).await;
        provider.says(bad);
        provider.is_asked(3).await;
        assert_eq!(followed.verify(&pair), Ok(()), "{what}");
        let next = Pair::make("next");
        provider.says(set(&[&next]));
        followed.becomes(&next, Ok(())).await;
    }
}

#[tokio::test]
async fn a_provider_may_come_later_than_the_server() {
    let pair = Pair::make("k");
    let (address, url) = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (address, Url::parse(&format!("http://{address}/keys")).unwrap())
    };
    let followed = Followed::start(url, QUICK);
    assert_eq!(followed.verify(&pair), Err(TokenError::UnknownKey));
    let _provider = Provider::start_at(address, set(&[&pair])).await;
    followed.becomes(&pair, Ok(())).await;
}
