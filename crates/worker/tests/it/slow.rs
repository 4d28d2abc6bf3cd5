//! Clients that read slowly, or not at all.

use crate::server::{Client, Server, Word, frame};

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

/// The answers to what a client asks in one breath are made as it takes them, not all at once.
#[test]
fn whoever_asks_for_much_gets_it_bit_by_bit() {
    const ASKED: usize = 400;
    let server = Server::start(1, 256 * 1024);
    for n in 0..20 {
        server.publish("kept:1", data(n));
    }
    let ask = |id: usize| format!(r#"{{"id":{id},"history":{{"channel":"kept:1","limit":-1}}}}"#);
    let mut client = Client::join(&server, "a");
    // 32 MB of answers; a backlog may have 4.
    client.write(&(10..10 + ASKED).flat_map(|id| frame(&ask(id))).collect::<Vec<u8>>());
    for id in 10..10 + ASKED {
        let text = client.text();
        assert!(text.starts_with(&format!(r#"{{"id":{id},"history":"#)), "{} for {id}", &text[..80]);
        assert_eq!(text.matches(r#""x":"#).count(), 20);
    }
    // In one frame, there is nothing to wait between.
    client.say(&(1000..1000 + ASKED).map(ask).collect::<Vec<_>>().join("\n"));
    let last = loop {
        match client.next() {
            Word::Text(_) => {}
            word => break word,
        }
    };
    assert_eq!(last, Word::Close(3008));
}
