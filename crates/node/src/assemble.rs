//! From the configuration to the parts of the house.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jackfield_hub::namespace::{Permission, PublishTo};
use jackfield_hub::{Namespaces, Options};
use jackfield_session::{Settings, Tells, Tick, Verifier};
use jackfield_worker::Compression;

use crate::config::{self, Config, Driver, EventType, NamespaceOptions, ip_address};

pub(crate) fn ticks(duration: Duration) -> Tick {
    Tick::try_from(duration.as_millis().div_ceil(100)).unwrap_or(Tick::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where something listens.
pub(crate) fn address(name: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let ip =
        ip_address(name).with_context(|| format!("read the address {name:?}: write an IP address or \"localhost\""))?;
    Ok(SocketAddr::new(ip, port))
}

/// Options of all sessions.
pub(crate) fn settings(config: &Config, node: Arc<str>) -> Settings {
    let client = &config.client;
    let linked = config.app_link.driver != Driver::None;
    let tells = |event| linked && config.app_link.events.contains(&event);
    Settings {
        version: concat!("Jackfield ", env!("CARGO_PKG_VERSION")),
        node,
        insecure: client.insecure,
        allow_anonymous_without_token: client.allow_anonymous_connect_without_token,
        disallow_anonymous_tokens: client.disallow_anonymous_connection_tokens,
        verifier: verifier(config),
        subscription_verifier: None,
        ping_interval: ticks(client.ping_interval),
        pong_timeout: ticks(client.pong_timeout),
        stale_close_delay: ticks(client.stale_close_delay),
        expired_close_delay: ticks(client.expired_close_delay),
        channel_limit: client.channel_limit,
        user_connection_limit: client.user_connection_limit,
        calls_in_flight: client.max_calls_in_flight,
        message_rate: u32::try_from(client.message_rate_limit).unwrap_or(u32::MAX),
        connect_call: (linked && client.proxy.connect.enabled).then(|| millis(client.proxy.connect.timeout)),
        rpc_call: (linked && config.rpc.without_namespace.proxy_enabled).then(|| millis(config.rpc.timeout)),
        tells: Tells {
            connect: tells(EventType::Connect),
            disconnect: tells(EventType::Disconnect),
            message: tells(EventType::Message),
        },
    }
}

fn verifier(config: &Config) -> Option<Verifier> {
    let token = &config.client.token;
    let secrets = [token.hmac_secret_key.expose(), token.hmac_previous_secret_key.expose()];
    let mut secrets = secrets.into_iter().filter(|secret| !secret.is_empty()).peekable();
    secrets.peek()?;
    Some(Verifier::hmac(secrets).audience(&token.audience).issuer(&token.issuer).user_claim(&token.user_id_claim))
}

/// The namespaces.
pub(crate) fn namespaces(config: &Config) -> Namespaces {
    let channel = &config.channel;
    Namespaces {
        without: Some(Arc::new(options(&channel.without_namespace))),
        named: channel
            .namespaces
            .iter()
            .map(|namespace| (namespace.name.clone(), Arc::new(options(&namespace.options))))
            .collect(),
        patterns: Vec::new(),
        max_length: channel.max_length,
        boundary: channel.namespace_boundary.clone(),
        private_prefix: channel.private_prefix.clone(),
    }
}

fn options(from: &NamespaceOptions) -> Options {
    Options {
        presence: from.presence,
        join_leave: from.join_leave,
        force_push_join_leave: from.force_push_join_leave,
        history_size: from.history_size,
        history_ttl: millis(from.history_ttl),
        allow_recovery: from.allow_recovery,
        force_recovery: from.force_recovery,
        allow_positioning: from.allow_positioning,
        force_positioning: from.force_positioning,
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
        publish_to: publish_to(from.publish_to),
        ..Options::default()
    }
}

pub(crate) fn publish_to(from: config::PublishTo) -> PublishTo {
    match from {
        config::PublishTo::App => PublishTo::App,
        config::PublishTo::Channel => PublishTo::Channel,
    }
}

/// How WebSockets are compressed.
pub(crate) fn compression(config: &Config) -> Compression {
    let websocket = &config.websocket;
    Compression {
        level: u32::try_from(websocket.compression_level).unwrap_or(1),
        min_size: websocket.compression_min_size,
        decompressed_limit: websocket.decompressed_message_size_limit,
        ratio_limit: websocket.compression_ratio_limit,
    }
}
