//! The rules of the broker between nodes: it can be reached, and nothing is asked of it that it cannot do.

use super::rules::Faults;
use super::{BrokerDriver, Config, NamespaceOptions, SubscriptionType};

impl Config {
    /// The rules of the section `broker`.
    pub(super) fn broker_rules(&self, faults: &mut Faults) {
        let broker = &self.broker;
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        if broker.prefix.is_empty() {
            faults.add("broker.prefix", "is empty; write \"jackfield\"");
        } else if let Some(odd) = broker.prefix.chars().find(|c| !fits(*c)) {
            let text = format!("{:?} holds {odd:?}; a prefix has letters, digits, _ - and .", broker.prefix);
            faults.add("broker.prefix", text);
        }
        let (name, schemes, example): (_, &[&str], _) = match broker.driver {
            BrokerDriver::Memory => {
                if !broker.url.is_empty() {
                    let text = "is given to no driver that connects anywhere; set broker.driver to \"redis\", \"rabbitmq\" or \"nats\"";
                    faults.add("broker.url", text);
                }
                return;
            }
            BrokerDriver::Redis => {
                ("redis", &["redis", "rediss", "valkey", "valkeys", "unix"], "redis://127.0.0.1:6379/0")
            }
            BrokerDriver::Nats => {
                if broker.prefix.split('.').any(str::is_empty) && !broker.prefix.is_empty() {
                    let text =
                        format!("{:?} is no subject of NATS; write words with single dots between", broker.prefix);
                    faults.add("broker.prefix", text);
                }
                ("nats", &["nats", "tls"], "nats://127.0.0.1:4222")
            }
            BrokerDriver::Rabbitmq => ("rabbitmq", &["amqp"], "amqp://user:password@127.0.0.1:5672/%2f"),
        };
        let scheme = broker.url.expose().split_once("://").map_or("", |(scheme, _)| scheme);
        let (scheme, _) = scheme.split_once('+').unwrap_or((scheme, ""));
        // It may hold a password, so no text repeats it.
        if broker.url.is_empty() {
            faults.add("broker.url", format!("is empty while broker.driver is \"{name}\"; write \"{example}\""));
        } else if !schemes.contains(&scheme) {
            faults.add("broker.url", format!("is no address of broker.driver \"{name}\"; write \"{example}\""));
        }
        faults.at_least_one("broker.stream_max_bytes", broker.stream_max_bytes);
        if !(1..=5).contains(&broker.stream_replicas) {
            let text = format!("is {}; NATS keeps a stream on 1 to 5 servers", broker.stream_replicas);
            faults.add("broker.stream_replicas", text);
        } else if broker.stream_replicas > 1 && broker.driver != BrokerDriver::Nats {
            let text = format!("is for NATS, and broker.driver is \"{name}\"; leave it out");
            faults.add("broker.stream_replicas", text);
        }
        self.shared_channels(name, faults);
    }

    /// Whether channels are shared between nodes.
    pub(crate) fn is_shared(&self) -> bool {
        self.broker.driver != BrokerDriver::Memory
    }

    fn shared_channels(&self, name: &str, faults: &mut Faults) {
        self.shared("channel.without_namespace", &self.channel.without_namespace, (name, faults));
        for (index, namespace) in self.channel.namespaces.iter().enumerate() {
            self.shared(&format!("channel.namespaces[{index}]"), &namespace.options, (name, faults));
        }
    }

    fn shared(&self, above: &str, options: &NamespaceOptions, (name, faults): (&str, &mut Faults)) {
        if options.durable {
            let text =
                format!("is on while broker.driver is \"{name}\", which keeps the history of all nodes; leave it out");
            faults.add(format!("{above}.durable"), text);
        }
        if options.subscription_type != SubscriptionType::Stream {
            let text = format!(
                "is a map while broker.driver is \"{name}\"; maps are kept by one node: use broker.driver = \"memory\""
            );
            faults.add(format!("{above}.subscription_type"), text);
        }
        let product = match self.broker.driver {
            BrokerDriver::Nats => "NATS",
            BrokerDriver::Rabbitmq => "RabbitMQ",
            BrokerDriver::Memory | BrokerDriver::Redis => return,
        };
        if options.snapshot {
            let text = format!(
                "is on while broker.driver is \"{name}\", whose streams forget values with the publications that set them; use broker.driver = \"redis\""
            );
            faults.add(format!("{above}.snapshot"), text);
        }
        if options.history_ttl > self.broker.stream_max_age {
            let text = format!(
                "is more than broker.stream_max_age; {product} forgets publications after that: raise it before the first start, or lower this"
            );
            faults.add(format!("{above}.history_ttl"), text);
        }
    }
}
