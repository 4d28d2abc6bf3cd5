//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;

/// Jackfield holds the sockets of a web application.
///
/// Browsers come by WebSocket, everything else by plain TCP; the application talks with them through a queue
/// (Redis, RabbitMQ, or the embedded one). Try it: `jackfield serve --dev`, then open http://127.0.0.1:8400/
#[derive(Debug, Parser)]
#[command(name = "jackfield", version, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be asked of the binary.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure a server: connections it holds, deliveries, round trips.
    #[command(subcommand)]
    Bench(jackfield_bench::Bench),
    /// Check the configuration and say what is wrong with it.
    Check(Source),
    /// Look at dead letters, put them back, throw them away.
    #[command(subcommand)]
    Dead(crate::dead::Dead),
    /// Publish into a channel of a running server, through its HTTP API.
    Publish(crate::publish::Publish),
    /// Start the server.
    Serve(Serve),
    /// Make a connection token for a user.
    Token(crate::token::Token),
    /// Print the version.
    Version,
}

/// Where the configuration comes from.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Configuration file (TOML or JSON). Without it: $JACKFIELD_CONFIG, then ./jackfield.toml, then the defaults.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Everything switched on for trying out, on loopback only.
    #[arg(long)]
    dev: bool,
    /// Any option by its name in docs/config.md, over file and environment. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    source: Source,
    /// Address of the public port [http_server.address].
    #[arg(short, long)]
    address: Option<String>,
    /// Public port [http_server.port].
    #[arg(short, long)]
    port: Option<u16>,
    /// Threads that hold sockets; 0 is one per core [workers].
    #[arg(short, long)]
    workers: Option<usize>,
}

impl Command {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Bench(bench) => jackfield_bench::run(bench),
            Self::Check(source) => check(&source),
            Self::Dead(dead) => dead.run(),
            Self::Publish(publish) => publish.run(),
            Self::Serve(serve) => serve.run(),
            Self::Token(token) => token.run(),
            Self::Version => {
                say(&format!("jackfield {}", env!("CARGO_PKG_VERSION")));
                Ok(())
            }
        }
    }
}

impl Source {
    /// Reads the configuration, with further options over it.
    pub(crate) fn load(&self, over: &[(&str, String)]) -> anyhow::Result<(Config, Vec<String>)> {
        let mut overrides = Vec::new();
        if self.dev {
            overrides.push(("dev".to_owned(), "true".to_owned()));
        }
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                anyhow::bail!("--set takes KEY=VALUE, like --set http_server.port=8400, not `{pair}`");
            };
            overrides.push((key.to_owned(), value.to_owned()));
        }
        overrides.extend(over.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        let environment =
            std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        let here = PathBuf::from("jackfield.toml");
        let named = self.config.is_some() || std::env::var_os("JACKFIELD_CONFIG").is_some();
        let file = self.config.clone().or_else(|| (!named && here.exists()).then_some(here));
        let (config, warnings) = Config::load(file.as_deref(), environment, &overrides)
            .map_err(|error| anyhow::anyhow!("failed to {error}"))?;
        Ok((config, warnings.iter().map(ToString::to_string).collect()))
    }
}

impl Serve {
    fn run(&self) -> anyhow::Result<()> {
        let mut over = Vec::new();
        if let Some(address) = &self.address {
            over.push(("http_server.address", address.clone()));
        }
        if let Some(port) = self.port {
            over.push(("http_server.port", port.to_string()));
        }
        if let Some(workers) = self.workers {
            over.push(("workers", workers.to_string()));
        }
        let (config, warnings) = self.source.load(&over)?;
        crate::serve::serve(&config, &warnings)
    }
}

fn check(source: &Source) -> anyhow::Result<()> {
    let (_, warnings) = source.load(&[])?;
    for warning in &warnings {
        say(&format!("warning: {warning}"));
    }
    say("The configuration is good.");
    Ok(())
}

/// Tells a person something they asked for.
#[expect(clippy::print_stdout, reason = "the one place that answers a person on standard output")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}
