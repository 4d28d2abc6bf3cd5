//! Runs each mode against a `limit` on a free port; counts are asserted, never times.

mod front;
mod scripted;
mod ways;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use clap::Parser;
use jackfield_bench::Bench;
use serde_json::Value;

/// A `limit` that ends with the test.
struct Limit {
    child: Child,
    address: String,
}

impl Limit {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_limit"))
            .args(["--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("start limit");
        let mut address = String::new();
        let stdout = child.stdout.take().expect("a piped stdout");
        BufReader::new(stdout).read_line(&mut address).expect("read the address");
        Self { child, address: address.trim().to_owned() }
    }

    fn measure(&self, arguments: &str) -> Value {
        self.try_measure(arguments).expect("measure")
    }

    fn try_measure(&self, arguments: &str) -> anyhow::Result<Value> {
        let url = format!("ws://{}/connection/websocket", self.address);
        measure_at(&url, arguments)
    }
}

fn measure_at(url: &str, arguments: &str) -> anyhow::Result<Value> {
    let words = arguments.split(' ');
    let words = ["bench"].into_iter().chain(words).chain(["--url", url]);
    jackfield_bench::measure(Arguments::try_parse_from(words)?.bench)
}

impl Drop for Limit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[test]
fn fanout_counts_every_delivery_once() {
    for (server, flags) in [
        (&[][..], "--in-flight 1"),
        (&[], "--in-flight 16"),
        (&["--gather"], "--in-flight 16"),
        (&[], "--rate 500"),
        (&["--gather"], "--in-flight 1 --size 100000"),
    ] {
        let limit = Limit::start(server);
        let figures = limit.measure(&format!("fanout --subscribers 50 --messages 200 --warm-up 0.05 {flags}"));
        assert_eq!(figures["publications_done"], 200, "{flags}: {figures}");
        assert_eq!(figures["delivered_in_all"], 200 * 50, "{flags}");
        assert_eq!(figures["missing"], 0, "{flags}");
        assert_eq!(figures["unexpected"], 0, "{flags}");
        assert_eq!(figures["latency"]["samples"], 200 * 50, "{flags}");
        assert_eq!(figures["server_pids"][0], limit.child.id(), "{flags}");
    }
}

#[test]
fn fanout_spreads_over_rooms() {
    for server in [&[][..], &["--gather"]] {
        let limit = Limit::start(server);
        let figures = limit.measure("fanout --subscribers 53 --rooms 10 --in-flight 8 --messages 100 --warm-up 0");
        assert_eq!(figures["publications_done"], 100);
        // Three rooms hold six, seven hold five; each got ten publications.
        assert_eq!(figures["delivered_in_all"], 530);
        assert_eq!(figures["unexpected"], 0);
    }
}

#[test]
fn fanout_by_time_loses_nothing() {
    let limit = Limit::start(&[]);
    let figures = limit.measure("fanout --subscribers 50 --seconds 0.2 --warm-up 0.05");
    assert_eq!(figures["publications_sent"], figures["publications_done"]);
    let done = figures["publications_done"].as_u64().unwrap();
    assert_eq!(figures["delivered_in_all"], done * 50);
}

#[test]
fn idle_opens_holds_and_closes() {
    let limit = Limit::start(&[]);
    let figures =
        limit.measure("idle --connections 50 --channels 7 --subscriptions 2 --hold 0.1 --settle 0.05 --cycles 3");
    assert_eq!(figures["joined_in_all"], 150);
    assert_eq!(figures["lost"], 0);
    assert_eq!(figures["cycles"].as_array().unwrap().len(), 3);
    assert!(figures["rss_open_bytes"].as_u64().unwrap() > 100_000);
    assert!(limit.try_measure("idle --connections 5 --subscriptions 2").is_err());
}

#[test]
fn echo_goes_round() {
    let limit = Limit::start(&[]);
    for flags in ["--size 128", "--size 1", "--size 70000", "--rpc echo --size 128"] {
        let figures = limit.measure(&format!("echo --connections 50 --messages 500 --warm-up 0.05 {flags}"));
        assert!(figures["round_trips"].as_u64().unwrap() >= 500, "{flags}");
        assert_eq!(figures["wrong_answers"], 0, "{flags}");
        assert_eq!(figures["unanswered"], 0, "{flags}");
    }
}

#[test]
fn connect_comes_and_goes() {
    let limit = Limit::start(&[]);
    for flags in ["--sources 3", "--hmac-secret s3cret", "--token abc"] {
        let figures = limit.measure(&format!("connect --connections 120 --concurrency 50 --warm-up 10 {flags}"));
        assert_eq!(figures["connections"], 120, "{flags}");
        assert_eq!(figures["latency"]["samples"], 120, "{flags}");
    }
}

#[test]
fn pings_are_answered_as_the_server_wishes() {
    let (url, server) = scripted::serve(|mut client| {
        client.send(1, br#"{"id":1,"connect":{"client":"c","ping":25,"pong":true}}"#);
        client.send(1, b"{\"push\":{}}\n{\"id\":2,\"subscribe\":{}}");
        client.send(1, b"{}");
        assert_eq!(client.text(), "{}");
        client.send(1, b"{}\n{\"push\":{}}");
        assert_eq!(client.text(), "{}");
        client.send(9, b"abc");
        assert_eq!(client.frame(), (10, b"abc".to_vec()));
        assert_eq!(client.frame().0, 8, "the generator leaves");
    });
    let figures = measure_at(&url, "idle --connections 1 --settle 0 --hold 0.3").unwrap();
    server.join().unwrap();
    assert_eq!(figures["pings_in_all"], 2);
    assert_eq!(figures["lost"], 0);
}

#[test]
fn pings_are_not_answered_when_unwanted() {
    let (url, server) = scripted::serve(|mut client| {
        client.send(1, b"{\"id\":1,\"connect\":{}}\n{\"id\":2,\"subscribe\":{}}\n");
        client.send(1, b"{}");
        assert_eq!(client.frame().0, 8, "the generator leaves without a pong");
    });
    let figures = measure_at(&url, "idle --connections 1 --settle 0 --hold 0.3").unwrap();
    server.join().unwrap();
    assert_eq!(figures["pings_in_all"], 1);
}

#[test]
fn refusals_are_told() {
    let (url, server) = scripted::serve(|mut client| {
        client.send(1, br#"{"id":1,"connect":{"client":"c"}}"#);
        client.send(1, br#"{"id":2,"error":{"code":103,"message":"permission denied"}}"#);
    });
    let error = measure_at(&url, "idle --connections 1").unwrap_err();
    server.join().unwrap();
    assert!(format!("{error:#}").contains("permission denied"), "{error:#}");

    let (url, server) = scripted::serve(|mut client| client.send(8, b"\x0d\xacinvalid token"));
    let error = measure_at(&url, "idle --connections 1").unwrap_err();
    server.join().unwrap();
    assert!(format!("{error:#}").contains("3500 invalid token"), "{error:#}");
}

#[test]
fn a_server_that_is_away_is_told_as_such() {
    let limit = Limit::start(&[]);
    let address = limit.address.clone();
    drop(limit);
    let url = format!("ws://{address}/connection/websocket");
    let error = measure_at(&url, "connect --connections 1").unwrap_err();
    assert!(format!("{error:#}").contains("connect"), "{error:#}");
}
