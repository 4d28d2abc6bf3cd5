//! From the configuration to the parts of the house.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jackfield_bridge::HeraldOptions;
use jackfield_brokers::Options as QueueOptions;
use jackfield_hub::Cap;
use jackfield_hub::namespace::PublishTo;
use jackfield_session::{PersonalChannel, Settings, Tells, Tick};
use jackfield_worker::Compression;

use crate::calls::Calls;
use crate::config::{self, Config, Driver, EventType, ip_address};
use crate::identity::Identity;

pub(crate) fn ticks(duration: Duration) -> Tick {
    Tick::try_from(duration.as_millis().div_ceil(100)).unwrap_or(Tick::MAX)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where something listens.
pub(crate) fn address(name: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let ip =
        ip_address(name).with_context(|| format!("read the address {name:?}: write an IP address or \"localhost\""))?;
    Ok(SocketAddr::new(ip, port))
}

/// Options of all sessions.
pub(crate) fn settings(config: &Config, (calls, identity): (&Calls, &Identity), node: Arc<str>) -> Settings {
    let client = &config.client;
    let linked = config.app_link.driver != Driver::None;
    let tells = |event| linked && config.app_link.events.contains(&event);
    Settings {
        version: concat!("Jackfield ", env!("CARGO_PKG_VERSION")),
        node,
        insecure: client.insecure,
        allow_anonymous_without_token: client.allow_anonymous_connect_without_token,
        disallow_anonymous_tokens: client.disallow_anonymous_connection_tokens,
        verifier: identity.connection.clone(),
        subscription_verifier: identity.subscription.clone(),
        ping_interval: ticks(client.ping_interval),
        pong_timeout: ticks(client.pong_timeout),
        stale_close_delay: ticks(client.stale_close_delay),
        expired_close_delay: ticks(client.expired_close_delay),
        expired_sub_close_delay: ticks(client.expired_sub_close_delay),
        refresh_call: calls.routes.refresh.map(|way| millis(way.timeout)),
        personal_channel: personal_channel(config),
        time_in_connect: client.connect_include_server_time,
        channel_limit: client.channel_limit,
        user_connection_limit: client.user_connection_limit,
        calls_in_flight: client.max_calls_in_flight,
        message_rate: u32::try_from(client.message_rate_limit).unwrap_or(u32::MAX),
        connect_call: calls.routes.connect.map(|way| millis(way.timeout)),
        rpc_call: calls.rpc_timeout().map(millis),
        tells: Tells {
            connect: tells(EventType::Connect),
            disconnect: tells(EventType::Disconnect),
            message: tells(EventType::Message),
            subscribe: tells(EventType::Subscribe),
            unsubscribe: tells(EventType::Unsubscribe),
        },
    }
}

/// What the application hears of channels and users.
pub(crate) fn herald(config: &Config) -> HeraldOptions {
    let tells = |event| config.app_link.events.contains(&event);
    let (channel, personal) = (&config.channel, &config.client.subscribe_to_user_personal_channel);
    let namespace = match &*personal.personal_channel_namespace {
        "" => String::new(),
        namespace => format!("{namespace}{}", channel.namespace_boundary),
    };
    HeraldOptions {
        occupied: tells(EventType::Occupied),
        vacated: tells(EventType::Vacated),
        vacated_delay: config.app_link.vacated_delay,
        undelivered: tells(EventType::Undelivered),
        personal: personal.enabled.then(|| format!("{namespace}{}", channel.user_boundary)),
    }
}

/// What a driver of the queue is told, for a node of this id.
pub(crate) fn queue_options(config: &Config, node: &str) -> QueueOptions {
    let link = &config.app_link;
    QueueOptions {
        prefix: link.prefix.clone(),
        partitions: u32::try_from(link.partitions).unwrap_or(u32::MAX),
        node: node.to_owned(),
        max_backlog: link.max_backlog as u64,
        max_payload_bytes: link.max_payload_bytes,
        ca_file: (!link.ca_pem_file.is_empty()).then(|| link.ca_pem_file.clone().into()),
        max_memory_bytes: config.embedded.memory_limit,
        listen_beyond_loopback: false,
    }
}

fn personal_channel(config: &Config) -> Option<PersonalChannel> {
    let personal = &config.client.subscribe_to_user_personal_channel;
    personal.enabled.then(|| PersonalChannel {
        namespace: personal.personal_channel_namespace.clone(),
        single_connection: personal.single_connection,
    })
}

/// How much a client may recover at once: more than what may wait for it, or who was closed for being slow could never
/// recover; and less than what may wait of answers.
pub(crate) fn recovery_cap(config: &Config) -> Cap {
    let client = &config.client;
    Cap { count: client.recovery_max_publication_limit, bytes: client.queue_max_size.saturating_mul(4) }
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
