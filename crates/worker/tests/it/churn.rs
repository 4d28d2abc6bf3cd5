//! Connections that come and go while mail for those before them is under way.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use jackfield_model::app::{Ejection, Target};
use jackfield_model::{Disconnect, Uuid};

use crate::server::{Client, Server, Word, frame, greeting, hello};

const CONNECTIONS: usize = 2_000;

/// One short life: into a room of its own, three publications, and gone without a word.
fn live(server: &Server, n: usize) -> Uuid {
    let room = format!("room-{n}");
    let mut client = Client::dial(server.sockets);
    client.write(&[hello(), frame(&greeting(&room))].concat());
    client.upgraded();
    let welcome = client.text();
    let (_, id) = welcome.split_once(r#""client":""#).unwrap_or_else(|| panic!("{welcome}"));
    let id: Uuid = id[..36].parse().unwrap();
    assert!(client.text().contains(r#""id":2,"subscribe""#));
    for publication in 0..3 {
        server.publish(&room, format!("[{n},{publication}]"));
    }
    for publication in 0..3 {
        match client.next() {
            Word::Text(text) => {
                assert!(text.contains(&format!(r#""channel":"{room}""#)), "{room} heard {text}");
                assert!(text.contains(&format!(r#""data":[{n},{publication}],"#)), "{room} heard {text}");
            }
            word => panic!("{room} got the end of another: {word:?}"),
        }
    }
    id
}

fn churn(workers: usize) {
    let server = Server::start(workers, 1 << 20);
    let next = AtomicUsize::new(0);
    let (gone, dead) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..4 {
            let gone = gone.clone();
            let (server, next) = (&server, &next);
            scope.spawn(move || {
                while let n @ 0..CONNECTIONS = next.fetch_add(1, Ordering::Relaxed) {
                    let id = live(server, n);
                    gone.send((n, id)).unwrap();
                }
            });
        }
        drop(gone);
        // Words for those who have just gone: whoever has their slots next must not get them.
        for (n, id) in dead {
            let target = Target { client: Some(id), ..Target::default() };
            let ejection = Ejection { target, whitelist: Vec::new(), disconnect: Disconnect::FORCE };
            server.hub.eject(ejection);
            server.publish(&format!("room-{n}"), "\"too late\"".to_owned());
        }
    });
    let mut last = Client::join(&server, "the end");
    server.publish("the end", "1".to_owned());
    assert!(last.text().contains("the end"));
}

#[test]
fn one_worker() {
    churn(1);
}

#[test]
fn two_workers() {
    churn(2);
}
