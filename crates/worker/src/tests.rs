//! Nothing is lost and nothing lies: a whole node but for its sockets, under a seeded schedule, held against a plain model.
//!
//! `docs/reliability.md` tells what is promised and how it was shown that this notices. Longer runs:
//! `JACKFIELD_SIM_SEEDS=2000 cargo test -p jackfield-worker simulation`; one seed again, with its last steps told:
//! `JACKFIELD_SIM_SEED=7 JACKFIELD_SIM_WORKERS=2 cargo test -p jackfield-worker simulation_again`.

mod channels;
mod client;
mod ear;
mod ending;
mod frames;
mod journal;
mod logging;
mod maps;
mod node;
mod reading;
mod truth;
mod world;

use world::{Tally, World};

type Checked = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

/// Steps that are told of a seed that fails.
const TRACE: usize = 50;
const STEPS: u64 = 20_000;
const SEEDS: u64 = 168;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn walk(workers: usize, seed: u64, is_traced: bool) -> (World, Result<(), (u64, String)>) {
    let mut world = World::new(workers, seed, is_traced);
    for step in 0..STEPS {
        if let Err(what) = world.step() {
            return (world, Err((step, what)));
        }
    }
    let end = world.finish().map_err(|what| (STEPS, what));
    (world, end)
}

fn run(workers: usize, seed: u64) -> Tally {
    let (world, end) = walk(workers, seed, false);
    let Err((step, what)) = end else { return world.tally };
    drop(world);
    // The same again, this time with every step told.
    let (world, again) = walk(workers, seed, true);
    let last: Vec<String> = world.trace.into_iter().flatten().collect();
    let same = if again == Err((step, what.clone())) { "" } else { " (not the same when walked again!)" };
    panic!(
        "\n{}\n\n{workers} workers, seed {seed}, step {step}{same}: {what}\n\
         JACKFIELD_SIM_SEED={seed} JACKFIELD_SIM_WORKERS={workers} cargo test -p jackfield-worker simulation_again\n",
        last.join("\n")
    );
}

fn run_all(workers: usize) {
    let seeds = number("JACKFIELD_SIM_SEEDS").unwrap_or(SEEDS);
    let mut all = Tally::default();
    for seed in 0..seeds {
        all.add(run(workers, seed));
    }
    let steps = seeds * STEPS;
    assert!(all.heard > steps / 5, "the schedule hardly delivers anything: {all:?}");
    for (what, count) in [("recovers", all.recovered), ("refuses", all.refused), ("deltas", all.deltas)] {
        assert!(count > steps / 1_000, "it hardly {what}: {all:?}");
    }
    for (what, count) in [("restarts", all.restarts), ("closes", all.closed), ("takes back", all.taken_back)] {
        assert!(count > steps / 20_000, "it hardly {what}: {all:?}");
    }
}

#[test]
fn simulation_of_one_worker() {
    run_all(1);
}

#[test]
fn simulation_of_two_workers() {
    run_all(2);
}

#[test]
fn simulation_of_three_workers() {
    run_all(3);
}

#[test]
fn simulation_again() {
    let Some(seed) = number("JACKFIELD_SIM_SEED") else { return };
    run(number("JACKFIELD_SIM_WORKERS").unwrap_or(1) as usize, seed);
}
