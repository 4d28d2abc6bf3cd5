//! What a command costs on its way through each queue: three nodes with hub and bridge beside a bare client that only
//! reads and acknowledges, in turns, on one server. `cargo bench -p jackfield-brokers --bench commands`.

#![expect(clippy::print_stdout, reason = "a measurement prints its table")]

mod bare;
mod fill;
mod nodes;

use std::error::Error;
use std::time::{Duration, Instant};

use jackfield_testkit::servers::{NatsServer, RabbitServer, RedisCluster, RedisServer, ServerControl};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Partitions, as the drivers have them unless told otherwise.
const PARTITIONS: u32 = 8;
const CHANNELS: usize = 1000;

type Failure = Box<dyn Error + Send + Sync>;

/// What one run took.
#[derive(Clone, Copy, Debug)]
struct Taken {
    wall: Duration,
    cpu: Duration,
}

/// A queue under test.
struct Contender {
    name: &'static str,
    driver: &'static str,
    url: String,
    /// Kept for as long as it is used.
    _server: Box<dyn ServerControl>,
}

fn contenders() -> Vec<Contender> {
    let redis = RedisServer::relaxed();
    let cluster = RedisCluster::started(3, 0);
    let (rabbit, nats) = (RabbitServer::started(), NatsServer::started());
    vec![
        Contender { name: "Redis", driver: "redis", url: redis.url(), _server: Box::new(redis) },
        Contender { name: "Redis Cluster", driver: "redis", url: cluster.url(), _server: Box::new(cluster) },
        Contender { name: "RabbitMQ", driver: "rabbitmq", url: rabbit.url(), _server: Box::new(rabbit) },
        Contender { name: "NATS", driver: "nats", url: nats.url(), _server: Box::new(nats) },
    ]
}

fn main() -> Result<(), Failure> {
    let number =
        |name: &str, default: usize| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (count, rounds) = (number("JACKFIELD_COMMANDS", 100_000), number("JACKFIELD_ROUNDS", 3));
    let only = std::env::var("JACKFIELD_QUEUE").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{count} commands of {CHANNELS} channels; of {rounds} rounds the best\n");
    println!("| queue | bare, a second | nodes, a second | ratio | bare, us of CPU | nodes, us of CPU | ratio |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for contender in contenders() {
        if !contender.name.contains(&only) {
            continue;
        }
        if contender.driver == "redis" {
            runtime.block_on(async { bare::Redis::connect(&contender.url).await?.relax().await })?;
        }
        let (mut bare, mut nodes) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let prefix = format!("bare{round}");
            runtime.block_on(fill::fill(contender.driver, &contender.url, &prefix, count))?;
            bare.push(runtime.block_on(bare::drain(contender.driver, &contender.url, &prefix, count))?);
            let prefix = format!("nodes{round}");
            runtime.block_on(fill::fill(contender.driver, &contender.url, &prefix, count))?;
            nodes.push(runtime.block_on(nodes::drain(contender.driver, &contender.url, &prefix, count))?);
        }
        row(contender.name, (&bare, &nodes), count);
    }
    Ok(())
}

fn row(name: &str, (bare, nodes): (&[Taken], &[Taken]), count: usize) {
    let best = |all: &[Taken], of: fn(&Taken) -> Duration| all.iter().map(of).min().unwrap_or_default().as_secs_f64();
    let (wall, cpu) = (|taken: &Taken| taken.wall, |taken: &Taken| taken.cpu);
    let (one, other) = (best(bare, wall), best(nodes, wall));
    let (one_cpu, other_cpu) = (best(bare, cpu) * 1e6 / count as f64, best(nodes, cpu) * 1e6 / count as f64);
    println!(
        "| {name} | {:.0} | {:.0} | {:.2} | {one_cpu:.1} | {other_cpu:.1} | {:.2} |",
        count as f64 / one,
        count as f64 / other,
        other / one,
        other_cpu / one_cpu
    );
}

/// Starts a measurement.
struct Meter {
    started: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Self {
        Self { started: Instant::now(), cpu: cpu() }
    }

    fn stop(&self) -> Taken {
        Taken { wall: self.started.elapsed(), cpu: cpu().saturating_sub(self.cpu) }
    }
}

/// What this process has used, in user and system; in steps of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// The channel of a command, and the partition of the channel.
fn place(number: usize) -> (String, u32) {
    let channel = format!("c{}", number % CHANNELS);
    let partition = crc32fast::hash(channel.as_bytes()) % PARTITIONS;
    (channel, partition)
}
