//! The steady part of a run: wall time, the server's CPU, the generator's own share.

use serde::Serialize;

use crate::{
    server::{self, Server, Usage},
    stamp::Clock,
};

/// Above this share of a core the generator, not the server, may set the pace.
const BUSY_SHARE: f64 = 0.9;

/// Begins where the steady part begins.
#[derive(Debug)]
pub(crate) struct Meter {
    clock: Clock,
    began: u64,
    server: Option<Usage>,
    own: Usage,
    machine_us: Option<u64>,
}

/// What the steady part took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Spent {
    pub(crate) seconds: f64,
    pub(crate) server_user_us: Option<u64>,
    pub(crate) server_system_us: Option<u64>,
    pub(crate) server_cpu_share: Option<f64>,
    pub(crate) generator_cpu_share: f64,
    pub(crate) generator_at_limit: bool,
    /// Cores that neither the server nor the generator had, but somebody else on the machine.
    pub(crate) others_cpu_share: Option<f64>,
}

impl Meter {
    pub(crate) fn start(server: &Server, clock: Clock) -> Self {
        Self {
            clock,
            began: clock.now(),
            server: server.usage(),
            own: Usage::own(),
            machine_us: server::machine_busy_us(),
        }
    }

    pub(crate) fn began(&self) -> u64 {
        self.began
    }

    /// `waited_ns`: time that the generator spun for lack of a finer timer, which is not work.
    pub(crate) fn stop(&self, server: &Server, waited_ns: u64) -> Spent {
        let seconds = nanos_to_seconds(self.clock.now() - self.began).max(1e-9);
        let used = match (server.usage(), self.server) {
            (Some(now), Some(earlier)) => Some(now.since(earlier)),
            _ => None,
        };
        let own_us = Usage::own().since(self.own).total_us();
        let own_seconds = own_us as f64 / 1e6;
        let others_us = match (server::machine_busy_us(), self.machine_us, used) {
            (Some(now), Some(earlier), Some(used)) => Some(now.saturating_sub(earlier + own_us + used.total_us())),
            _ => None,
        };
        let share = ((own_seconds - nanos_to_seconds(waited_ns)) / seconds).max(0.0);
        Spent {
            seconds,
            server_user_us: used.map(|used| used.user_us),
            server_system_us: used.map(|used| used.system_us),
            server_cpu_share: used.map(|used| used.total_us() as f64 / 1e6 / seconds),
            generator_cpu_share: share,
            generator_at_limit: share > BUSY_SHARE,
            others_cpu_share: others_us.map(|us| us as f64 / 1e6 / seconds),
        }
    }
}

impl Spent {
    /// Microseconds of server CPU for each of `count` things.
    pub(crate) fn server_us_per(&self, count: u64) -> Option<f64> {
        let total = self.server_user_us? + self.server_system_us?;
        (count > 0).then(|| total as f64 / count as f64)
    }
}

pub(crate) fn nanos_to_seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

pub(crate) fn seconds_to_nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
