//! One channel of very many members: what its statistics cost, and what a storm of members does to other channels.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use jackfield_hub::{Options, Publishing};
use jackfield_model::Payload;
use jackfield_model::client::PresenceStats;
use jackfield_session::Session;

use crate::house::{ANY, House, NOW, WORKERS, Worker, at, nanos};

/// Subscribers of the channel beside, on each worker.
const BESIDE: u32 = 100;
/// Commands that a worker takes in a round of its loop, as it would from sockets.
const ROUND: u32 = 32;
/// How long each of the two measurements is at least.
const LENGTH: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_micros(50);
const PERIOD: Duration = Duration::from_millis(1);

pub(crate) fn run(members: u32, storm: u32) -> anyhow::Result<()> {
    let room = Options { presence: true, join_leave: true, subscribe: ANY, read_presence: ANY, ..Options::default() };
    let beside = Options { subscribe: ANY, ..Options::default() };
    let house = Arc::new(House::new(vec![("room", room), ("beside", beside)]));
    let start = Instant::now();
    let crew: anyhow::Result<Vec<_>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..WORKERS)
            .map(|index| {
                let house = &house;
                scope.spawn(move || fill(house, index, members))
            })
            .collect();
        threads.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("a worker failed to fill"))?).collect()
    });
    let crew = crew?;
    tell(&format!("{members} members came in {:.2} s", start.elapsed().as_secs_f64()));
    statistics(&house, members)?;
    let (crew, quiet) = measure(&house, crew, None)?;
    let (_, stormy) = measure(&house, crew, Some(storm))?;
    for (what, [median, p99], count) in [("quiet", quiet.0, quiet.1), ("storm", stormy.0, stormy.1)] {
        tell(&format!(
            "{what}: publish to outbox of another channel: median {median} us, p99 {p99} us, {count} joins and leaves"
        ));
    }
    let ratio = stormy.0[1] as f64 / quiet.0[1].max(1) as f64;
    tell(&format!("p99 with a storm of {storm} / without: {ratio:.2}"));
    Ok(())
}

/// A worker and its clients; those of the room first.
type Staff = (Worker, Vec<Session>);

fn fill(house: &Arc<House>, index: u32, members: u32) -> anyhow::Result<Staff> {
    let mut worker = house.worker(index);
    let mut clients = Vec::new();
    let room = members / WORKERS + u32::from(index < members % WORKERS);
    for slot in 0..room + BESIDE {
        let channel = if slot < room { "room:1" } else { "beside:1" };
        let mut session = worker.come(slot, &format!("user-{}", (slot * WORKERS + index) / 2))?;
        let words = format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}","join_leave":true}}}}"#);
        worker.say(&mut session, slot, &words)?;
        if slot >= room {
            worker.say(&mut session, slot, r#"{"id":3,"subscribe":{"channel":"room:few"}}"#)?;
        }
        clients.push(session);
        if slot % 1_000 == 0 {
            worker.deliver();
            worker.flush(|_, _| {});
        }
    }
    worker.deliver();
    worker.flush(|_, _| {});
    Ok((worker, clients))
}

fn count(house: &House, channel: &str) -> anyhow::Result<PresenceStats> {
    house.hub.presence_stats(channel).map_err(|error| anyhow::anyhow!("failed to count {channel}: {error:?}"))
}

/// Statistics take no walk: their price does not depend on the number of members.
fn statistics(house: &House, members: u32) -> anyhow::Result<()> {
    let stats = count(house, "room:1")?;
    ensure!(stats.num_clients == members, "{} members are counted of {members}", stats.num_clients);
    let price = |channel: &str| -> anyhow::Result<u64> {
        let mut figures = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            for _ in 0..100 {
                black_box(count(house, channel)?);
            }
            figures.push(nanos(start) / 100);
        }
        Ok(at(0.5, &mut figures))
    };
    let (many, few) = (price("room:1")?, price("room:few")?);
    tell(&format!("presence_stats: {many} ns with {members} members, {few} ns with {}", BESIDE * WORKERS));
    Ok(())
}

type Figures = ([u64; 2], u32);

/// The time from a publication to the last outbox that has it, while the workers do nothing else, or while members come
/// and go.
fn measure(house: &Arc<House>, crew: Vec<Staff>, storm: Option<u32>) -> anyhow::Result<(Vec<Staff>, Figures)> {
    let is_over = AtomicBool::new(false);
    let moves = AtomicU32::new(0);
    let begin = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = crew
            .into_iter()
            .map(|staff| {
                let (is_over, moves) = (&is_over, &moves);
                scope.spawn(move || work(staff, (begin, storm), is_over, moves))
            })
            .collect();
        let published = publish(house, begin, || storm.is_none_or(|storm| moves.load(Ordering::Relaxed) >= 2 * storm));
        is_over.store(true, Ordering::Relaxed);
        let mut crew = Vec::new();
        let mut figures = Vec::new();
        for one in threads {
            let (staff, mut heard) = one.join().map_err(|_| anyhow::anyhow!("a worker failed"))??;
            crew.push(staff);
            figures.append(&mut heard);
        }
        ensure!(figures.len() as u64 == published? * u64::from(WORKERS), "publications were lost on the way");
        Ok((crew, ([at(0.5, &mut figures) / 1000, at(0.99, &mut figures) / 1000], moves.load(Ordering::Relaxed))))
    })
}

/// Publishes once a period, until both the time and whatever else is to be done are over.
fn publish(house: &House, begin: Instant, is_done: impl Fn() -> bool) -> anyhow::Result<u64> {
    let mut count = 0;
    // A storm that never ends is a failure, and no reason to wait for ever.
    while begin.elapsed() < LENGTH || (!is_done() && begin.elapsed() < 20 * LENGTH) {
        let publishing = Publishing { data: Payload::json(nanos(begin).to_string()), ..Publishing::default() };
        let published = house.hub.publish_and_forget("beside:1", publishing, NOW.millis);
        published.map_err(|error| anyhow::anyhow!("failed to publish: {error:?}"))?;
        count += 1;
        thread::sleep(PERIOD);
    }
    ensure!(is_done(), "the storm did not end");
    // What is under way arrives.
    thread::sleep(Duration::from_millis(200));
    Ok(count)
}

/// The loop of a worker.
fn work(
    (mut worker, clients): Staff,
    (begin, storm): (Instant, Option<u32>),
    is_over: &AtomicBool,
    moves: &AtomicU32,
) -> anyhow::Result<(Staff, Vec<u64>)> {
    let (mut next, mut guests, mut figures) = (0, Vec::new(), Vec::new());
    let first = clients.len() as u32;
    let mine = storm.map_or(0, |storm| storm / WORKERS);
    while !is_over.load(Ordering::Relaxed) {
        // When all have come all go, and so on until it is over.
        for _ in 0..if mine == 0 { 0 } else { ROUND } {
            if next % (2 * mine) < mine {
                let slot = first + guests.len() as u32;
                let mut session = worker.come(slot, "guest")?;
                worker.say(&mut session, slot, r#"{"id":2,"subscribe":{"channel":"room:1","join_leave":true}}"#)?;
                guests.push(session);
            } else if let Some(session) = guests.pop() {
                worker.part(session, first + guests.len() as u32)?;
            }
            next += 1;
            moves.fetch_add(1, Ordering::Relaxed);
        }
        worker.deliver();
        let now = nanos(begin);
        // One of those beside speaks for all: they have the same frames.
        worker.flush(|slot, frame| {
            let sent = if slot + 1 == first { stamp(frame) } else { None };
            figures.extend(sent.map(|sent| now.saturating_sub(sent)));
        });
        // As long as a poll takes; a loop that never sleeps is measured against the system's scheduler.
        thread::sleep(PAUSE);
    }
    while let Some(session) = guests.pop() {
        worker.part(session, first + guests.len() as u32)?;
    }
    worker.flush(|_, _| {});
    Ok(((worker, clients), figures))
}

/// When a publication of the channel beside was made.
fn stamp(frame: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(frame.get(2..)?).ok()?;
    let rest = text.split_once(r#""channel":"beside:1","pub":{"data":"#)?.1;
    rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
fn tell(line: &str) {
    println!("{line}");
}
