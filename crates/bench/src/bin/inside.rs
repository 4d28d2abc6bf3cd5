//! What hub and sessions cost by themselves: as many clients as no machine has sockets for, driven in this process.
//!
//! Two workers as the server has them, but for the sockets: each is a thread with its own sessions, shard and outbox. What
//! is measured is written to stdout, one line each, with what it is to be compared with in the same run.

#[path = "inside/house.rs"]
mod house;
#[path = "inside/members.rs"]
mod members;
#[path = "inside/recover.rs"]
mod recover;

use clap::{Parser, Subcommand};

/// Measures hub and sessions without sockets
#[derive(Debug, Parser)]
#[command(name = "inside")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum What {
    /// One channel of very many members: statistics, and storms of those who come and go
    Members {
        /// Members of the channel
        #[arg(long, default_value_t = 100_000)]
        members: u32,

        /// Members that come and go while another channel is measured
        #[arg(long, default_value_t = 10_000)]
        storm: u32,
    },
    /// Everybody comes back at once after the network was gone
    Recover {
        /// Clients
        #[arg(long, default_value_t = 100_000)]
        clients: u32,

        /// Channels that they share
        #[arg(long, default_value_t = 1_000)]
        channels: u32,

        /// Publications that each of them has missed
        #[arg(long, default_value_t = 20)]
        missed: u32,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().what {
        What::Members { members, storm } => members::run(members, storm),
        What::Recover { clients, channels, missed } => recover::run(clients, channels, missed),
    }
}
