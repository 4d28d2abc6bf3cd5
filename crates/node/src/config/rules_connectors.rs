//! The rules of sources and sinks: an engine that is known, what is read or written there, and names with blanks it can fill.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jackfield_bridge::proxy::Secret as Signing;
use jackfield_connectors::{Blank, FeedFraming, Template, amqp_address, feed_address, nats_address, redis_address};
use jackfield_fetch::{HeaderName, HeaderValue, Url, is_public};

use super::rules::Faults;
use super::{Config, Sink, Source, duration};

/// Who is spoken with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Engine {
    Feed,
    Http,
    Nats,
    Rabbit,
    Redis,
}

impl Engine {
    /// Read from the scheme of a URL.
    pub(crate) fn of(url: &str) -> Option<Self> {
        match url.split_once("://")?.0 {
            "amqp" | "amqps" => Some(Self::Rabbit),
            "http" | "https" => Some(Self::Http),
            "nats" | "tls" => Some(Self::Nats),
            "tcp" | "tcps" => Some(Self::Feed),
            "redis" | "rediss" | "redis+unix" | "unix" | "valkey" | "valkeys" => Some(Self::Redis),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Feed => "a TCP feed",
            Self::Http => "a webhook",
            Self::Nats => "NATS",
            Self::Rabbit => "RabbitMQ",
            Self::Redis => "Redis",
        }
    }
}

impl Config {
    /// The rules of `[[source]]` and `[[sink]]`.
    pub(super) fn connector_rules(&self, faults: &mut Faults) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, source) in self.source.iter().enumerate() {
            let above = format!("source[{index}]");
            self.source_rules(&above, source, faults);
            if let Some(first) = names.insert(source.title(), index) {
                faults.add(format!("{above}.name"), same_name(source.title(), "source", first));
            }
        }
        names.clear();
        for (index, sink) in self.sink.iter().enumerate() {
            let above = format!("sink[{index}]");
            sink_rules(&above, sink, faults);
            if let Some(first) = names.insert(sink.title(), index) {
                faults.add(format!("{above}.name"), same_name(sink.title(), "sink", first));
            }
        }
    }

    fn source_rules(&self, above: &str, source: &Source, faults: &mut Faults) {
        let engine = Engine::of(source.url.expose()).filter(|engine| *engine != Engine::Http);
        let key = format!("{above}.url");
        let unread = match engine {
            None => {
                let text = "is no address of a source; write one such as \"amqp://user:password@host:5672/vhost\", \
                            \"redis://host:6379/0\", \"nats://host:4222\" or \"tcp://host:7400\"";
                faults.add(&key, text);
                return;
            }
            Some(Engine::Rabbit) => amqp_address(source.url.expose()).err(),
            Some(Engine::Feed) => feed_address(source.url.expose()).err(),
            Some(Engine::Nats) => nats_address(source.url.expose()).err(),
            Some(_) => redis_address(source.url.expose()).err(),
        };
        if let Some(error) = unread {
            faults.add(&key, error.to_string());
        }
        if let Some(engine) = engine {
            what_is_read(above, source, engine, faults);
        }
        if source.needs_one_node() && self.is_shared() {
            let remedy = if engine == Some(Engine::Feed) {
                "have it sent into a queue, a stream or a subject, and read that"
            } else {
                "read a `queue`, a `stream` or a `subject` with a `group`"
            };
            let text = format!(
                "is read whole by every node, while broker.driver joins several: all would publish each message; {remedy}, which nodes \
                 share"
            );
            faults.add(above, text);
        }
        let known = |blank: &Blank| match blank {
            Blank::Channel => !source.pattern.is_empty(),
            Blank::Field(_) => !source.stream.is_empty() || engine == Some(Engine::Feed),
            Blank::Header(_) => matches!(engine, Some(Engine::Nats | Engine::Rabbit)),
            Blank::RoutingKey => engine == Some(Engine::Rabbit),
            Blank::Stream => !source.stream.is_empty(),
            Blank::Subject => engine == Some(Engine::Nats),
        };
        let key = format!("{above}.channel");
        if source.channel.is_empty() {
            faults.add(&key, "is empty; name the channel");
        } else if let Some(template) = template(&key, &source.channel, known, faults)
            && let Some(text) = self.namespace_fault(template.start())
        {
            faults.add(&key, format!("{:?} {text}", source.channel));
        }
        template(&format!("{above}.key"), &source.key, known, faults);
        for (name, number) in [("message_size_limit", source.message_size_limit), ("prefetch", source.prefetch)] {
            faults.at_least_one(format!("{above}.{name}"), number);
        }
        if source.prefetch > usize::from(u16::MAX) {
            faults.add(format!("{above}.prefetch"), format!("{} is more than {}", source.prefetch, u16::MAX));
        }
        faults.some_time(&format!("{above}.claim_after"), source.claim_after);
    }
}

/// What its engine has, and nothing that others have.
fn what_is_read(above: &str, source: &Source, engine: Engine, faults: &mut Faults) {
    let default = Source::default();
    let (has_stream, has_pattern) = (!source.stream.is_empty(), !source.pattern.is_empty());
    match engine {
        Engine::Feed => feed(above, source, faults),
        Engine::Http => {}
        Engine::Nats if source.subject.is_empty() => faults.add(above, "reads nothing; name a `subject`"),
        Engine::Nats => {}
        Engine::Rabbit if source.exchange.is_empty() && source.queue.is_empty() => {
            faults.add(above, "reads nothing; name an `exchange` or a `queue`");
        }
        Engine::Rabbit if source.exchange.is_empty() && source.routing_key != default.routing_key => {
            let text = "is given without an exchange; name the exchange, or leave it out";
            faults.add(format!("{above}.routing_key"), text);
        }
        Engine::Rabbit => {}
        Engine::Redis if has_stream && has_pattern => {
            faults.add(format!("{above}.pattern"), "is given beside a stream; write two sources");
        }
        Engine::Redis if !has_stream && !has_pattern => {
            faults.add(above, "reads nothing; name a `stream` or a `pattern` of PUB/SUB");
        }
        Engine::Redis => {}
    }
    for (name, of, is_given) in [
        ("exchange", Engine::Rabbit, source.exchange != default.exchange),
        ("queue", Engine::Rabbit, source.queue != default.queue),
        ("routing_key", Engine::Rabbit, source.routing_key != default.routing_key),
        ("stream", Engine::Redis, has_stream),
        ("pattern", Engine::Redis, has_pattern),
        ("field", Engine::Redis, source.field != default.field),
        ("subject", Engine::Nats, source.subject != default.subject),
        ("framing", Engine::Feed, source.framing != default.framing),
        ("hello", Engine::Feed, !source.hello.is_empty()),
        ("idle_timeout", Engine::Feed, source.idle_timeout != default.idle_timeout),
    ] {
        if is_given && of != engine {
            faults.add(format!("{above}.{name}"), format!("is for {}; leave it out", of.name()));
        }
    }
    // Who has no group to share messages in has no id either by which one is known again.
    let is_kept = engine == Engine::Rabbit || has_stream;
    if (!is_kept && source.idempotency) || (has_pattern && !source.field.is_empty()) {
        faults.add(above, "has field or idempotency, which what is not kept knows nothing of; leave them out");
    }
    let has_group = source.group != default.group;
    if has_group && engine != Engine::Nats && !has_stream {
        faults.add(format!("{above}.group"), "is for Redis streams and NATS; leave it out");
    } else if has_stream && source.group.is_empty() {
        faults.add(format!("{above}.group"), "is empty; write a name such as \"jackfield\"");
    }
}

/// A feed whose messages can be told apart, and that understands what is said first.
fn feed(above: &str, source: &Source, faults: &mut Faults) {
    let (framing, limit) = (&source.framing, source.message_size_limit);
    let key = format!("{above}.framing");
    match FeedFraming::parse(framing) {
        None => {
            let text = format!(
                "{framing:?} is no framing; write \"lines\", \"varint\", \"fixed:N\" with N from 1 to 65535, or \"u8\", \"u16be\", \
                 \"u16le\", \"u32be\" or \"u32le\" for the length before each message"
            );
            faults.add(key, text);
        }
        Some(known) if known.fixed_length().is_some_and(|length| length > limit) => {
            faults.add(key, format!("is {framing:?}, more than message_size_limit, {limit}"));
        }
        Some(FeedFraming::Lines) if !source.hello.is_empty() && !source.hello.expose().ends_with('\n') => {
            let text = "has no newline at its end, while framing is \"lines\": a feed of lines would wait for the rest; write \\n \
                        behind it";
            faults.add(format!("{above}.hello"), text);
        }
        Some(_) => {}
    }
}

fn sink_rules(above: &str, sink: &Sink, faults: &mut Faults) {
    if sink.channels.is_empty() {
        faults.add(format!("{above}.channels"), "is empty; write patterns such as [\"orders:*\"]");
    }
    for (index, pattern) in sink.channels.iter().enumerate().filter(|(_, pattern)| pattern.is_empty()) {
        faults.add(format!("{above}.channels[{index}]"), format!("{pattern:?} fits no channel; write \"*\" for all"));
    }
    for (name, number) in [
        ("queue_max_count", sink.queue_max_count),
        ("queue_max_size", sink.queue_max_size),
        ("parallel", sink.parallel),
    ] {
        faults.at_least_one(format!("{above}.{name}"), number);
    }
    faults.some_time(&format!("{above}.timeout"), sink.timeout);
    let Some(engine) = Engine::of(sink.url.expose()).filter(|engine| !matches!(engine, Engine::Feed | Engine::Nats))
    else {
        let text = "is no address of a sink; write one such as \"https://host/path\", \"amqp://user:password@host:5672/vhost\" or \
                    \"redis://host:6379/0\"";
        faults.add(format!("{above}.url"), text);
        return;
    };
    foreign(above, sink, engine, faults);
    let known = |blank: &Blank| *blank == Blank::Channel;
    let address = match engine {
        Engine::Feed | Engine::Http | Engine::Nats => return webhook(above, sink, faults),
        Engine::Rabbit => {
            let key = format!("{above}.routing_key");
            if template(&key, &sink.routing_key, known, faults).is_some() && sink.routing_key.is_empty() {
                faults.add(&key, "is empty; write \"{channel}\" or a name");
            }
            amqp_address(sink.url.expose()).err()
        }
        Engine::Redis => {
            let key = format!("{above}.stream");
            if template(&key, &sink.stream, known, faults).is_some() && sink.stream.is_empty() {
                faults.add(&key, "is empty; name the stream");
            }
            redis_address(sink.url.expose()).err()
        }
    };
    if let Some(error) = address {
        faults.add(format!("{above}.url"), error.to_string());
    }
}

/// Keys that another engine would understand.
fn foreign(above: &str, sink: &Sink, engine: Engine, faults: &mut Faults) {
    let default = Sink::default();
    for (name, of, is_given) in [
        ("exchange", Engine::Rabbit, sink.exchange != default.exchange),
        ("routing_key", Engine::Rabbit, sink.routing_key != default.routing_key),
        ("stream", Engine::Redis, sink.stream != default.stream),
        ("max_length", Engine::Redis, sink.max_length != default.max_length),
        ("secret", Engine::Http, !sink.secret.is_empty()),
        ("headers", Engine::Http, !sink.headers.is_empty()),
        ("timeout", Engine::Http, sink.timeout != default.timeout),
        ("retry", Engine::Http, sink.retry != default.retry),
        ("parallel", Engine::Http, sink.parallel != default.parallel),
        ("ordered", Engine::Http, sink.ordered != default.ordered),
        ("allow_private", Engine::Http, sink.allow_private != default.allow_private),
        ("server_ca_pem_file", Engine::Http, !sink.server_ca_pem_file.is_empty()),
    ] {
        if is_given && of != engine {
            faults.add(format!("{above}.{name}"), format!("is for {}; leave it out", of.name()));
        }
    }
}

fn webhook(above: &str, sink: &Sink, faults: &mut Faults) {
    let key = format!("{above}.url");
    match Url::parse(sink.url.expose()) {
        Err(error) => faults.add(&key, error.to_string()),
        Ok(url) => {
            let address = url.host().parse::<IpAddr>().ok();
            let is_private = url.host() == "localhost" || address.is_some_and(|address| !is_public(address));
            if is_private && !sink.allow_private {
                let text = "is no address of the internet; if it is yours, write allow_private = true";
                faults.add(&key, text);
            }
        }
    }
    for secret in sink.secret.expose().split_whitespace() {
        if let Err(error) = Signing::parse(secret) {
            faults.add(format!("{above}.secret"), error.to_string());
        }
    }
    for (name, value) in &sink.headers {
        let key = format!("{above}.headers");
        if HeaderName::try_from(name.as_str()).is_err() {
            faults.add(key, format!("{name:?} is no name of a header; it has letters, digits and -"));
        } else if HeaderValue::from_str(value.expose()).is_err() {
            faults.add(key, format!("the value of {name:?} holds a control character or none that HTTP carries"));
        }
    }
    for (index, pause) in sink.retry.iter().enumerate() {
        if let Err(text) = duration::parse(pause) {
            faults.add(format!("{above}.retry[{index}]"), format!("{pause:?} {text}"));
        }
    }
}

/// A name with blanks that can be filled.
fn template(key: &str, text: &str, known: impl Fn(&Blank) -> bool, faults: &mut Faults) -> Option<Template> {
    match Template::parse(text) {
        Err(fault) => {
            faults.add(key, format!("{text:?} {fault}"));
            None
        }
        Ok(template) => {
            for blank in template.blanks().filter(|blank| !known(blank)) {
                faults.add(key, format!("{text:?} has {blank}, which nothing fills here"));
            }
            Some(template)
        }
    }
}

fn same_name(name: &str, list: &str, first: usize) -> String {
    format!("{name:?} is the name of {list}[{first}] too; give one of them another `name`")
}
