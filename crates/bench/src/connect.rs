//! `connect`: the price of coming and going.

use std::time::Duration;

use anyhow::bail;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::{
    commands::{self, Credentials, Greeting},
    meter::Meter,
    reach::{self, Reach},
    report::{self, Latency},
    socket::Socket,
    stamp::Clock,
    swarm::{PATIENCE, Role, Swarm},
};

/// Options of `connect`.
#[derive(clap::Args, Clone, Debug)]
pub struct Connect {
    #[command(flatten)]
    pub(crate) reach: Reach,

    /// Connections in all
    #[arg(long, value_name = "COUNT", default_value_t = 50_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    connections: u64,

    /// Connections at one time
    #[arg(long, value_name = "COUNT", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// Connections before the counted ones
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    warm_up: u64,
}

impl Connect {
    pub(crate) fn measure(&self) -> anyhow::Result<Value> {
        reach::check_open_files(usize::from(self.concurrency))?;
        let server = self.reach.server();
        let mut swarm = Swarm::new(&self.reach)?;
        let mut guests = Guests::new(self, swarm.clock())?;
        guests.run(&mut swarm, self.warm_up)?;
        guests.restart()?;

        let meter = Meter::start(&server, swarm.clock());
        guests.run(&mut swarm, self.connections)?;
        let spent = meter.stop(&server, 0);
        Ok(json!({
            "mode": "connect",
            "concurrency": self.concurrency,
            "server_pids": server.pids(),
            "connections": guests.joined,
            "connections_per_second": guests.joined as f64 / spent.seconds,
            "server_cpu_us_per_connection": spent.server_us_per(guests.joined),
            "latency": Latency::of(&guests.latency),
            "spent": spent,
        }))
    }
}

/// Connections that leave as soon as they have joined.
struct Guests {
    concurrency: usize,
    credentials: Credentials,
    channels: [String; 1],
    clock: Clock,
    began_at: Vec<u64>,
    latency: Histogram<u64>,
    joined: u64,
}

impl Guests {
    fn new(options: &Connect, clock: Clock) -> anyhow::Result<Self> {
        Ok(Self {
            concurrency: usize::from(options.concurrency),
            credentials: options.reach.credentials(),
            channels: [commands::channel(0, 1)],
            clock,
            began_at: vec![0; usize::from(options.concurrency)],
            latency: report::histogram()?,
            joined: 0,
        })
    }

    fn restart(&mut self) -> anyhow::Result<()> {
        self.joined = 0;
        self.latency = report::histogram()?;
        Ok(())
    }

    /// Lets so many connections come and go.
    fn run(&mut self, swarm: &mut Swarm, count: u64) -> anyhow::Result<()> {
        let mut left = count;
        let mut last_move = self.clock.now();
        while left > 0 || swarm.len() > 0 {
            while left > 0 && swarm.len() < self.concurrency {
                let index = swarm.open()?;
                self.began_at[index] = self.clock.now();
                left -= 1;
            }
            let events = swarm.turn(self, Some(Duration::from_millis(100)))?;
            if let (1.., reason) = swarm.lost() {
                bail!("keep connections: the server ended one: {reason}");
            }
            let now = self.clock.now();
            if events > 0 {
                last_move = now;
            } else if u128::from(now - last_move) > PATIENCE.as_nanos() {
                let (opening, all) = (swarm.opening(), swarm.len());
                bail!("connect: nothing for 10 s; {opening} are opening, {} closing", all - opening);
            }
        }
        Ok(())
    }
}

impl Role for Guests {
    fn greeting(&mut self, _index: usize) -> anyhow::Result<Option<Greeting>> {
        self.credentials.greeting(&self.channels).map(Some)
    }

    fn joined(&mut self, socket: &mut Socket, index: usize) {
        self.joined += 1;
        let took = self.clock.now().saturating_sub(self.began_at[index]);
        self.latency.saturating_record(took);
        socket.close();
    }

    fn message(&mut self, _socket: &mut Socket, _index: usize, _message: &[u8], _now: u64) {}
}
