//! The binary `jackfield`: reads what it was told, assembles the house, and waits for the end.

mod activation;
mod archive;
mod assemble;
mod calls;
mod certificates;
mod cli;
mod config;
mod connectors;
mod dead;
mod doors;
mod history;
mod identity;
mod metrics;
mod namespaces;
mod page;
mod publish;
mod serve;
mod shared;
mod shutdown;
mod token;

use std::process::ExitCode;

use clap::Parser;

// Many small objects that come and go with connections: mimalloc keeps them denser than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stderr, reason = "the one place that tells a person at a terminal why nothing happened")]
fn main() -> ExitCode {
    match cli::Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("jackfield: {error:#}");
            ExitCode::FAILURE
        }
    }
}
