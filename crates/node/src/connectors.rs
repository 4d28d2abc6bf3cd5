//! Sources and sinks: from the configuration to what reads and sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use jackfield_api::{Sample, Value};
use jackfield_bridge::proxy::Secret;
use jackfield_connectors::{
    ExchangeSink, FeedFraming, FeedSource, Form, PatternSource, RabbitSource, Reading, Sending, SinkKind, SinkOptions,
    Sinks, Source, SourceKind, SourceOptions, StreamSink, StreamSource, SubjectSource, Template, Webhook, amqp_address,
    feed_address, nats_address, redis_address, system_tls,
};
use jackfield_fetch::{HeaderMap, HeaderName, HeaderValue, Url};
use jackfield_hub::{Hub, Tap};
use tokio::runtime::Runtime;

use crate::config::{self, Config, ContentForm, Engine};

/// All sources and sinks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connectors {
    sources: Arc<[Source]>,
    sinks: Option<Arc<Sinks>>,
}

/// Those that run.
#[derive(Debug)]
pub(crate) struct Running {
    reading: Reading,
    sending: Option<Sending>,
}

impl Connectors {
    /// Nobody is spoken with yet.
    pub(crate) fn open(config: &Config, node: &str) -> anyhow::Result<Self> {
        let source = |one: &config::Source| {
            source(one, config, node).map(Source::new).with_context(|| format!("open the source {:?}", one.title()))
        };
        let sink = |one: &config::Sink| sink(one, config).with_context(|| format!("open the sink {:?}", one.title()));
        let sources = config.source.iter().map(source).collect::<anyhow::Result<_>>()?;
        let sinks = config.sink.iter().map(sink).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { sources, sinks: (!sinks.is_empty()).then(|| Arc::new(Sinks::new(sinks))) })
    }

    /// What hears the channels that go out, where any do.
    pub(crate) fn tap(&self) -> Option<Arc<dyn Tap>> {
        self.sinks.clone().map(|sinks| sinks as _)
    }

    /// Reads and sends.
    pub(crate) fn start(&self, hub: &Arc<Hub>, runtime: &Runtime) -> anyhow::Result<Running> {
        let sending = self.sinks.as_ref().map(|sinks| sinks.start(runtime.handle()));
        let sending = sending.transpose().context("read the authorities of webhooks (sink)")?;
        Ok(Running { reading: Reading::start(&self.sources, hub, runtime.handle()), sending })
    }

    /// The numbers of this moment.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut out = Vec::new();
        sources(&self.sources, &mut out);
        if let Some(all) = &self.sinks {
            sinks(all, &mut out);
        }
        out
    }
}

impl Running {
    /// Nothing more is read; what is under way is published.
    pub(crate) async fn stop_reading(self, grace: Duration) -> Option<Sending> {
        self.reading.stop(grace).await;
        self.sending
    }
}

fn source(source: &config::Source, config: &Config, node: &str) -> anyhow::Result<SourceOptions> {
    let url = source.url.expose();
    let engine = Engine::of(url);
    let kind = if engine == Some(Engine::Nats) {
        let (subject, group) = (source.subject.clone(), source.group.clone());
        SourceKind::Subject(SubjectSource { server: nats_address(url)?, subject, group })
    } else if engine == Some(Engine::Rabbit) {
        SourceKind::Rabbit(RabbitSource {
            uri: amqp_address(url)?,
            exchange: source.exchange.clone(),
            routing_key: source.routing_key.clone(),
            queue: source.queue.clone(),
            prefetch: u16::try_from(source.prefetch)?,
        })
    } else if engine == Some(Engine::Feed) {
        SourceKind::Feed(feed(source)?)
    } else if source.stream.is_empty() {
        SourceKind::Pattern(PatternSource { client: redis_address(url)?, pattern: source.pattern.clone() })
    } else {
        let name = &config.node.name;
        SourceKind::Stream(StreamSource {
            client: redis_address(url)?,
            stream: source.stream.clone(),
            group: source.group.clone(),
            consumer: if name.is_empty() { node.to_owned() } else { name.clone() },
            is_lasting: !name.is_empty(),
            field: source.field.clone(),
            claim_after: source.claim_after,
            batch: source.prefetch,
        })
    };
    Ok(SourceOptions {
        name: source.title().to_owned(),
        kind,
        channel: template(&source.channel)?,
        key: (!source.key.is_empty()).then(|| template(&source.key)).transpose()?,
        form: match source.content {
            ContentForm::Auto => Form::Auto,
            ContentForm::Binary => Form::Binary,
            ContentForm::Json => Form::Json,
            ContentForm::Text => Form::Text,
        },
        idempotency: source.idempotency,
        max_bytes: source.message_size_limit,
    })
}

fn feed(source: &config::Source) -> anyhow::Result<FeedSource> {
    let address = feed_address(source.url.expose())?;
    let framing = &source.framing;
    Ok(FeedSource {
        tls: address.is_tls().then(system_tls).transpose()?,
        address,
        framing: FeedFraming::parse(framing).with_context(|| format!("{framing:?} is no framing"))?,
        hello: source.hello.expose().to_owned().into(),
        idle_timeout: source.idle_timeout,
        batch: source.prefetch,
    })
}

fn sink(sink: &config::Sink, config: &Config) -> anyhow::Result<SinkOptions> {
    let url = sink.url.expose();
    let kind = match Engine::of(url) {
        Some(Engine::Rabbit) => SinkKind::Exchange(ExchangeSink {
            uri: amqp_address(url)?,
            exchange: sink.exchange.clone(),
            routing_key: template(&sink.routing_key)?,
        }),
        Some(Engine::Redis) => SinkKind::Stream(StreamSink {
            client: redis_address(url)?,
            stream: template(&sink.stream)?,
            max_length: sink.max_length,
        }),
        Some(Engine::Feed | Engine::Http | Engine::Nats) | None => SinkKind::Webhook(webhook(sink)?),
    };
    let node = &config.node.name;
    Ok(SinkOptions {
        name: sink.title().to_owned(),
        channels: sink.channels.clone(),
        kind,
        most: sink.queue_max_count,
        most_bytes: sink.queue_max_size,
        dead_letters: (!sink.dead_letters.is_empty()).then(|| sink.dead_letters.clone().into()),
        origin: if node.is_empty() { "/jackfield".to_owned() } else { format!("/jackfield/{node}") },
    })
}

fn webhook(sink: &config::Sink) -> anyhow::Result<Webhook> {
    let mut headers = HeaderMap::new();
    for (name, value) in &sink.headers {
        headers.insert(HeaderName::try_from(name.as_str())?, HeaderValue::from_str(value.expose())?);
    }
    let file = &sink.server_ca_pem_file;
    Ok(Webhook {
        url: Url::parse(sink.url.expose())?,
        secrets: sink.secret.expose().split_whitespace().map(Secret::parse).collect::<Result<_, _>>()?,
        headers,
        timeout: sink.timeout,
        retry: sink.pauses(),
        parallel: sink.parallel,
        is_ordered: sink.ordered,
        allow_private: sink.allow_private,
        ca_file: (!file.is_empty()).then(|| file.into()),
    })
}

fn template(text: &str) -> anyhow::Result<Template> {
    Template::parse(text).map_err(|fault| anyhow::anyhow!("{text:?} {fault}"))
}

fn count(number: &AtomicU64) -> Value {
    Value::Counter(number.load(Ordering::Relaxed))
}

fn sources(all: &[Source], out: &mut Vec<Sample>) {
    for source in all {
        let counters = source.counters();
        for (result, number) in [
            ("published", &counters.published),
            ("repeated", &counters.repeated),
            ("refused", &counters.refused),
            ("lost", &counters.lost),
        ] {
            out.push(Sample {
                name: "jackfield_source_messages",
                help: "Messages of other systems, by what became of them.",
                labels: vec![("source", source.name().to_owned()), ("result", result.to_owned())],
                value: count(number),
            });
        }
    }
    // All samples of one name stand together.
    out.extend(all.iter().map(|source| Sample {
        name: "jackfield_source_up",
        help: "Whether a source is connected and read.",
        labels: vec![("source", source.name().to_owned())],
        value: Value::Gauge(f64::from(u8::from(source.counters().up.load(Ordering::Relaxed)))),
    }));
}

fn sinks(all: &Sinks, out: &mut Vec<Sample>) {
    for (name, counters, _) in all.figures() {
        for (result, number) in
            [("delivered", &counters.delivered), ("given_up", &counters.given_up), ("overflowed", &counters.overflowed)]
        {
            out.push(Sample {
                name: "jackfield_sink_publications",
                help: "Publications for other systems, by what became of them.",
                labels: vec![("sink", name.to_owned()), ("result", result.to_owned())],
                value: count(number),
            });
        }
    }
    let mut tell = |name, help, read: &dyn Fn(&jackfield_connectors::SinkCounters, (usize, usize)) -> Value| {
        out.extend(all.figures().map(|(sink, counters, waiting)| Sample {
            name,
            help,
            labels: vec![("sink", sink.to_owned())],
            value: read(counters, waiting),
        }));
    };
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
    let gauge = |number: usize| Value::Gauge(number as f64);
    tell("jackfield_sink_failures", "Attempts to send that failed.", &|counters, _| count(&counters.failed));
    tell("jackfield_sink_waiting", "Publications that wait for a sink.", &|_, (items, _)| gauge(items));
    tell("jackfield_sink_waiting_bytes", "Bytes that wait for a sink.", &|_, (_, bytes)| gauge(bytes));
    tell("jackfield_sink_up", "Whether the last attempt to send worked.", &|counters, _| {
        Value::Gauge(f64::from(u8::from(counters.up.load(Ordering::Relaxed))))
    });
}
