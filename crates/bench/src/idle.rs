//! `idle`: the price of a connection that does nothing.

use std::time::Duration;

use anyhow::bail;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    commands::{self, Credentials, Greeting},
    meter::Meter,
    reach::{self, Reach},
    report,
    server::{Kernel, Memory, Server},
    socket::Socket,
    swarm::{Role, Swarm},
};

/// Options of `idle`.
#[derive(clap::Args, Clone, Debug)]
pub struct Idle {
    #[command(flatten)]
    pub(crate) reach: Reach,

    /// Connections to open and hold
    #[arg(long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,

    /// Channels that the subscriptions are spread over, round robin
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    channels: u32,

    /// Channels that each connection subscribes to
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    subscriptions: u32,

    /// How long to hold the connections, answering pings
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    hold: f64,

    /// Wait between the opening and the first look at memory
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    settle: f64,

    /// Open and close all connections this many times, and report memory after each
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    cycles: u32,
}

/// Memory at one moment.
#[derive(Clone, Copy)]
struct Look {
    server: Option<Memory>,
    kernel: Kernel,
}

/// Memory while open and after closing, of one cycle.
#[derive(Serialize)]
struct Cycle {
    rss_open_bytes: Option<u64>,
    rss_closed_bytes: Option<u64>,
}

impl Idle {
    pub(crate) fn measure(&self) -> anyhow::Result<Value> {
        if self.subscriptions > self.channels {
            bail!("--subscriptions {} needs as many --channels", self.subscriptions);
        }
        reach::check_open_files(self.connections as usize)?;
        let server = self.reach.server();
        let mut sleepers = Sleepers::new(self);
        let mut swarm = Swarm::new(&self.reach)?;
        let before = Look::at(&server);
        let mut held = None;
        let mut cycles = Vec::new();
        for number in 1..=self.cycles {
            swarm.open_until(self.connections as usize, &mut sleepers)?;
            swarm.turn_for(&mut sleepers, Duration::from_secs_f64(self.settle))?;
            let open = Look::at(&server);
            if number == 1 {
                held = Some(self.hold(&mut swarm, &mut sleepers, &server, (before, open))?);
            }
            swarm.close_all(&mut sleepers)?;
            swarm.turn_for(&mut sleepers, Duration::from_secs_f64(self.settle))?;
            let cycle = Cycle { rss_open_bytes: open.rss(), rss_closed_bytes: Look::at(&server).rss() };
            if let Some(rss) = cycle.rss_closed_bytes {
                report::say(&format!("cycle {number}: {rss} bytes RSS after closing"));
            }
            cycles.push(cycle);
        }
        let mut figures = held.unwrap_or_default();
        figures["joined_in_all"] = json!(sleepers.joined);
        figures["compressed_frames"] = json!(swarm.compressed().0);
        figures["pings_in_all"] = json!(sleepers.pings);
        figures["cycles"] = json!(cycles);
        Ok(figures)
    }

    fn hold(
        &self,
        swarm: &mut Swarm,
        sleepers: &mut Sleepers,
        server: &Server,
        (before, open): (Look, Look),
    ) -> anyhow::Result<Value> {
        let earlier_pings = sleepers.pings;
        let meter = Meter::start(server, swarm.clock());
        swarm.turn_for(sleepers, Duration::from_secs_f64(self.hold))?;
        let spent = meter.stop(server, 0);
        let after = Look::at(server);
        let per_second = |total: Option<u64>| total.map(|us| us as f64 / spent.seconds / f64::from(self.connections));
        let per_connection = |now: Option<u64>, earlier: Option<u64>| {
            Some((now? as f64 - earlier? as f64) / f64::from(self.connections))
        };
        let kernel = |look: Look, part: fn(Kernel) -> u64| Some(part(look.kernel));
        let (lost, reason) = swarm.lost();
        Ok(json!({
            "mode": "idle",
            "connections": self.connections,
            "channels": self.channels,
            "subscriptions": self.subscriptions,
            "deflate": self.reach.deflate,
            "tls": self.reach.is_secure(),
            "server_pids": server.pids(),
            "lost": lost,
            "lost_reason": reason,
            "pings": sleepers.pings - earlier_pings,
            "rss_before_bytes": before.rss(),
            "rss_open_bytes": open.rss(),
            "rss_after_hold_bytes": after.rss(),
            "rss_bytes_per_connection": per_connection(open.rss(), before.rss()),
            "rss_bytes_per_connection_after_hold": per_connection(after.rss(), before.rss()),
            "pss_before_bytes": before.pss(),
            "pss_open_bytes": open.pss(),
            "pss_bytes_per_connection": per_connection(open.pss(), before.pss()),
            "kernel_both_ends": {
                "tcp_buffer_bytes_per_connection":
                    per_connection(kernel(open, tcp), kernel(before, tcp)),
                "slab_bytes_per_connection":
                    per_connection(kernel(open, slab), kernel(before, slab)),
            },
            "server_user_us_per_connection_second": per_second(spent.server_user_us),
            "server_system_us_per_connection_second": per_second(spent.server_system_us),
            "spent": spent,
        }))
    }
}

fn tcp(kernel: Kernel) -> u64 {
    kernel.tcp_bytes
}

fn slab(kernel: Kernel) -> u64 {
    kernel.slab_bytes
}

impl Look {
    fn at(server: &Server) -> Self {
        Self { server: server.memory(), kernel: Kernel::read() }
    }

    fn rss(self) -> Option<u64> {
        self.server.map(|memory| memory.rss_bytes)
    }

    fn pss(self) -> Option<u64> {
        self.server.map(|memory| memory.pss_bytes)
    }
}

/// Connections that only answer pings.
struct Sleepers {
    credentials: Credentials,
    channels: u32,
    subscriptions: u32,
    next_channel: u32,
    joined: u64,
    pings: u64,
}

impl Sleepers {
    fn new(options: &Idle) -> Self {
        Self {
            credentials: options.reach.credentials(),
            channels: options.channels,
            subscriptions: options.subscriptions,
            next_channel: 0,
            joined: 0,
            pings: 0,
        }
    }
}

impl Role for Sleepers {
    fn greeting(&mut self, _index: usize) -> anyhow::Result<Option<Greeting>> {
        let channels: Vec<String> = (0..self.subscriptions)
            .map(|step| (self.next_channel + step) % self.channels)
            .map(|room| commands::channel(room as usize, self.channels as usize))
            .collect();
        self.next_channel = (self.next_channel + self.subscriptions) % self.channels;
        self.credentials.greeting(&channels).map(Some)
    }

    fn joined(&mut self, _socket: &mut Socket, _index: usize) {
        self.joined += 1;
    }

    fn message(&mut self, _socket: &mut Socket, _index: usize, _message: &[u8], _now: u64) {}

    fn pinged(&mut self) {
        self.pings += 1;
    }
}
