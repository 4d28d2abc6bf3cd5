//! The rules of the application's link: a queue that can be reached, and nobody waits for an absent application.

use super::rules::{Faults, MANY};
use super::{Config, Driver, EventType};

/// What a URL of Redis starts with.
const REDIS: &[&str] = &[
    "redis",
    "redis+cluster",
    "redis+sentinel",
    "redis+unix",
    "rediss",
    "rediss+cluster",
    "rediss+sentinel",
    "unix",
    "valkey",
    "valkeys",
];

impl Config {
    /// The rules of the sections `app_link`, `embedded` and `rpc`.
    pub(super) fn app_rules(&self, faults: &mut Faults) {
        let link = &self.app_link;
        self.url(faults);
        for (name, number) in [
            ("partitions", link.partitions),
            ("max_backlog", link.max_backlog),
            ("max_payload_bytes", link.max_payload_bytes),
        ] {
            faults.at_least_one(format!("app_link.{name}"), number);
        }
        if link.partitions > MANY {
            faults.add("app_link.partitions", format!("{} is more than {MANY}", link.partitions));
        }
        // Why so strict: the prefix becomes part of Redis keys, hash tags and AMQP names.
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if link.prefix.is_empty() {
            faults.add("app_link.prefix", "is empty; write \"jackfield\"");
        } else if let Some(odd) = link.prefix.chars().find(|c| !fits(*c)) {
            let text = format!("{:?} holds {odd:?}; a prefix has letters, digits, _ - and .", link.prefix);
            faults.add("app_link.prefix", text);
        }
        for (index, event) in link.events.iter().enumerate() {
            if link.events[..index].contains(event) {
                faults.add(format!("app_link.events[{index}]"), "is given twice");
            }
        }
        faults.some_time("app_link.call_timeout", link.call_timeout);
        faults.at_least_one("embedded.memory_limit", self.embedded.memory_limit);
        faults.some_time("rpc.timeout", self.rpc.timeout);
    }

    fn url(&self, faults: &mut Faults) {
        let link = &self.app_link;
        let (driver, schemes, example): (_, &[&str], _) = match link.driver {
            Driver::Nats => ("nats", &["nats", "tls"], "nats://127.0.0.1:4222"),
            Driver::Redis => ("redis", REDIS, "redis://127.0.0.1:6379/0"),
            Driver::Rabbitmq => ("rabbitmq", &["amqp", "amqps"], "amqp://user:password@127.0.0.1:5672/%2f"),
            Driver::Embedded | Driver::None => {
                if !link.url.is_empty() {
                    let text = "is given to no driver that connects anywhere; set app_link.driver to \"redis\" or \
                         \"rabbitmq\", or leave the url out";
                    faults.add("app_link.url", text);
                }
                return;
            }
        };
        // The url may hold a password, so no text repeats it.
        match link.url.expose().split_once("://") {
            _ if link.url.is_empty() => faults
                .add("app_link.url", format!("is empty while app_link.driver is \"{driver}\"; write \"{example}\"")),
            Some((scheme, rest)) if schemes.contains(&scheme) && !rest.is_empty() => {}
            _ => faults
                .add("app_link.url", format!("is no address of app_link.driver \"{driver}\"; write \"{example}\"")),
        }
    }

    /// What makes no sense without an application that hears messages.
    pub(super) fn needs_messages(&self, key: &str, state: &str, faults: &mut Faults) {
        self.needs_app(key, state, faults);
        if self.app_link.driver != Driver::None && !self.app_link.events.contains(&EventType::Message) {
            faults.add(key, format!("{state} while app_link.events lacks \"message\"; add it"));
        }
    }

    /// What makes no sense without an application.
    pub(super) fn needs_app(&self, key: &str, state: &str, faults: &mut Faults) {
        if self.app_link.driver == Driver::None {
            let text = "while app_link.driver is \"none\"; choose \"embedded\", \"redis\" or \"rabbitmq\"";
            faults.add(key, format!("{state} {text}"));
        }
    }
}
