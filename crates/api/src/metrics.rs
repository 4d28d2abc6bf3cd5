//! What the server has counted, in the words of OpenMetrics. Who counts is the binary's affair.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// What a scraper is told that it gets.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name of what is measured, such as `jackfield_messages`; `_total` is added where the format wants it.
    pub name: &'static str,
    /// What it means, in one sentence. Samples of one name share that of the first.
    pub help: &'static str,
    /// What tells samples of one name apart.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: Value,
}

/// A number and how it behaves. Samples of one name behave alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Only grows.
    Counter(u64),
    /// Time that only adds up, in seconds.
    Seconds(f64),
    /// Rises and falls.
    Gauge(f64),
}

impl Value {
    fn kind(self) -> MetricType {
        match self {
            Self::Counter(_) | Self::Seconds(_) => MetricType::Counter,
            Self::Gauge(_) => MetricType::Gauge,
        }
    }
}

/// Where metrics are answered, and who has them.
#[derive(Clone)]
pub struct Metrics {
    /// Path of the endpoint: `/metrics`.
    pub path: String,
    /// Takes the numbers of this moment.
    pub samples: Arc<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Metrics {
    /// The numbers of this moment as OpenMetrics text.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Taken((self.samples)())));
        let mut text = String::new();
        text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// Samples on their way out.
#[derive(Debug)]
struct Taken(Vec<Sample>);

impl Collector for Taken {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut families: Vec<Vec<&Sample>> = Vec::new();
        for sample in &self.0 {
            // The format wants samples of one name side by side.
            match families.iter_mut().find(|family| family[0].name == sample.name) {
                Some(family) => family.push(sample),
                None => families.push(vec![sample]),
            }
        }
        for family in families {
            let first = family[0];
            let mut descriptor = encoder.encode_descriptor(first.name, first.help, None, first.value.kind())?;
            for sample in family {
                if sample.labels.is_empty() {
                    number(&mut descriptor, sample.value)?;
                } else {
                    number(&mut descriptor.encode_family(&sample.labels)?, sample.value)?;
                }
            }
        }
        Ok(())
    }
}

fn number(encoder: &mut MetricEncoder<'_>, value: Value) -> Result<(), fmt::Error> {
    match value {
        Value::Counter(count) => encoder.encode_counter::<NoLabelSet, u64, f64>(&count, None),
        Value::Seconds(time) => encoder.encode_counter::<NoLabelSet, f64, f64>(&time, None),
        Value::Gauge(level) => encoder.encode_gauge(&level),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &'static str, labels: Vec<(&'static str, String)>, value: Value) -> Sample {
        Sample { name, help: "About it.", labels, value }
    }

    #[test]
    fn samples_of_one_name_stand_together_and_labels_cannot_break_out() {
        let labelled = |label: &str, count| sample("sent", vec![("to", label.to_owned())], Value::Counter(count));
        let samples = vec![
            labelled("a", 1),
            sample("open", Vec::new(), Value::Gauge(-1.5)),
            labelled("b\"} 9\nevil 1", u64::MAX),
        ];
        let metrics = Metrics { path: "/metrics".to_owned(), samples: Arc::new(move || samples.clone()) };
        let expected = "# HELP sent About it.\n# TYPE sent counter\nsent_total{to=\"a\"} 1\n\
                        sent_total{to=\"b\\\"} 9\\nevil 1\"} 18446744073709551615\n\
                        # HELP open About it.\n# TYPE open gauge\nopen -1.5\n# EOF\n";
        assert_eq!(metrics.text().unwrap(), expected);
    }

    #[test]
    fn no_samples_are_an_answer_too() {
        let metrics = Metrics { path: "/metrics".to_owned(), samples: Arc::new(Vec::new) };
        assert_eq!(metrics.text().unwrap(), "# EOF\n");
    }
}
