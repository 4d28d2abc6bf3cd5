//! The walk of a publication through sockets, however the bytes are cut.

use std::net::Shutdown;

use crate::server::{Client, Server, Word, frame, greeting, hello};

const ROOM: usize = 1 << 20;

fn publish(id: usize, data: usize) -> String {
    format!(r#"{{"id":{id},"publish":{{"channel":"a","data":{data}}}}}"#)
}

fn walk(workers: usize) {
    let server = Server::start(workers, ROOM);
    let mut listeners: Vec<Client> = (0..16).map(|_| Client::join(&server, "a")).collect();
    let mut speaker = Client::join(&server, "b");
    speaker.say(&publish(3, 7));
    assert_eq!(speaker.text(), r#"{"id":3,"publish":{}}"#);
    for listener in &mut listeners {
        let push = listener.text();
        assert!(push.starts_with(r#"{"push":{"channel":"a","pub":{"data":7,"#), "{push}");
    }
    assert_eq!(server.hub.connections(), 17);
}

#[test]
fn one_worker() {
    walk(1);
}

#[test]
fn two_workers() {
    walk(2);
}

#[test]
fn a_thousand_publications_in_one_write_arrive_in_order() {
    for workers in [1, 2] {
        let server = Server::start(workers, ROOM);
        let (mut speaker, mut listener) = (Client::join(&server, "a"), Client::join(&server, "a"));
        let all: Vec<u8> = (0..1_000).flat_map(|n| frame(&publish(n + 10, n))).collect();
        speaker.write(&all);
        for n in 0..1_000 {
            let push = listener.text();
            assert!(push.contains(&format!(r#""data":{n},"#)), "{push} where {n} was due");
        }
        let (mut replies, mut pushes) = (0, 0);
        while replies + pushes < 2_000 {
            let text = speaker.text();
            if text.starts_with(r#"{"push""#) {
                assert!(text.contains(&format!(r#""data":{pushes},"#)), "{text} where {pushes} was due");
                pushes += 1;
            } else {
                assert_eq!(text, format!(r#"{{"id":{},"publish":{{}}}}"#, replies + 10));
                replies += 1;
            }
        }
        assert_eq!((replies, pushes), (1_000, 1_000));
    }
}

#[test]
fn bytes_may_come_one_at_a_time() {
    let server = Server::start(1, ROOM);
    let mut client = Client::dial(server.sockets);
    for byte in [hello(), frame(&greeting("a")), frame(&publish(3, 5))].concat() {
        client.write(&[byte]);
    }
    client.upgraded();
    for due in [r#"{"id":1,"#, r#"{"id":2,"#, r#"{"id":3,"#, r#"{"push""#] {
        let text = client.text();
        assert!(text.starts_with(due), "{text}");
    }
}

#[test]
fn who_sends_its_last_byte_still_gets_its_replies() {
    for workers in [1, 2] {
        let server = Server::start(workers, ROOM);
        for _ in 0..50 {
            let mut client = Client::dial(server.sockets);
            let words = [hello(), frame(&greeting("b")), frame(&publish(3, 5)), frame(r#"{"id":4,"ping":{}}"#)];
            client.write(&words.concat());
            client.socket.shutdown(Shutdown::Write).unwrap();
            client.upgraded();
            for id in 1..5 {
                let text = client.text();
                assert!(text.starts_with(&format!(r#"{{"id":{id},"#)), "{text}");
            }
            assert_eq!(client.next(), Word::End);
        }
        assert_eq!((server.hub.connections(), server.hub.channels()), (0, 0));
    }
}

#[test]
fn lines_too() {
    let server = Server::start(1, ROOM);
    for _ in 0..50 {
        let mut client = Client::dial(server.lines);
        client.write(format!("{}\n{}\n", greeting("b"), publish(3, 5)).as_bytes());
        client.socket.shutdown(Shutdown::Write).unwrap();
        let text = client.rest();
        let ids: Vec<&str> = text.lines().map(|line| &line[..7]).collect();
        assert_eq!(ids, [r#"{"id":1"#, r#"{"id":2"#, r#"{"id":3"#], "{text}");
    }
}

#[test]
fn the_server_says_goodbye() {
    let server = Server::start(2, ROOM);
    let mut clients = [Client::join(&server, "a"), Client::join(&server, "a"), Client::dial(server.sockets)];
    // Whoever still waits to be accepted when the listener closes is reset by the system, and hears nothing.
    while server.loads().iter().sum::<usize>() < clients.len() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // The crew ends once everybody has read its last words.
    let end = std::thread::spawn(move || drop(server));
    assert_eq!(clients[0].next(), Word::Close(3001));
    assert_eq!(clients[1].next(), Word::Close(3001));
    for client in &mut clients {
        assert_eq!(client.next(), Word::End);
    }
    drop(clients);
    end.join().unwrap();
}
