//! Hub and shards under a seeded schedule: one order per channel, no gap, no double, no lie about what was missed, and
//! nothing left behind.
//!
//! `JACKFIELD_SIM_SEEDS=200 cargo test -p jackfield-hub simulation` runs longer.

use crate::world::World;

const STEPS: u64 = 10_000;
const SEEDS: u64 = 68;

fn seeds() -> u64 {
    std::env::var("JACKFIELD_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS)
}

fn run(workers: usize) {
    let mut heard = 0;
    let (mut recovered, mut refused) = (0, 0);
    for seed in 0..seeds() {
        let mut world = World::new(workers, seed);
        for step in 0..STEPS {
            if let Err(what) = world.step() {
                panic!("{workers} workers, seed {seed}, step {step}: {what}");
            }
        }
        if let Err(what) = world.finish() {
            panic!("{workers} workers, seed {seed}, at the end: {what}");
        }
        heard += world.heard;
        recovered += world.recoveries.0;
        refused += world.recoveries.1;
    }
    assert!(heard > seeds() * STEPS / 4, "the schedule hardly delivers anything: {heard}");
    assert!(recovered > seeds() && refused > seeds(), "the schedule hardly recovers: {recovered}, refused: {refused}");
}

#[test]
fn one_worker() {
    run(1);
}

#[test]
fn two_workers() {
    run(2);
}

#[test]
fn three_workers() {
    run(3);
}
