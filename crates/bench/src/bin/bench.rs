//! The generator alone, for machines and moments without the binary `jackfield`.

use clap::Parser;

/// Measures a server of the Centrifugo JSON protocol; the same as `jackfield bench`
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    bench: jackfield_bench::Bench,
}

fn main() -> anyhow::Result<()> {
    jackfield_bench::run(Arguments::parse().bench)
}
