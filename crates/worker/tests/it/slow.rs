//! Clients that read slowly, or not at all.

use crate::server::{Client, Server, Word};

const COUNT: usize = 4_000;

/// 4 KB with a number in it; all of them are more than the buffers of two sockets hold.
fn data(n: usize) -> String {
    format!(r#"{{"n":{n},"x":"{}"}}"#, "x".repeat(4_000))
}

fn is_numbered(text: &str, n: usize) -> bool {
    text.contains(&format!(r#""data":{{"n":{n},"#))
}

#[test]
fn a_reader_that_slept_gets_everything_in_order() {
    for workers in [1, 2] {
        let server = Server::start(workers, 64 << 20);
        let mut sleeper = Client::join(&server, "a");
        let mut awake = Client::join(&server, "a");
        for n in 0..COUNT {
            server.publish("a", data(n));
            assert!(is_numbered(&awake.text(), n));
        }
        for n in 0..COUNT {
            let text = sleeper.text();
            assert!(is_numbered(&text, n), "{} where {n} was due", &text[..80]);
        }
        sleeper.say(r#"{"id":9,"ping":{}}"#);
        assert_eq!(sleeper.text(), r#"{"id":9,"ping":{}}"#);
    }
}

#[test]
fn a_reader_too_far_behind_is_closed_and_nobody_else() {
    let server = Server::start(1, 256 * 1024);
    let mut sleeper = Client::join(&server, "a");
    let mut awake = Client::join(&server, "a");
    for n in 0..COUNT {
        server.publish("a", data(n));
        assert!(is_numbered(&awake.text(), n));
    }
    assert_eq!(server.hub.connections(), 1, "the sleeper is out");
    let mut heard = 0;
    let last = loop {
        match sleeper.next() {
            Word::Text(text) => {
                assert!(is_numbered(&text, heard), "{} where {heard} was due", &text[..80]);
                heard += 1;
            }
            word => break word,
        }
    };
    assert_eq!(last, Word::Close(3008));
    assert!(heard < COUNT, "{heard}");
    assert_eq!(sleeper.next(), Word::End);
    awake.say(r#"{"id":9,"ping":{}}"#);
    assert_eq!(awake.text(), r#"{"id":9,"ping":{}}"#);
}
