//! `fanout`: the price of a delivery.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};

use crate::{
    commands::{self, Credentials, Greeting},
    flight::Flights,
    meter::{Meter, Spent, seconds_to_nanos},
    metrics,
    reach::{self, Reach},
    report::Latency,
    server::Server,
    socket::Socket,
    stamp::{self, StampFinder},
    swarm::{PATIENCE, Role, Swarm},
    websocket::{self, TEXT},
};

/// Options of `fanout`.
#[derive(clap::Args, Clone, Debug)]
pub struct Fanout {
    #[command(flatten)]
    pub(crate) reach: Reach,

    /// Connections that subscribe; the publisher is one more
    #[arg(long, value_name = "COUNT", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    subscribers: u32,

    /// Channels that the subscribers are spread over; publications go to one after the other
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,

    /// Publications under way at one time: the next one is sent when all subscribers have one
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,

    /// Publications per second, sent whether or not earlier ones have arrived; latency counts from
    /// the moment a publication was due, so a server that falls behind cannot hide it
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "in_flight")]
    rate: Option<f64>,

    /// Size of the published data in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 128)]
    size: usize,

    /// Length of the steady part
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    seconds: f64,

    /// End after this many publications instead of after --seconds
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds")]
    messages: Option<u64>,

    /// Time before the steady part, which is not counted
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    warm_up: f64,
}

impl Fanout {
    pub(crate) fn measure(&self) -> anyhow::Result<Value> {
        self.check()?;
        let server = self.reach.server();
        let mut swarm = Swarm::new(&self.reach)?;
        let mut crowd = Crowd::new(self)?;
        swarm.open_until(self.subscribers as usize, &mut crowd)?;
        swarm.open_until(self.subscribers as usize + 1, &mut crowd)?;
        crowd.schedule(swarm.clock().now());
        crowd.run(&mut swarm, Until::Time(seconds_to_nanos(self.warm_up)))?;
        crowd.land(&mut swarm)?;
        crowd.flights.restart_tally()?;
        crowd.spun_ns = 0;
        let counted = self.counted(&swarm)?;

        let meter = Meter::start(&server, swarm.clock());
        crowd.schedule(meter.began());
        let until = match self.messages {
            Some(messages) => Until::Done(messages),
            None => Until::Time(seconds_to_nanos(self.seconds)),
        };
        crowd.run(&mut swarm, until)?;
        let spent = meter.stop(&server, crowd.spun_ns);
        let deliveries = crowd.flights.tally.deliveries;
        let latency = Latency::of(&crowd.flights.tally.latency);
        crowd.land(&mut swarm)?;
        let mut figures = self.figures(&crowd, &spent, deliveries, &latency, &server);
        let compressed = self.counted(&swarm)?.since(&counted);
        if self.reach.deflate && compressed.received == 0 && crowd.flights.tally.deliveries > 0 {
            bail!(
                "fanout --deflate: no delivery came compressed; use a --size above the server's threshold \
                 ([websocket] compression_min_size)"
            );
        }
        figures["deflate"] = json!(self.reach.deflate);
        figures["tls"] = json!(self.reach.is_secure());
        figures["compressed"] = compressed.figures(crowd.flights.tally.sent);
        swarm.close_all(&mut crowd)?;
        Ok(figures)
    }

    fn counted(&self, swarm: &Swarm) -> anyhow::Result<Compressed> {
        let (received, inflated) = swarm.compressed();
        let by_server = self.reach.metrics.as_deref().map(metrics::deflated_frames).transpose()?;
        Ok(Compressed { received, inflated, by_server })
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.size < stamp::SMALLEST_DATA {
            bail!("--size {}: the time stamp alone needs {}", self.size, stamp::SMALLEST_DATA);
        }
        if self.rate.is_some_and(|rate| rate <= 0.0 || rate > 1e7) {
            bail!("--rate must be above 0 and at most 10 million");
        }
        reach::check_open_files(self.subscribers as usize + 1)
    }

    fn figures(&self, crowd: &Crowd, spent: &Spent, deliveries: u64, latency: &Latency, server: &Server) -> Value {
        json!({
            "mode": "fanout",
            "subscribers": self.subscribers,
            "rooms": self.rooms,
            "in_flight": if self.rate.is_some() { None } else { Some(self.in_flight) },
            "rate": self.rate,
            "size_bytes": self.size,
            "server_pids": server.pids(),
            "publications_sent": crowd.flights.tally.sent,
            "publications_done": crowd.flights.tally.done,
            "deliveries": deliveries,
            "delivered_in_all": crowd.flights.tally.deliveries,
            "missing": crowd.flights.missing(),
            "unexpected": crowd.flights.unexpected,
            "refused": crowd.refused,
            "deliveries_per_second": deliveries as f64 / spent.seconds,
            "server_cpu_us_per_delivery": spent.server_us_per(deliveries),
            "latency": latency,
            "sent_late_max_us": crowd.late_ns as f64 / 1e3,
            "spent": spent,
        })
    }
}

/// Compressed frames: those that came, those among them that differ from the one before, and how
/// often the server says that it compressed.
struct Compressed {
    received: u64,
    inflated: u64,
    by_server: Option<u64>,
}

impl Compressed {
    fn since(&self, earlier: &Self) -> Self {
        let by_server = self.by_server.zip(earlier.by_server).map(|(now, then)| now.saturating_sub(then));
        Self { received: self.received - earlier.received, inflated: self.inflated - earlier.inflated, by_server }
    }

    fn figures(&self, publications: u64) -> Value {
        let share = |count: u64| (publications > 0).then(|| count as f64 / publications as f64);
        json!({
            "frames_received": self.received,
            "frames_inflated": self.inflated,
            "by_server": self.by_server,
            "by_server_per_publication": self.by_server.and_then(share),
        })
    }
}

/// When a part of the run ends.
enum Until {
    Done(u64),
    Time(u64),
}

/// All subscribers and their publisher.
struct Crowd {
    options: Fanout,
    credentials: Credentials,
    flights: Flights,
    finder: StampFinder,
    publisher: usize,
    next_id: u64,
    next_room: u32,
    /// Subscribers of each room, and its name.
    rooms: Vec<(String, u32)>,
    /// Open workload: when the schedule began and how many publications of it are out.
    schedule: (u64, u64),
    late_ns: u64,
    /// Time spent spinning before a publication was due, because epoll counts milliseconds.
    spun_ns: u64,
    refused: u64,
    refusal: String,
    text: String,
    frames: Vec<u8>,
}

impl Crowd {
    fn new(options: &Fanout) -> anyhow::Result<Self> {
        let (subscribers, rooms) = (options.subscribers, options.rooms);
        let size = |room| subscribers / rooms + u32::from(room < subscribers % rooms);
        let name = |room| commands::channel(room as usize, rooms as usize);
        Ok(Self {
            options: options.clone(),
            credentials: options.reach.credentials(),
            flights: Flights::new()?,
            finder: StampFinder::new(),
            publisher: subscribers as usize,
            next_id: 2,
            next_room: 0,
            rooms: (0..rooms).map(|room| (name(room), size(room))).collect(),
            schedule: (0, 0),
            late_ns: 0,
            spun_ns: 0,
            refused: 0,
            refusal: String::new(),
            text: String::new(),
            frames: Vec::new(),
        })
    }

    fn schedule(&mut self, now: u64) {
        self.schedule = (now, 0);
        self.late_ns = 0;
    }

    /// Publishes and counts until the end of this part.
    fn run(&mut self, swarm: &mut Swarm, until: Until) -> anyhow::Result<()> {
        let clock = swarm.clock();
        let began = clock.now();
        let mut patience = Patience::new(began);
        loop {
            let now = clock.now();
            let quota = match until {
                Until::Time(length) if now - began >= length => return Ok(()),
                Until::Time(_) => u64::MAX,
                Until::Done(count) if self.flights.tally.done >= count => return Ok(()),
                Until::Done(count) => count.saturating_sub(self.flights.tally.sent),
            };
            let wait = self.publish(now, quota);
            if !self.frames.is_empty() {
                swarm.write(self.publisher, &self.frames);
                self.frames.clear();
            }
            let events = swarm.turn(self, Some(wait))?;
            if events == 0 && wait.is_zero() {
                self.spun_ns += clock.now() - now;
            }
            self.check(swarm, &mut patience)?;
        }
    }

    /// Waits for what is under way.
    fn land(&mut self, swarm: &mut Swarm) -> anyhow::Result<()> {
        let mut patience = Patience::new(swarm.clock().now());
        while self.flights.under_way() > 0 {
            swarm.turn(self, Some(Duration::from_millis(100)))?;
            self.check(swarm, &mut patience)?;
        }
        Ok(())
    }

    fn check(&self, swarm: &Swarm, patience: &mut Patience) -> anyhow::Result<()> {
        if self.refused > 0 {
            bail!("publish: the server answers {}", self.refusal);
        }
        if let (lost @ 1.., reason) = swarm.lost() {
            bail!("keep connections: the server ended {lost}, the last with: {reason}");
        }
        let deliveries = self.flights.tally.deliveries;
        if self.flights.under_way() > 0 && patience.ends(deliveries, swarm.clock().now()) {
            bail!(
                "deliver: nothing came for 10 s, {} deliveries of {} publications are missing",
                self.flights.missing(),
                self.flights.under_way()
            );
        }
        Ok(())
    }

    /// Prepares the publications that are due, at most `quota`, and says how long to wait then.
    fn publish(&mut self, now: u64, quota: u64) -> Duration {
        let Some(rate) = self.options.rate else {
            let under_way = self.flights.under_way() as u64;
            let free = u64::from(self.options.in_flight).saturating_sub(under_way);
            for _ in 0..free.min(quota) {
                self.add(now);
            }
            return Duration::from_millis(100);
        };
        let mut left = quota;
        loop {
            let (began, out) = self.schedule;
            let due = began + (out as f64 * 1e9 / rate) as u64;
            if due > now || left == 0 {
                let wait = Duration::from_nanos(due.saturating_sub(now));
                // Why: epoll rounds up to milliseconds, which would be lateness of ours.
                let whole = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(100));
                return if left == 0 { Duration::from_millis(100) } else { whole.min(PATIENCE) };
            }
            self.late_ns = self.late_ns.max(now - due);
            self.add(due);
            self.schedule.1 += 1;
            left -= 1;
        }
    }

    /// Prepares one publication to the next room.
    fn add(&mut self, wanted: u64) {
        use std::fmt::Write;
        let (channel, size) = &self.rooms[self.next_room as usize];
        let stamp = self.flights.depart(wanted, *size);
        self.next_room = (self.next_room + 1) % self.options.rooms;
        self.text.clear();
        let id = self.next_id;
        self.next_id += 1;
        // Writing to a String does not fail.
        let _ = write!(self.text, r#"{{"id":{id},"publish":{{"channel":"{channel}","data":"#);
        stamp::data(stamp, self.options.size, &mut self.text);
        self.text.push_str("}}");
        websocket::encode(TEXT, self.text.as_bytes(), &mut self.frames);
    }
}

impl Role for Crowd {
    fn greeting(&mut self, index: usize) -> anyhow::Result<Option<Greeting>> {
        if index == self.publisher {
            return self.credentials.greeting(&[]).map(Some);
        }
        let channel = self.rooms[index % self.rooms.len()].0.clone();
        self.credentials.greeting(&[channel]).map(Some)
    }

    #[inline]
    fn message(&mut self, _socket: &mut Socket, index: usize, message: &[u8], now: u64) {
        if index == self.publisher {
            if memchr::memmem::find(message, b"\"error\"").is_some() {
                self.refused += 1;
                self.refusal = String::from_utf8_lossy(message).into_owned();
            }
        } else if let Some(stamp) = self.finder.find(message) {
            self.flights.arrive(stamp, now);
        }
    }
}

/// Notices when deliveries have stopped.
struct Patience {
    deliveries: u64,
    since: u64,
}

impl Patience {
    fn new(now: u64) -> Self {
        Self { deliveries: 0, since: now }
    }

    fn ends(&mut self, deliveries: u64, now: u64) -> bool {
        if deliveries != self.deliveries {
            (self.deliveries, self.since) = (deliveries, now);
        }
        u128::from(now - self.since) > PATIENCE.as_nanos()
    }
}
