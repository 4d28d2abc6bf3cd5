//! The figures of a run, for people on stderr and for programs on stdout.

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::Value;

/// Latencies in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    samples: u64,
}

impl Latency {
    pub(crate) fn of(nanos: &Histogram<u64>) -> Self {
        let us = |quantile| nanos.value_at_quantile(quantile) as f64 / 1e3;
        Self { p50_us: us(0.5), p99_us: us(0.99), max_us: nanos.max() as f64 / 1e3, samples: nanos.len() }
    }
}

/// An empty histogram: 100 ns to 10 minutes, three digits.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(100, 600_000_000_000, 3)?)
}

/// A line for the person who waits.
#[expect(clippy::print_stderr, reason = "the one place that talks to the person at the terminal")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

/// All figures: one per line on stderr, and one JSON line on stdout when asked for.
#[expect(clippy::print_stdout, reason = "the JSON line is what the program is asked for")]
pub(crate) fn print(figures: &Value, json: bool) {
    let mut lines = Vec::new();
    flatten("", figures, &mut lines);
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in lines {
        say(&format!("{name:width$}  {value}"));
    }
    if figures["spent"]["generator_at_limit"] == true {
        say("warning: the generator used more than 90 % of its core; a generator at its limit is \
             no measurement of the server");
    }
    if figures["spent"]["others_cpu_share"].as_f64() > Some(0.1) {
        say("warning: other processes used more than a tenth of a core; the machine is not quiet");
    }
    if json {
        println!("{figures}");
    }
}

fn flatten(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&name, value, lines);
            }
        }
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            lines.push((name.to_owned(), format!("{number:.3}")));
        }
        Value::Null => lines.push((name.to_owned(), "-".to_owned())),
        other => lines.push((name.to_owned(), other.to_string())),
    }
}
