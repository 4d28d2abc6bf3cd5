//! The load generator: what `jackfield bench idle|fanout|echo|connect` runs.
//!
//! One thread and one epoll loop ([`swarm`]) hold all client sockets ([`socket`]); a *role* per
//! mode says what each of them does. Time spent by the server is read from `/proc` ([`server`]),
//! the generator's own share stands beside it ([`meter`]), because a generator at its limit is no
//! measurement. The floor that the figures are compared with is the binary `limit`.

mod commands;
mod connect;
mod echo;
mod fanout;
mod flight;
mod idle;
mod inflate;
mod meter;
mod metrics;
mod pipe;
mod reach;
mod report;
mod server;
mod socket;
mod stamp;
mod swarm;
mod websocket;

pub use connect::Connect;
pub use echo::Echo;
pub use fanout::Fanout;
pub use idle::Idle;
pub use reach::{Reach, Target};

/// What is measured.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum Bench {
    /// Cost of a new connection: connect, subscribe, close, over and over
    Connect(Connect),
    /// Cost of a round trip: each connection sends a message and waits for its answer
    Echo(Echo),
    /// Cost of a delivery: one publisher, many subscribers
    Fanout(Fanout),
    /// Cost of a connection that does nothing: memory, and CPU of its pings
    Idle(Idle),
}

/// Runs one measurement and prints it: sentences on stderr, with `--json` one line on stdout.
///
/// # Errors
///
/// When the server cannot be reached, refuses the commands or stops answering.
pub fn run(bench: Bench) -> anyhow::Result<()> {
    let json = bench.reach().json;
    let figures = measure(bench)?;
    report::print(&figures, json);
    Ok(())
}

/// Runs one measurement and returns its figures, the same that `--json` prints.
///
/// # Errors
///
/// When the server cannot be reached, refuses the commands or stops answering.
pub fn measure(bench: Bench) -> anyhow::Result<serde_json::Value> {
    match bench {
        Bench::Connect(connect) => connect.measure(),
        Bench::Echo(echo) => echo.measure(),
        Bench::Fanout(fanout) => fanout.measure(),
        Bench::Idle(idle) => idle.measure(),
    }
}

impl Bench {
    fn reach(&self) -> &Reach {
        match self {
            Self::Connect(connect) => &connect.reach,
            Self::Echo(echo) => &echo.reach,
            Self::Fanout(fanout) => &fanout.reach,
            Self::Idle(idle) => &idle.reach,
        }
    }
}
