//! From the configuration's words about channels to the hub's.

use std::sync::Arc;

use jackfield_bridge::{Routes, Ways};
use jackfield_hub::InterestBy;
use jackfield_hub::namespace::{
    self as hub, Delivery, Format, Kind, MapOptions, Namespaces, Options, Pattern, Permission,
};
use regex::Regex;

use crate::assemble::{millis, publish_to};
use crate::config::{self, ClientKey, Config, MapMode, NamespaceOptions, RecoveryMode, SubscriptionType};

/// The namespaces.
pub(crate) fn namespaces(config: &Config, routes: &Routes) -> Namespaces {
    let channel = &config.channel;
    let (mut named, mut patterns) = (Vec::new(), Vec::new());
    for namespace in &channel.namespaces {
        let options = Arc::new(options(&namespace.name, &namespace.options, (channel, routes)));
        match Pattern::parse(&namespace.name) {
            Some(pattern) => patterns.push((pattern, options)),
            None => named.push((namespace.name.clone(), options)),
        }
    }
    Namespaces {
        without: Some(Arc::new(options("", &channel.without_namespace, (channel, routes)))),
        named: named.into_iter().collect(),
        patterns,
        max_length: channel.max_length,
        boundary: channel.namespace_boundary.clone(),
        private_prefix: channel.private_prefix.clone(),
        user_boundary: channel.user_boundary.clone(),
        user_separator: channel.user_separator.clone(),
    }
}

/// The pattern that the rest of a name must match, all of it.
pub(crate) fn whole(pattern: &str) -> Result<Option<Regex>, regex::Error> {
    if pattern.is_empty() { Ok(None) } else { Regex::new(&format!("^(?:{pattern})$")).map(Some) }
}

fn options(name: &str, from: &NamespaceOptions, (channel, routes): (&config::Channel, &Routes)) -> Options {
    let call = |ways: &Ways| {
        let way = if name.is_empty() { ways.without } else { ways.named.get(name).copied() };
        way.map(|way| millis(way.timeout))
    };
    let meta_ttl = if from.history_meta_ttl.is_zero() { channel.history_meta_ttl } else { from.history_meta_ttl };
    Options {
        name: name.into(),
        subscribe_call: call(&routes.subscribe),
        publish_call: call(&routes.publish),
        sub_refresh_call: call(&routes.sub_refresh),
        kind: match from.subscription_type {
            SubscriptionType::Stream => Kind::Stream,
            SubscriptionType::Map => Kind::Map,
            SubscriptionType::MapClients => Kind::Clients,
            SubscriptionType::MapUsers => Kind::Users,
        },
        presence: from.presence,
        join_leave: from.join_leave,
        force_push_join_leave: from.force_push_join_leave,
        join_leave_limit: number(from.join_leave_limit),
        subscribe_events: from.subscribe_events,
        occupancy_events: from.occupancy_events,
        history_size: from.history_size,
        history_ttl: millis(from.history_ttl),
        meta_ttl: millis(meta_ttl),
        durable: from.durable,
        allow_recovery: from.allow_recovery,
        force_recovery: from.force_recovery,
        recovery_mode: match from.force_recovery_mode {
            RecoveryMode::Stream => hub::RecoveryMode::Stream,
            RecoveryMode::Cache => hub::RecoveryMode::Cache,
        },
        auto_cache_recover: from.auto_cache_recover,
        allow_positioning: from.allow_positioning,
        force_positioning: from.force_positioning,
        snapshot: from.snapshot,
        snapshot_keys: from.snapshot_keys,
        delta: from.allowed_delta_types.iter().any(|format| format == "fossil"),
        delta_publish: from.delta_publish,
        tags_filter: from.allow_tags_filter,
        aggregates: from.allow_aggregates,
        // The rules have refused what is no interest, no delivery, and no pattern.
        interest: InterestBy::parse(&from.interest),
        document: (!from.document.is_empty()).then_some(from.document_max_size),
        delivery: Delivery::parse(&from.delivery).unwrap_or_default(),
        format: match from.publication_data_format.as_str() {
            "json" => Format::Json,
            _ if !from.document.is_empty() => Format::Binary,
            "binary" => Format::Binary,
            _ => Format::Any,
        },
        user_limited: from.allow_user_limited_channels,
        pattern: whole(&from.channel_regex).unwrap_or_default(),
        publish_to: publish_to(from.publish_to),
        publish_rate: number(from.publish_rate),
        subscribe_rate: number(from.subscribe_rate),
        clients_map_prefix: from.map_clients_presence_channel_prefix.clone(),
        users_map_prefix: from.map_users_presence_channel_prefix.clone(),
        map: map(&from.map),
        ..permissions(from)
    }
}

/// Who may do what; everything else at its default.
fn permissions(from: &NamespaceOptions) -> Options {
    Options {
        subscribe: Permission {
            client: from.allow_subscribe_for_client,
            subscriber: false,
            anonymous: from.allow_subscribe_for_anonymous,
        },
        publish: Permission {
            client: from.allow_publish_for_client,
            subscriber: from.allow_publish_for_subscriber,
            anonymous: from.allow_publish_for_anonymous,
        },
        read_presence: Permission {
            client: from.allow_presence_for_client,
            subscriber: from.allow_presence_for_subscriber,
            anonymous: from.allow_presence_for_anonymous,
        },
        read_history: Permission {
            client: from.allow_history_for_client,
            subscriber: from.allow_history_for_subscriber,
            anonymous: from.allow_history_for_anonymous,
        },
        ..Options::default()
    }
}

fn map(from: &config::MapOptions) -> MapOptions {
    MapOptions {
        mode: match from.mode {
            MapMode::Ephemeral => hub::MapMode::Ephemeral,
            MapMode::Recoverable => hub::MapMode::Recoverable,
            MapMode::Persistent => hub::MapMode::Persistent,
        },
        key_ttl: millis(from.key_ttl),
        stream_size: from.stream_size,
        stream_ttl: millis(from.stream_ttl),
        remove_client_on_unsubscribe: from.remove_client_on_unsubscribe,
        client_key: match from.client_key {
            ClientKey::Any => hub::ClientKey::Any,
            ClientKey::ClientId => hub::ClientKey::Client,
            ClientKey::UserId => hub::ClientKey::User,
        },
        publish: Permission {
            client: from.allow_publish_for_client,
            subscriber: from.allow_publish_for_subscriber,
            anonymous: from.allow_publish_for_anonymous,
        },
        remove: Permission {
            client: from.allow_remove_for_client,
            subscriber: from.allow_remove_for_subscriber,
            anonymous: from.allow_remove_for_anonymous,
        },
        page_size: number(from.default_page_size),
        min_page_size: number(from.min_page_size),
        max_page_size: number(from.max_page_size),
        catch_up_timeout: millis(from.subscribe_catch_up_timeout),
        max_keys: from.max_keys,
    }
}

fn number(from: usize) -> u32 {
    u32::try_from(from).unwrap_or(u32::MAX)
}
