//! From the configuration to the doors of the data plane: listeners, their gates, what is spoken behind them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context;
use ipnet::IpNet;
use jackfield_dialects::raw::Mode;
use jackfield_framing::Measured;
use jackfield_framing::forwarded::ForwardedHeader;
use jackfield_session::{Declared, Dialect, Endpoint, Feed, Framing, Said};
use jackfield_worker::{
    Binding, Challenges, Emulation, Face, Gate, HandOver, HttpDoor, Listener, Origins, Page, SocketOptions, StreamKind,
    StreamRoute, WebSocketRoute,
};

use crate::activation::Passed;
use crate::assemble::{address, publish_to, ticks};
use crate::certificates::Certificates;
use crate::config::{self, Config, Forwarded, RawDialect, TcpDialect, Template, Variable};

/// What doors need that the configuration does not hold.
pub(crate) struct Beside<'a> {
    /// The name of this node.
    pub(crate) node: Arc<str>,
    /// Every certificate.
    pub(crate) certificates: &'a Certificates,
    /// Who answers requests that are not the data plane's.
    pub(crate) hand_over: Option<HandOver>,
    /// Sockets that were open before we were.
    pub(crate) passed: &'a mut Passed,
}

/// Every listener of the data plane, bound: the public port first, then those of `[[tcp]]` that have one.
pub(crate) fn listeners(config: &Config, workers: usize, beside: Beside<'_>) -> anyhow::Result<Vec<Listener>> {
    let options = socket_options(config);
    let trusted: Arc<[IpNet]> = config.client.trusted_networks().into();
    let door = Arc::new(http_door(config, &beside, &trusted)?);
    let mut shared = None;
    for tcp in config.tcp.iter().filter(|tcp| tcp.on_public_port) {
        shared = Some(plain(tcp, config)?);
    }
    let gate = Gate {
        otherwise: shared,
        tls: beside.certificates.public.clone(),
        also_plain: config.http_server.tls.also_plain,
        proxy_protocol: config.http_server.proxy_protocol,
        trusted: Arc::clone(&trusted),
        ..Gate::plain(Face::Http(door))
    };
    let listener = match beside.passed.take("http") {
        Some(socket) => Listener::adopt(socket, workers, gate, &options),
        None => {
            let at = address(&config.http_server.address, config.http_server.port)?;
            Listener::bind(at, workers, gate, &options)
        }
    };
    let mut listeners = vec![listener.context("open the public port (http_server.port)")?];
    for tcp in config.tcp.iter().filter(|tcp| !tcp.on_public_port) {
        let name = &tcp.name;
        let (endpoint, binding) = plain(tcp, config)?;
        let gate = Gate {
            tls: beside.certificates.of_tcp(name),
            also_plain: tcp.tls.also_plain,
            proxy_protocol: tcp.proxy_protocol,
            trusted: Arc::clone(&trusted),
            ..Gate::plain(Face::Plain(endpoint, binding))
        };
        let listener = match beside.passed.take(name) {
            Some(socket) => Listener::adopt(socket, workers, gate, &options),
            None => Listener::bind(address(&tcp.address, tcp.port.unwrap_or(0))?, workers, gate, &options),
        };
        listeners.push(listener.with_context(|| format!("open the TCP listener {name:?}"))?);
    }
    Ok(listeners)
}

fn socket_options(config: &Config) -> SocketOptions {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    SocketOptions {
        backlog: number(config.sockets.backlog),
        notsent_lowat: number(config.sockets.notsent_lowat),
        user_timeout: config.sockets.user_timeout,
        keepalive: config.sockets.keepalive,
    }
}

/// What is spoken at a `[[tcp]]`.
fn plain(tcp: &config::TcpListener, config: &Config) -> anyhow::Result<(Arc<Endpoint>, Option<Binding>)> {
    let framing = match &*tcp.framing {
        "varint" => Framing::Varint,
        other => Measured::parse(other).map_or(Framing::Lines, Framing::Measured),
    };
    let (dialect, feed, binding) = match tcp.dialect {
        TcpDialect::CentrifugoJson => (Dialect::CentrifugoJson, None, None),
        TcpDialect::CentrifugoProtobuf => (Dialect::CentrifugoProtobuf, None, None),
        TcpDialect::Echo => (Dialect::Echo, None, None),
        TcpDialect::Fields => {
            let (_, feed) = raw(&tcp.feed);
            (Dialect::Fields, Some(feed), binding(&tcp.feed.channel, &tcp.name, config)?)
        }
        TcpDialect::Raw => {
            let (dialect, feed) = raw(&tcp.feed);
            (dialect, Some(feed), binding(&tcp.feed.channel, &tcp.name, config)?)
        }
    };
    let all = declared(config);
    let own = declaration(tcp).and_then(|own| Some((u8::try_from(all.iter().position(|one| *one == own)?).ok()?, own)));
    let endpoint = Endpoint {
        message_limit: tcp.message_size_limit,
        feed,
        declared: own,
        idle_limit: ticks(tcp.idle_timeout),
        user_from_certificate: tcp.user_from_certificate,
        ..Endpoint::new(&tcp.name, dialect, framing)
    };
    Ok((Arc::new(endpoint), binding))
}

/// What all `[[tcp]]` together declare, each once; a worker knows them by their place.
pub(crate) fn declared(config: &Config) -> Arc<[Declared]> {
    let mut all: Vec<Declared> = Vec::new();
    for own in config.tcp.iter().filter_map(declaration) {
        if !all.contains(&own) {
            all.push(own);
        }
    }
    all.into()
}

/// What a `[[tcp]]` declares, if its framing is no common one.
fn declaration(tcp: &config::TcpListener) -> Option<Declared> {
    let framing = Measured::parse(&tcp.framing)?;
    let said = match tcp.dialect {
        TcpDialect::Echo => Said::Echo,
        TcpDialect::Fields => Said::Fields(Arc::new(config::layout(&tcp.messages))),
        TcpDialect::Raw => Said::Raw(mode(&tcp.feed)),
        // The rules have refused them.
        TcpDialect::CentrifugoJson | TcpDialect::CentrifugoProtobuf => return None,
    };
    Some(Declared { framing, said })
}

fn http_door(config: &Config, beside: &Beside<'_>, trusted: &Arc<[IpNet]>) -> anyhow::Result<HttpDoor> {
    let mut pages = HashMap::new();
    if config.health.enabled {
        let body = bytes::Bytes::from_static(b"{}\n");
        pages.insert("/health".to_owned(), Page { content_type: "application/json", body });
    }
    if config.dev {
        pages.insert("/".to_owned(), crate::page::index());
    }
    let streams = streams(config);
    let is_emulated = streams.values().any(|route| route.endpoint.is_emulated());
    Ok(HttpDoor {
        websockets: websockets(config)?,
        documents: config.yjs.enabled.then(|| documents(config)),
        streams,
        emulation: is_emulated.then(|| Emulation {
            path: config.emulation.handler_prefix.clone(),
            body_limit: config.emulation.max_request_body_size,
            node: Arc::clone(&beside.node),
        }),
        pages,
        origins: Origins(config.client.allowed_origins.clone()),
        forwarded: match config.http_server.forwarded {
            Forwarded::Forwarded => Some(ForwardedHeader::Forwarded),
            Forwarded::Off => None,
            Forwarded::XForwardedFor => Some(ForwardedHeader::XForwardedFor),
        },
        trusted: Arc::clone(trusted),
        told: config.client.proxy.connect.told(),
        challenges: beside.certificates.challenges.clone().map(Challenges),
        hand_over: beside.hand_over.clone(),
    })
}

fn websockets(config: &Config) -> anyhow::Result<HashMap<String, WebSocketRoute>> {
    let mut websockets = HashMap::new();
    let compresses = config.websocket.compression;
    let mut add = |path: &str, endpoint: Endpoint, binding| {
        let endpoint = Endpoint { user_from_certificate: config.client.user_from_certificate, ..endpoint };
        websockets.insert(path.to_owned(), WebSocketRoute::new(&endpoint, binding, compresses));
    };
    if !config.websocket.disabled {
        let path = &config.websocket.handler_prefix;
        let endpoint = Endpoint {
            message_limit: config.websocket.message_size_limit,
            ..Endpoint::new(path, Dialect::CentrifugoJson, Framing::WEBSOCKET)
        };
        add(path, endpoint, None);
    }
    if config.uni_websocket.enabled {
        let path = &config.uni_websocket.handler_prefix;
        let endpoint = Endpoint {
            message_limit: config.uni_websocket.message_size_limit,
            disconnect_push: !config.uni_websocket.disable_disconnect_push,
            ..Endpoint::new(path, Dialect::CentrifugoUniJson, Framing::WEBSOCKET)
        };
        add(path, endpoint, None);
    }
    for endpoint in &config.raw {
        let path = &endpoint.path;
        let (dialect, feed, binding) = match endpoint.dialect {
            RawDialect::Echo => (Dialect::Echo, None, None),
            RawDialect::Raw => {
                let (dialect, feed) = raw(&endpoint.feed);
                (dialect, Some(feed), binding(&endpoint.feed.channel, path, config)?)
            }
        };
        let message_limit = endpoint.message_size_limit;
        add(path, Endpoint { message_limit, feed, ..Endpoint::new(path, dialect, Framing::WEBSOCKET) }, binding);
    }
    Ok(websockets)
}

fn documents(config: &Config) -> (String, WebSocketRoute) {
    let path = &config.yjs.handler_prefix;
    let endpoint = Endpoint {
        message_limit: config.yjs.message_size_limit,
        user_from_certificate: config.client.user_from_certificate,
        ..Endpoint::new(path, Dialect::Yjs, Framing::WEBSOCKET)
    };
    // Not compressed: a document is compact as it is, and one that is sent whole would be beyond what a message may become.
    (path.clone(), WebSocketRoute::new(&endpoint, None, false))
}

fn streams(config: &Config) -> HashMap<String, StreamRoute> {
    let mut streams = HashMap::new();
    let mut add = |(path, body_limit): (&String, usize), kind, dialect| {
        let framing = match kind {
            StreamKind::Sse => Framing::Sse,
            StreamKind::Stream => Framing::Stream,
        };
        let endpoint = |dialect| {
            let user_from_certificate = config.client.user_from_certificate;
            Arc::new(Endpoint { user_from_certificate, ..Endpoint::new(path, dialect, framing) })
        };
        let has_protobuf = kind == StreamKind::Stream && dialect == Dialect::CentrifugoJson;
        let protobuf = has_protobuf.then(|| endpoint(Dialect::CentrifugoProtobuf));
        streams.insert(path.clone(), StreamRoute { kind, endpoint: endpoint(dialect), protobuf, body_limit });
    };
    let (sse, stream) = (&config.sse, &config.http_stream);
    if sse.enabled {
        add((&sse.handler_prefix, sse.max_request_body_size), StreamKind::Sse, Dialect::CentrifugoJson);
    }
    if stream.enabled {
        add((&stream.handler_prefix, stream.max_request_body_size), StreamKind::Stream, Dialect::CentrifugoJson);
    }
    let (sse, stream) = (&config.uni_sse, &config.uni_http_stream);
    if sse.enabled {
        add((&sse.handler_prefix, sse.max_request_body_size), StreamKind::Sse, Dialect::CentrifugoUniJson);
    }
    if stream.enabled {
        add((&stream.handler_prefix, stream.max_request_body_size), StreamKind::Stream, Dialect::CentrifugoUniJson);
    }
    streams
}

fn mode(feed: &config::Feed) -> Mode {
    match feed.data {
        config::DataForm::Json => Mode::Json,
        config::DataForm::Text => Mode::Text,
    }
}

fn raw(feed: &config::Feed) -> (Dialect, Feed) {
    (Dialect::Raw(mode(feed)), Feed { event: feed.event.clone(), publish_to: publish_to(feed.publish_to) })
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
