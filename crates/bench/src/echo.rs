//! `echo`: the price of a round trip.

use std::time::Duration;

use anyhow::bail;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{
    commands::{Credentials, Greeting},
    meter::{Meter, seconds_to_nanos},
    reach::{self, Reach},
    report::{self, Latency},
    socket::Socket,
    swarm::{PATIENCE, Role, Swarm},
    websocket::{self, TEXT},
};

/// Options of `echo`.
#[derive(clap::Args, Clone, Debug)]
pub struct Echo {
    #[command(flatten)]
    pub(crate) reach: Reach,

    /// Connections; each has one message under way
    #[arg(long, value_name = "COUNT", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,

    /// Path that answers a text frame with the same text frame; it replaces the path of the URL
    #[arg(long, value_name = "PATH", default_value = "/echo")]
    path: String,

    /// Call this rpc method over the path of the URL instead of the echo path
    #[arg(long, value_name = "METHOD", conflicts_with = "path")]
    rpc: Option<String>,

    /// Size of the text, or of the data of the call, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    size: usize,

    /// Length of the steady part
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    seconds: f64,

    /// End after this many round trips instead of after --seconds
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds")]
    messages: Option<u64>,

    /// Time before the steady part, which is not counted
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    warm_up: f64,
}

impl Echo {
    pub(crate) fn measure(&self) -> anyhow::Result<Value> {
        reach::check_open_files(self.connections as usize)?;
        let mut reach = self.reach.clone();
        if self.rpc.is_none() {
            reach.url.path.clone_from(&self.path);
        }
        let server = reach.server();
        let mut swarm = Swarm::new(&reach)?;
        let mut callers = Callers::new(self)?;
        swarm.open_until(self.connections as usize, &mut callers)?;
        callers.begin(&mut swarm);
        callers.run(&mut swarm, u64::MAX, seconds_to_nanos(self.warm_up))?;
        callers.latency = report::histogram()?;
        callers.answers = 0;

        let meter = Meter::start(&server, swarm.clock());
        let length = self.messages.map_or(seconds_to_nanos(self.seconds), |_| u64::MAX);
        callers.run(&mut swarm, self.messages.unwrap_or(u64::MAX), length)?;
        let spent = meter.stop(&server, 0);
        let answers = callers.answers;
        let latency = Latency::of(&callers.latency);
        callers.stopping = true;
        callers.run(&mut swarm, u64::MAX, u64::MAX)?;
        swarm.close_all(&mut callers)?;
        Ok(json!({
            "mode": "echo",
            "connections": self.connections,
            "size_bytes": self.size,
            "rpc": self.rpc,
            "server_pids": server.pids(),
            "round_trips": answers,
            "wrong_answers": callers.wrong,
            "unanswered": callers.under_way,
            "round_trips_per_second": answers as f64 / spent.seconds,
            "server_cpu_us_per_round_trip": spent.server_us_per(answers),
            "latency": latency,
            "spent": spent,
        }))
    }
}

/// Connections that each wait for one answer.
struct Callers {
    credentials: Credentials,
    is_rpc: bool,
    /// The finished frame: the same for all.
    frame: Vec<u8>,
    /// What an answer must be (echo) or contain (rpc).
    expected: Vec<u8>,
    sent_at: Vec<u64>,
    latency: Histogram<u64>,
    under_way: usize,
    answers: u64,
    wrong: u64,
    wrong_answer: String,
    stopping: bool,
}

impl Callers {
    fn new(options: &Echo) -> anyhow::Result<Self> {
        let (text, expected) = match &options.rpc {
            Some(method) => {
                let method = Value::from(method.as_str());
                let data = format!(r#"{{"p":"{}"}}"#, "x".repeat(options.size.saturating_sub(8)));
                let rpc = format!(r#"{{"id":2,"rpc":{{"method":{method},"data":{data}}}}}"#);
                (rpc, r#"{"id":2,"rpc":"#.to_owned())
            }
            None => ("x".repeat(options.size), "x".repeat(options.size)),
        };
        let mut frame = Vec::new();
        websocket::encode(TEXT, text.as_bytes(), &mut frame);
        Ok(Self {
            credentials: options.reach.credentials(),
            is_rpc: options.rpc.is_some(),
            frame,
            expected: expected.into_bytes(),
            sent_at: vec![0; options.connections as usize],
            latency: report::histogram()?,
            under_way: 0,
            answers: 0,
            wrong: 0,
            wrong_answer: String::new(),
            stopping: false,
        })
    }

    /// Sends the first message of each connection.
    fn begin(&mut self, swarm: &mut Swarm) {
        self.sent_at.fill(swarm.clock().now());
        self.under_way = self.sent_at.len();
        swarm.write_all(&self.frame);
    }

    /// Goes round until so many answers, so many nanoseconds, or nothing is under way any more.
    fn run(&mut self, swarm: &mut Swarm, answers: u64, length: u64) -> anyhow::Result<()> {
        let began = swarm.clock().now();
        let (mut last_answers, mut last_move) = (self.answers, began);
        while self.answers < answers && self.under_way > 0 {
            let now = swarm.clock().now();
            if now - began >= length {
                break;
            }
            swarm.turn(self, Some(Duration::from_millis(100)))?;
            if self.wrong > 0 {
                bail!("echo: the server answers {}", self.wrong_answer);
            }
            if let (lost @ 1.., reason) = swarm.lost() {
                bail!("keep connections: the server ended {lost}, the last with: {reason}");
            }
            if self.answers != last_answers {
                (last_answers, last_move) = (self.answers, now);
            } else if u128::from(now - last_move) > PATIENCE.as_nanos() {
                bail!("echo: no answer for 10 s, {} are under way", self.under_way);
            }
        }
        Ok(())
    }
}

impl Role for Callers {
    fn greeting(&mut self, _index: usize) -> anyhow::Result<Option<Greeting>> {
        if self.is_rpc { self.credentials.greeting(&[]).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn message(&mut self, socket: &mut Socket, index: usize, message: &[u8], now: u64) {
        let right = if self.is_rpc { message.starts_with(&self.expected) } else { message == self.expected };
        if !right {
            self.wrong += 1;
            self.wrong_answer = String::from_utf8_lossy(message).into_owned();
        }
        self.answers += 1;
        self.latency.saturating_record(now.saturating_sub(self.sent_at[index]));
        if self.stopping {
            self.under_way -= 1;
        } else {
            self.sent_at[index] = now;
            socket.write(&self.frame);
        }
    }
}
