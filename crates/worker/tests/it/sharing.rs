//! New connections are shared out among the workers, whichever way they come in.

use std::net::SocketAddr;
use std::time::Duration;

use crate::server::{Client, Server, frame, greeting, hello};

const CONNECTIONS: usize = 240;
/// What one worker may have more than another: the leeway of the dealing, and what was under way meanwhile.
const SPREAD: usize = 40;

fn spread(server: &Server, at: SocketAddr) {
    let before: usize = server.loads().iter().sum();
    let clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::dial(at)).collect();
    while server.loads().iter().sum::<usize>() < before + CONNECTIONS {
        std::thread::sleep(Duration::from_millis(1));
    }
    let loads = server.loads();
    let (most, least) = (loads.iter().max().copied().unwrap_or(0), loads.iter().min().copied().unwrap_or(0));
    assert!(most - least <= SPREAD, "{loads:?}");
    drop(clients);
    while server.loads().iter().sum::<usize>() > before {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn each_worker_has_a_socket_of_its_own() {
    let server = Server::start(3, 1 << 20);
    spread(&server, server.sockets);
    spread(&server, server.lines);
}

#[test]
fn the_workers_share_one_socket() {
    let server = Server::start(3, 1 << 20);
    spread(&server, server.faces);
}

#[test]
fn one_port_has_many_faces() {
    let server = Server::start(2, 1 << 20);
    let mut web = Client::dial(server.faces);
    web.write(&[hello(), frame(&greeting("square"))].concat());
    web.upgraded();
    assert!(web.text().contains(r#""id":1,"connect""#));
    assert!(web.text().contains(r#""id":2,"subscribe""#));
    let mut lines = Client::dial(server.faces);
    // Split so that the first bytes tell nothing: they could still become a method.
    lines.write(b"  ");
    lines
        .write(b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"publish\":{\"channel\":\"square\",\"data\":\"from lines\"}}\n");
    assert!(web.text().contains(r#""data":"from lines""#));
}
