//! The rules of the broker between nodes: it can be reached, and nothing is asked of it that it cannot do.

use super::rules::Faults;
use super::{BrokerDriver, Config, NamespaceOptions, SubscriptionType};

const EXAMPLE: &str = "redis://127.0.0.1:6379/0";

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
        match broker.driver {
            BrokerDriver::Memory => {
                if !broker.url.is_empty() {
                    faults.add(
                        "broker.url",
                        "is given to no driver that connects anywhere; set broker.driver to \"redis\"",
                    );
                }
            }
            BrokerDriver::Redis => {
                let scheme = broker.url.expose().split_once("://").map_or("", |(scheme, _)| scheme);
                let (base, _) = scheme.split_once('+').unwrap_or((scheme, ""));
                // It may hold a password, so no text repeats it.
                if broker.url.is_empty() {
                    faults.add("broker.url", format!("is empty while broker.driver is \"redis\"; write \"{EXAMPLE}\""));
                } else if !matches!(base, "redis" | "rediss" | "valkey" | "valkeys" | "unix") {
                    faults.add("broker.url", format!("is no address of broker.driver \"redis\"; write \"{EXAMPLE}\""));
                }
                self.shared_channels(faults);
            }
        }
    }

    /// Whether channels are shared between nodes.
    pub(crate) fn is_shared(&self) -> bool {
        self.broker.driver != BrokerDriver::Memory
    }

    fn shared_channels(&self, faults: &mut Faults) {
        shared("channel.without_namespace", &self.channel.without_namespace, faults);
        for (index, namespace) in self.channel.namespaces.iter().enumerate() {
            shared(&format!("channel.namespaces[{index}]"), &namespace.options, faults);
        }
    }
}

fn shared(above: &str, options: &NamespaceOptions, faults: &mut Faults) {
    if options.durable {
        let text = "is on while broker.driver is \"redis\", which keeps the history of all nodes; leave it out";
        faults.add(format!("{above}.durable"), text);
    }
    if options.subscription_type != SubscriptionType::Stream {
        let text =
            "is a map while broker.driver is \"redis\"; maps are kept by one node: use broker.driver = \"memory\"";
        faults.add(format!("{above}.subscription_type"), text);
    }
}
