//! Each mode over the other ways in: compressed, and over TLS.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::atomic::Ordering,
};

use crate::{
    Limit,
    front::{Adds, Front},
    measure_at, scripted,
};

#[test]
fn fanout_understands_compressed_deliveries() {
    for tls in [false, true] {
        let limit = Limit::start(&[]);
        let front = Front::start(Adds { tls, deflate: true }, &limit.address);
        let url = format!("ws{}://{}/connection/websocket", if tls { "s" } else { "" }, front.address);
        let metrics = front.metrics;
        for size in [128, 100_000] {
            let arguments = "fanout --subscribers 5 --messages 20 --warm-up 0.05 --in-flight 3 --deflate";
            let figures = measure_at(&url, &format!("{arguments} --size {size} --metrics {metrics}")).unwrap();
            assert_eq!(figures["delivered_in_all"], 100, "{figures}");
            assert_eq!(figures["missing"], 0, "{figures}");
            assert_eq!(figures["unexpected"], 0, "{figures}");
            let compressed = &figures["compressed"];
            assert_eq!(compressed["frames_received"], 100, "{figures}");
            // This front compresses each copy by itself, which the figures have to tell.
            assert_eq!(compressed["by_server"], 100, "{figures}");
            assert_eq!(compressed["by_server_per_publication"], 5.0, "{figures}");
            let inflated = compressed["frames_inflated"].as_u64().unwrap();
            assert!((20..=100).contains(&inflated), "{figures}");
        }
    }
}

#[test]
fn tls_carries_every_mode() {
    let limit = Limit::start(&[]);
    let front = Front::start(Adds { tls: true, deflate: false }, &limit.address);
    let url = format!("ws://{}/connection/websocket", front.address);
    let figures = measure_at(&url, "fanout --subscribers 5 --messages 20 --warm-up 0 --size 100000 --tls").unwrap();
    assert_eq!(figures["delivered_in_all"], 100, "{figures}");
    assert_eq!(figures["tls"], true);
    let figures = measure_at(&url, "idle --connections 10 --ramp 3 --hold 0.05 --settle 0 --tls").unwrap();
    assert_eq!((figures["joined_in_all"].as_u64(), figures["lost"].as_u64()), (Some(10), Some(0)), "{figures}");
    let figures = measure_at(&url, "echo --connections 4 --messages 40 --warm-up 0 --size 70000 --tls").unwrap();
    assert_eq!(figures["wrong_answers"], 0, "{figures}");
    let figures = measure_at(&url, "connect --connections 10 --concurrency 3 --warm-up 0 --tls").unwrap();
    assert_eq!(figures["connections"], 10, "{figures}");
    // Those that have closed; the last may be about to.
    let handshakes = front.handshakes.load(Ordering::SeqCst);
    assert!((1..=30).contains(&handshakes), "{handshakes}");
}

#[test]
fn idle_takes_compressed_replies() {
    let limit = Limit::start(&[]);
    let front = Front::start(Adds { tls: false, deflate: true }, &limit.address);
    let url = format!("ws://{}/connection/websocket", front.address);
    let figures = measure_at(&url, "idle --connections 10 --hold 0.05 --settle 0 --deflate").unwrap();
    assert_eq!((figures["joined_in_all"].as_u64(), figures["lost"].as_u64()), (Some(10), Some(0)), "{figures}");
    assert_eq!(figures["deflate"], true);
}

#[test]
fn compression_that_is_not_taken_is_no_measurement() {
    let limit = Limit::start(&[]);
    let error = limit.try_measure("idle --connections 1 --deflate").unwrap_err();
    assert!(format!("{error:#}").contains("compression = true"), "{error:#}");

    let front = Front::start(Adds { tls: false, deflate: true }, &limit.address);
    let url = format!("ws://{}/connection/websocket", front.address);
    let error = measure_at(&url, "fanout --subscribers 2 --messages 5 --warm-up 0 --size 29 --deflate").unwrap_err();
    assert!(format!("{error:#}").contains("compression_min_size"), "{error:#}");
}

#[test]
fn a_compressed_frame_that_nobody_asked_for_is_refused() {
    let (url, server) = scripted::serve(|mut client| client.send(0x41, b"\x03\x00"));
    let error = measure_at(&url, "idle --connections 1").unwrap_err();
    server.join().unwrap();
    assert!(format!("{error:#}").contains("not agreed"), "{error:#}");
}

#[test]
fn a_server_without_tls_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let hello = client.read(&mut [0; 4096]).unwrap();
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        hello
    });
    let error = measure_at(&url, "idle --connections 1").unwrap_err();
    assert!(server.join().unwrap() > 0);
    assert!(format!("{error:#}").contains("TLS"), "{error:#}");
}
