//! The rules of channels: names of namespaces, and options that only work together.

use std::collections::BTreeMap;

use jackfield_hub::{Delivery, InterestBy};

use super::fault::Warning;
use super::rules::Faults;
use super::{Config, Fsync, MapMode, MapOptions, NamespaceOptions, PublishTo, RecoveryMode, SubscriptionType as Type};
use crate::namespaces::whole;

/// Smallest limit of the log: room for its segments, of which one may be full and one being cleaned.
const LEAST: usize = 64 << 20;

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
        self.personal_channels(faults);
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, namespace) in channel.namespaces.iter().enumerate() {
            let above = format!("channel.namespaces[{index}]");
            let key = format!("{above}.name");
            if namespace.name.starts_with('/') {
                pattern(&key, &namespace.name, faults);
            } else {
                faults.name(&key, &namespace.name);
            }
            let boundary = &channel.namespace_boundary;
            let is_pattern = namespace.name.starts_with('/');
            if !boundary.is_empty() && !is_pattern && namespace.name.contains(boundary.as_str()) {
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

    /// The rules of the section `history`.
    pub(super) fn history_rules(&self, faults: &mut Faults) {
        let history = &self.history;
        if history.fsync == Fsync::Interval {
            faults.some_time("history.fsync_interval", history.fsync_interval);
        }
        if (1..LEAST).contains(&history.max_bytes) {
            let text = format!("{} is less than {LEAST} (64 MiB); write more, or 0", history.max_bytes);
            faults.add("history.max_bytes", text);
        }
    }

    /// What is legal but rarely meant about the section `history`.
    pub(super) fn history_warnings(&self, warnings: &mut Vec<Warning>) {
        if !self.history.path.is_empty() && !self.has_durable_channels() {
            warnings.push(Warning::new(
                "history.path is set, but nothing is written there: no namespace has `durable = true`",
            ));
        }
    }

    /// Whether any channel has a history in the log.
    pub(crate) fn has_durable_channels(&self) -> bool {
        let channel = &self.channel;
        channel.without_namespace.durable || channel.namespaces.iter().any(|namespace| namespace.options.durable)
    }

    fn options(&self, above: &str, options: &NamespaceOptions, faults: &mut Faults) {
        history(above, options, faults);
        recovery(above, options, faults);
        durable(above, options, faults);
        if options.durable && self.history.path.is_empty() {
            let text = "is on while there is no log to write to; set history.path to a folder";
            faults.add(format!("{above}.durable"), text);
        }
        if options.force_push_join_leave && !options.join_leave {
            faults.add(format!("{above}.force_push_join_leave"), "is on while join_leave is off; turn join_leave on");
        }
        if options.publish_to == PublishTo::App {
            self.needs_messages(&format!("{above}.publish_to"), "is \"app\"", faults);
        }
        if options.delta_publish && options.allowed_delta_types.is_empty() {
            faults.add(
                format!("{above}.delta_publish"),
                "is on while nobody may ask for deltas; write allowed_delta_types = [\"fossil\"]",
            );
        }
        if let Err(error) = whole(&options.channel_regex) {
            let error = error.to_string();
            let line = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            faults.add(format!("{above}.channel_regex"), format!("{:?} is no pattern: {line}", options.channel_regex));
        }
        if options.allow_user_limited_channels && self.channel.user_boundary.is_empty() {
            let text = "is on while channel.user_boundary is empty; write user_boundary = \"#\"";
            faults.add(format!("{above}.allow_user_limited_channels"), text);
        }
        map_rules(above, options, faults);
        document_rules(above, options, faults);
        for (name, prefix, wanted) in [
            ("map_clients_presence_channel_prefix", &options.map_clients_presence_channel_prefix, Type::MapClients),
            ("map_users_presence_channel_prefix", &options.map_users_presence_channel_prefix, Type::MapUsers),
        ] {
            self.presence_map(&format!("{above}.{name}"), prefix, wanted, faults);
        }
    }

    /// The namespace that users find themselves in when they come.
    fn personal_channels(&self, faults: &mut Faults) {
        let personal = &self.client.subscribe_to_user_personal_channel;
        let name = &personal.personal_channel_namespace;
        let channel = &self.channel;
        let known = channel.namespaces.iter().find(|namespace| namespace.name == *name);
        let options = match known {
            Some(namespace) => &namespace.options,
            None => &channel.without_namespace,
        };
        let text = if known.is_none() && !name.is_empty() {
            format!("{name:?} is no namespace of channel.namespaces, so that no user could come in; add it there")
        } else if options.subscription_type != Type::Stream {
            format!("{name:?} is a map, and nobody is put into one; name a namespace of streams")
        } else {
            return;
        };
        if personal.enabled {
            faults.add("client.subscribe_to_user_personal_channel.personal_channel_namespace", text);
        }
    }

    /// The namespace that a map of who is in a channel is kept in.
    fn presence_map(&self, key: &str, prefix: &str, wanted: Type, faults: &mut Faults) {
        if prefix.is_empty() {
            return;
        }
        if let Some(text) = self.namespace_fault(prefix) {
            return faults.add(key, format!("{prefix:?} {text}"));
        }
        let namespace = prefix.split_once(self.channel.namespace_boundary.as_str()).map(|(namespace, _)| namespace);
        let options = match namespace {
            None => &self.channel.without_namespace,
            Some(name) => match self.channel.namespaces.iter().find(|namespace| namespace.name == name) {
                Some(namespace) => &namespace.options,
                None => return,
            },
        };
        if options.subscription_type != wanted {
            let wanted = if wanted == Type::MapClients { "map_clients" } else { "map_users" };
            let text =
                format!("{prefix:?} is in a namespace of another type; give that subscription_type = \"{wanted}\"");
            faults.add(key, text);
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

fn history(above: &str, options: &NamespaceOptions, faults: &mut Faults) {
    match (options.history_size, options.history_ttl.is_zero()) {
        (0, false) => faults.add(format!("{above}.history_size"), "is 0 while history_ttl is set; history needs both"),
        (1.., true) => faults
            .add(format!("{above}.history_ttl"), "is no time at all while history_size is set; history needs both"),
        (0, true) | (1.., false) => {}
    }
    if options.snapshot && options.snapshot_keys == 0 {
        faults.add(format!("{above}.snapshot_keys"), "is 0 while snapshot is on; write how many keys may be kept");
    }
}

fn durable(above: &str, options: &NamespaceOptions, faults: &mut Faults) {
    let text = match options.subscription_type {
        Type::Stream if options.history_size == 0 && options.history_ttl.is_zero() => {
            "is on without history to keep; set history_size and history_ttl"
        }
        Type::Map if options.map.mode == MapMode::Ephemeral => {
            "is on for an \"ephemeral\" map; write map.mode = \"persistent\" or \"recoverable\""
        }
        Type::MapClients | Type::MapUsers => {
            "is for what outlives a restart, and nobody who is here does; leave it out"
        }
        Type::Stream | Type::Map => return,
    };
    if options.durable {
        faults.add(format!("{above}.durable"), text);
    }
}

fn recovery(above: &str, options: &NamespaceOptions, faults: &mut Faults) {
    let has_history = options.history_size > 0 || !options.history_ttl.is_zero();
    let caches = options.force_recovery_mode == RecoveryMode::Cache;
    for (name, is_on) in [
        ("allow_recovery", options.allow_recovery),
        ("force_recovery", options.force_recovery),
        ("allow_positioning", options.allow_positioning),
        ("force_positioning", options.force_positioning),
        ("force_recovery_mode", caches),
    ] {
        // Half a history has its fault already; a map has its stream.
        if is_on && !has_history && options.subscription_type == Type::Stream {
            let is = if name == "force_recovery_mode" { "is \"cache\"" } else { "is on" };
            let text = format!("{is} without history to recover from; set history_size and history_ttl");
            faults.add(format!("{above}.{name}"), text);
        }
    }
    if options.auto_cache_recover && !caches {
        let text = "is on while force_recovery_mode is \"stream\"; write force_recovery_mode = \"cache\"";
        faults.add(format!("{above}.auto_cache_recover"), text);
    }
    let recovers = (options.force_recovery || options.allow_recovery) && options.subscription_type == Type::Stream;
    if !options.interest.is_empty() && InterestBy::parse(&options.interest).is_none() {
        let text = format!("{:?} is no interest; write \"key\" or \"tag:\" and the name of a tag", options.interest);
        faults.add(format!("{above}.interest"), text);
    }
    match Delivery::parse(&options.delivery) {
        None => faults.add(
            format!("{above}.delivery"),
            format!(
                "{:?} is no delivery; write \"all\", \"latest\", \"drop_oldest\", or \"sampled:N\" with N from 1 to 1000",
                options.delivery
            ),
        ),
        Some(delivery) if delivery.skips() && recovers && !options.snapshot => faults.add(
            format!("{above}.delivery"),
            format!(
                "{:?} passes readers by, so that nobody who comes back can be told that nothing is missing; \
                 turn snapshot on, or force_recovery and allow_recovery off",
                options.delivery
            ),
        ),
        Some(_) => {}
    }
}

/// What is published into a document is edits, and all of them must arrive.
fn document_rules(above: &str, options: &NamespaceOptions, faults: &mut Faults) {
    match &*options.document {
        "" => return,
        "yjs" => {}
        other => {
            let text = format!("{other:?} is no kind of document; write \"yjs\", or leave it out");
            return faults.add(format!("{above}.document"), text);
        }
    }
    if options.document_max_size == 0 {
        faults.add(format!("{above}.document_max_size"), "0 leaves no room; write the bytes that a document may have");
    }
    for (name, is_on) in [
        ("history_size", options.history_size > 0),
        ("snapshot", options.snapshot),
        ("interest", !options.interest.is_empty()),
        ("allow_aggregates", options.allow_aggregates),
        ("allow_tags_filter", options.allow_tags_filter),
        ("allowed_delta_types", !options.allowed_delta_types.is_empty()),
        ("delivery", !matches!(&*options.delivery, "" | "all")),
        ("publication_data_format", options.publication_data_format == "json"),
        ("publish_proxy_enabled", options.publish_proxy_enabled),
        ("publish_to", options.publish_to == PublishTo::App),
    ] {
        if is_on {
            faults.add(
                format!("{above}.{name}"),
                "is not for documents: every edit goes to all who have it open; leave it out",
            );
        }
    }
}

fn map_rules(above: &str, options: &NamespaceOptions, faults: &mut Faults) {
    let map = &options.map;
    if options.subscription_type == Type::Stream {
        if *map != MapOptions::default() {
            let text = "is given for a stream; write subscription_type = \"map\", or leave it out";
            faults.add(format!("{above}.map"), text);
        }
        return;
    }
    let is_of_who = matches!(options.subscription_type, Type::MapClients | Type::MapUsers);
    if is_of_who && !map.key_ttl.is_zero() {
        let text = "would take those away who are still there; leave it out, they are removed when they leave";
        faults.add(format!("{above}.map.key_ttl"), text);
    }
    for (name, is_on) in [
        ("history_size", options.history_size > 0),
        ("snapshot", options.snapshot),
        ("interest", !options.interest.is_empty()),
        ("document", !options.document.is_empty()),
        ("allow_aggregates", options.allow_aggregates),
        ("delivery", options.delivery.starts_with("sampled")),
    ] {
        if is_on {
            faults.add(format!("{above}.{name}"), "is for streams; a map has its own stream, and its state");
        }
    }
    if options.delivery == "drop_oldest" {
        let text = "\"drop_oldest\" may lose the last value of a key, and a map needs it; write \"latest\"";
        faults.add(format!("{above}.delivery"), text);
    }
    let keeps = map.stream_size > 0 && !map.stream_ttl.is_zero();
    let has_any = map.stream_size > 0 || !map.stream_ttl.is_zero();
    match map.mode {
        MapMode::Ephemeral if has_any => {
            let text = "is \"ephemeral\" while a stream is given; write \"recoverable\", or leave the stream out";
            faults.add(format!("{above}.map.mode"), text);
        }
        MapMode::Recoverable | MapMode::Persistent if !keeps => {
            let text = "promises recovery without a stream; set map.stream_size and map.stream_ttl";
            faults.add(format!("{above}.map.mode"), text);
        }
        MapMode::Persistent if !map.key_ttl.is_zero() => {
            let text =
                "is given while values of a \"persistent\" map stay for ever; leave it out, or write \"recoverable\"";
            faults.add(format!("{above}.map.key_ttl"), text);
        }
        _ => {}
    }
    for (name, number) in [
        ("default_page_size", map.default_page_size),
        ("min_page_size", map.min_page_size),
        ("max_page_size", map.max_page_size),
        ("max_keys", map.max_keys),
    ] {
        faults.at_least_one(format!("{above}.map.{name}"), number);
    }
    if map.min_page_size > map.max_page_size {
        let text = format!("{} is more than max_page_size, {}", map.min_page_size, map.max_page_size);
        faults.add(format!("{above}.map.min_page_size"), text);
    }
    faults.some_time(&format!("{above}.map.subscribe_catch_up_timeout"), map.subscribe_catch_up_timeout);
}

/// The name of a namespace that stands for many channels.
fn pattern(key: &str, name: &str, faults: &mut Faults) {
    let parts: Vec<&str> = name.split('/').skip(1).collect();
    if parts.iter().any(|part| part.is_empty() || *part == ":") {
        faults.add(key, format!("{name:?} has an empty part; write it as \"/users/:user/inbox\""));
    }
}
