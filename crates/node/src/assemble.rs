//! From the configuration to the parts of the house.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jackfield_dialects::raw::Mode;
use jackfield_hub::namespace::{Permission, PublishTo};
use jackfield_hub::{Namespaces, Options};
use jackfield_session::{Dialect, Endpoint, Feed, Framing, Keepalive, Settings, Tells, Tick, Verifier};
use jackfield_worker::{Binding, Face, HttpDoor, Listener, Origins, Page, WebSocketRoute};

use crate::config::{
    self, Config, Driver, EventType, NamespaceOptions, RawDialect, TcpDialect, TcpFraming, Template, Variable,
    ip_address,
};

fn ticks(duration: Duration) -> Tick {
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
pub(crate) fn settings(config: &Config) -> Settings {
    let client = &config.client;
    let linked = config.app_link.driver != Driver::None;
    let tells = |event| linked && config.app_link.events.contains(&event);
    Settings {
        version: concat!("Jackfield ", env!("CARGO_PKG_VERSION")),
        insecure: client.insecure,
        allow_anonymous_without_token: client.allow_anonymous_connect_without_token,
        disallow_anonymous_tokens: client.disallow_anonymous_connection_tokens,
        verifier: verifier(config),
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

fn publish_to(from: config::PublishTo) -> PublishTo {
    match from {
        config::PublishTo::App => PublishTo::App,
        config::PublishTo::Channel => PublishTo::Channel,
    }
}

/// Every listener of the data plane, bound.
pub(crate) fn listeners(config: &Config, workers: usize) -> anyhow::Result<Vec<Listener>> {
    let public = address(&config.http_server.address, config.http_server.port)?;
    let door = Arc::new(http_door(config)?);
    let mut listeners =
        vec![Listener::bind(public, workers, Face::Http(door)).context("open the public port (http_server.port)")?];
    for tcp in config.tcp.iter().filter(|tcp| !tcp.on_public_port) {
        let name = &tcp.name;
        let (dialect, keepalive, feed, binding) = match tcp.dialect {
            TcpDialect::CentrifugoJson => (Dialect::CentrifugoJson, Keepalive::MessagesUnanswered, None, None),
            TcpDialect::CentrifugoProtobuf => (Dialect::CentrifugoProtobuf, Keepalive::MessagesUnanswered, None, None),
            TcpDialect::Echo => (Dialect::Echo, Keepalive::Tcp, None, None),
            TcpDialect::Raw => {
                let (dialect, feed) = raw(&tcp.feed);
                (dialect, Keepalive::Tcp, Some(feed), binding(&tcp.feed.channel, name, config)?)
            }
        };
        let endpoint = Endpoint {
            listener: name.as_str().into(),
            dialect,
            framing: match tcp.framing {
                TcpFraming::Lines => Framing::Lines,
                TcpFraming::Varint => Framing::Varint,
            },
            message_limit: tcp.message_size_limit,
            keepalive,
            feed,
        };
        let at = address(&tcp.address, tcp.port.unwrap_or(0))?;
        let listener = Listener::bind(at, workers, Face::Plain(Arc::new(endpoint), binding))
            .with_context(|| format!("open the TCP listener {name:?}"))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn http_door(config: &Config) -> anyhow::Result<HttpDoor> {
    let mut websockets = HashMap::new();
    if !config.websocket.disabled {
        let path = &config.websocket.handler_prefix;
        let endpoint = Endpoint {
            listener: path.as_str().into(),
            dialect: Dialect::CentrifugoJson,
            framing: Framing::WebSocket,
            message_limit: config.websocket.message_size_limit,
            keepalive: Keepalive::Messages,
            feed: None,
        };
        websockets.insert(path.clone(), WebSocketRoute { endpoint: Arc::new(endpoint), binding: None });
    }
    for endpoint in &config.raw {
        let (dialect, feed) = match endpoint.dialect {
            RawDialect::Echo => (Dialect::Echo, None),
            RawDialect::Raw => {
                let (dialect, feed) = raw(&endpoint.feed);
                (dialect, Some(feed))
            }
        };
        let binding = binding(&endpoint.feed.channel, &endpoint.path, config)?;
        let path = endpoint.path.clone();
        let endpoint = Endpoint {
            listener: path.as_str().into(),
            dialect,
            framing: Framing::WebSocket,
            message_limit: endpoint.message_size_limit,
            keepalive: Keepalive::Frames,
            feed,
        };
        websockets.insert(path, WebSocketRoute { endpoint: Arc::new(endpoint), binding });
    }
    let mut pages = HashMap::new();
    if config.health.enabled {
        let body = bytes::Bytes::from_static(b"{}\n");
        pages.insert("/health".to_owned(), Page { content_type: "application/json", body });
    }
    if config.dev {
        pages.insert("/".to_owned(), crate::page::index());
    }
    Ok(HttpDoor { websockets, pages, origins: Origins(config.client.allowed_origins.clone()) })
}

fn raw(feed: &config::Feed) -> (Dialect, Feed) {
    let mode = match feed.data {
        config::DataForm::Json => Mode::Json,
        config::DataForm::Text => Mode::Text,
    };
    (Dialect::Raw(mode), Feed { event: feed.event.clone(), publish_to: publish_to(feed.publish_to) })
}

/// The channel of a visit. What clients send fills the blanks, so only harmless characters may come through.
fn binding(template: &str, listener: &str, config: &Config) -> anyhow::Result<Option<Binding>> {
    if template.is_empty() {
        return Ok(None);
    }
    let parsed =
        Template::parse(template).map_err(|what| anyhow::anyhow!("the channel {template:?} of {listener:?} {what}"))?;
    let listener = listener.to_owned();
    let max_length = config.channel.max_length;
    Ok(Some(Binding(Arc::new(move |visit| {
        let mut wrong = None;
        let channel = parsed.expand(|variable, out| match variable {
            Variable::Client => out.push_str(&visit.client),
            Variable::Listener => out.push_str(listener.trim_start_matches('/')),
            Variable::Remote => {
                let _infallible = write!(out, "{}", visit.remote.ip());
            }
            Variable::Query(name) => match visit.query.and_then(|head| head.query_value(name)) {
                Some(value) if is_word(&value) => out.push_str(&value),
                _ => {
                    wrong =
                        Some(format!("The query parameter {name:?} must be 1 to 128 letters, digits, '.', '_' or '-'."))
                }
            },
        });
        match wrong {
            Some(wrong) => Err(wrong),
            None if channel.len() > max_length => Err("The channel's name is too long.".to_owned()),
            None => Ok(channel.into()),
        }
    }))))
}

fn is_word(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
