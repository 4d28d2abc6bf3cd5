//! The rules of channels: names of namespaces, and options that only work together.

use std::collections::BTreeMap;

use super::rules::Faults;
use super::{Config, NamespaceOptions, PublishTo};

impl Config {
    /// The rules of the section `channel`.
    pub(super) fn channel_rules(&self, faults: &mut Faults) {
        let channel = &self.channel;
        faults.at_least_one("channel.max_length", channel.max_length);
        if channel.namespace_boundary.is_empty() {
            faults.add("channel.namespace_boundary", "is empty; write \":\"");
        }
        if channel.private_prefix == channel.namespace_boundary && !channel.private_prefix.is_empty() {
            faults.add(
                "channel.private_prefix",
                format!("{:?} is channel.namespace_boundary too; make one different", channel.private_prefix),
            );
        }
        self.options("channel.without_namespace", &channel.without_namespace, faults);
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, namespace) in channel.namespaces.iter().enumerate() {
            let above = format!("channel.namespaces[{index}]");
            let key = format!("{above}.name");
            faults.name(&key, &namespace.name);
            let boundary = &channel.namespace_boundary;
            if !boundary.is_empty() && namespace.name.contains(boundary.as_str()) {
                faults.add(&key, format!("{:?} holds channel.namespace_boundary, {boundary:?}", namespace.name));
            }
            if let Some(first) = names.get(namespace.name.as_str()) {
                let text = format!("{:?} is the name of channel.namespaces[{first}] too", namespace.name);
                faults.add(&key, text);
            } else {
                names.insert(&namespace.name, index);
            }
            self.options(&above, &namespace.options, faults);
        }
    }

    fn options(&self, above: &str, options: &NamespaceOptions, faults: &mut Faults) {
        match (options.history_size, options.history_ttl.is_zero()) {
            (0, false) => {
                faults.add(format!("{above}.history_size"), "is 0 while history_ttl is set; history needs both")
            }
            (1.., true) => faults
                .add(format!("{above}.history_ttl"), "is no time at all while history_size is set; history needs both"),
            (0, true) | (1.., false) => {}
        }
        let has_history = options.history_size > 0 || !options.history_ttl.is_zero();
        for (name, is_on) in [("allow_recovery", options.allow_recovery), ("force_recovery", options.force_recovery)] {
            // Half a history has its fault already.
            if is_on && !has_history {
                let text = "is on without history to recover from; set history_size and history_ttl";
                faults.add(format!("{above}.{name}"), text);
            }
        }
        if options.force_push_join_leave && !options.join_leave {
            faults.add(format!("{above}.force_push_join_leave"), "is on while join_leave is off; turn join_leave on");
        }
        if options.publish_to == PublishTo::App {
            self.needs_messages(&format!("{above}.publish_to"), "is \"app\"", faults);
        }
    }

    /// What is wrong if channels begin with this text: their namespace may not exist.
    pub(super) fn namespace_fault(&self, start: &str) -> Option<String> {
        let channel = &self.channel;
        let name = start.strip_prefix(channel.private_prefix.as_str()).unwrap_or(start);
        let (namespace, _) = name.split_once(channel.namespace_boundary.as_str())?;
        let known = channel.namespaces.iter().any(|known| known.name == namespace);
        (!known && !channel.namespace_boundary.is_empty())
            .then(|| format!("is in the namespace `{namespace}`, which channel.namespaces does not have"))
    }
}
