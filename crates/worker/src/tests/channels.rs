//! The channels of the simulated node: one of every kind, with little room, so that everything runs out all the time.

use std::sync::Arc;

use jackfield_hub::namespace::{Delivery, Kind, MapMode, MapOptions, Permission, RecoveryMode};
use jackfield_hub::{Cap, Namespaces, Options};

/// What may be recovered, or read, at once.
pub(super) const CAP: Cap = Cap { count: 10, bytes: 1_200 };

const ANY: Permission = Permission { client: true, subscriber: false, anonymous: true };

fn live() -> Options {
    Options {
        presence: true,
        join_leave: true,
        subscribe: ANY,
        publish: ANY,
        read_presence: ANY,
        read_history: ANY,
        ..Options::default()
    }
}

fn kept() -> Options {
    Options { history_size: 12, history_ttl: 900, meta_ttl: 3_000, force_recovery: true, ..live() }
}

fn map(mode: MapMode) -> Options {
    let map = MapOptions {
        mode,
        key_ttl: 700,
        stream_size: 40,
        stream_ttl: 2_500,
        publish: ANY,
        remove: ANY,
        page_size: 2,
        min_page_size: 1,
        max_page_size: 5,
        catch_up_timeout: 100_000_000,
        ..MapOptions::default()
    };
    Options { kind: Kind::Map, delta: true, delta_publish: true, meta_ttl: 5_000, map, ..live() }
}

fn named() -> Vec<(&'static str, Options)> {
    let silent = Options { presence: false, join_leave: false, ..kept() };
    vec![
        ("live", live()),
        ("kept", kept()),
        ("silent", silent.clone()),
        (
            "cache",
            Options { recovery_mode: RecoveryMode::Cache, auto_cache_recover: true, history_size: 3, ..silent.clone() },
        ),
        (
            "snap",
            Options {
                snapshot: true,
                snapshot_keys: 4,
                delivery: Delivery::Latest,
                delta: true,
                delta_publish: true,
                ..silent.clone()
            },
        ),
        ("delta", Options { delta: true, delta_publish: true, ..silent.clone() }),
        ("tags", Options { tags_filter: true, delta: true, ..silent.clone() }),
        ("drop", Options { delivery: Delivery::DropOldest, ..kept() }),
        ("map", map(MapMode::Recoverable)),
        ("eph", map(MapMode::Ephemeral)),
        ("pmap", Options { durable: true, ..map(MapMode::Persistent) }),
        ("log", Options { durable: true, history_ttl: 60_000, meta_ttl: 90_000, ..silent }),
        ("logged", Options { durable: true, history_ttl: 700, meta_ttl: 2_500, ..kept() }),
    ]
}

/// The channels that the schedule is about, and their options.
pub(super) fn all() -> Vec<(Arc<str>, Arc<Options>)> {
    let mut channels: Vec<(Arc<str>, Arc<Options>)> = Vec::new();
    for (name, options) in named() {
        let options = Arc::new(options);
        channels.push((format!("{name}:1").into(), Arc::clone(&options)));
        if matches!(name, "kept" | "log") {
            channels.push((format!("{name}:2").into(), options));
        }
    }
    channels
}

/// The namespaces that they belong to.
pub(super) fn namespaces(channels: &[(Arc<str>, Arc<Options>)]) -> Namespaces {
    let mut namespaces = Namespaces::default();
    for (name, options) in channels {
        let name = name.split(':').next().unwrap();
        namespaces.named.insert(name.to_owned(), Arc::clone(options));
    }
    namespaces
}
