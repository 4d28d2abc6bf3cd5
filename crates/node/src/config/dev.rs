//! The configuration of `jackfield --dev`: everything a newcomer tries works, and nobody else can reach it.

use std::time::Duration;

use super::{
    AppLink, Channel, Client, Config, DataForm, Driver, Feed, HttpApi, HttpServer, HttpStream, Namespace,
    NamespaceOptions, PublishTo, RawDialect, RawEndpoint, Rpc, RpcOptions, Sse, TcpDialect, TcpListener, UniHttpStream,
    UniSse, UniWebSocket, WebSocket,
};

/// The only address development mode listens on.
const LOOPBACK: &str = "127.0.0.1";

impl Config {
    /// What `--dev` starts from; a file, variables and flags come on top.
    pub(crate) fn dev() -> Self {
        Self {
            dev: true,
            http_server: HttpServer { address: LOOPBACK.to_owned(), ..HttpServer::default() },
            client: Client { allowed_origins: vec!["*".to_owned()], insecure: true, ..Client::default() },
            channel: Channel {
                without_namespace: everything(),
                namespaces: vec![namespace("room"), namespace("dev")],
                ..Channel::default()
            },
            rpc: Rpc {
                without_namespace: RpcOptions { proxy_enabled: true, ..RpcOptions::default() },
                ..Rpc::default()
            },
            websocket: WebSocket { compression: true, ..WebSocket::default() },
            sse: Sse { enabled: true, ..Sse::default() },
            http_stream: HttpStream { enabled: true, ..HttpStream::default() },
            uni_websocket: UniWebSocket { enabled: true, ..UniWebSocket::default() },
            uni_sse: UniSse { enabled: true, ..UniSse::default() },
            uni_http_stream: UniHttpStream { enabled: true, ..UniHttpStream::default() },
            raw: vec![RawEndpoint { feed: feed(), ..RawEndpoint::default() }, echo()],
            tcp: vec![
                listener("json", 8403, TcpDialect::CentrifugoJson, Feed::default()),
                listener("raw", 8404, TcpDialect::Raw, feed()),
            ],
            app_link: AppLink { driver: Driver::Embedded, ..AppLink::default() },
            http_api: HttpApi { insecure: true, ..HttpApi::default() },
            ..Self::default()
        }
    }
}

fn namespace(name: &str) -> Namespace {
    Namespace { name: name.to_owned(), options: everything() }
}

/// Every client may do everything.
fn everything() -> NamespaceOptions {
    NamespaceOptions {
        presence: true,
        join_leave: true,
        force_push_join_leave: true,
        history_size: 100,
        history_ttl: Duration::from_secs(300),
        allow_recovery: true,
        force_recovery: false,
        allow_positioning: true,
        force_positioning: false,
        allow_subscribe_for_client: true,
        allow_subscribe_for_anonymous: true,
        allow_publish_for_client: true,
        allow_publish_for_subscriber: true,
        allow_publish_for_anonymous: true,
        allow_presence_for_client: true,
        allow_presence_for_subscriber: true,
        allow_presence_for_anonymous: true,
        allow_history_for_client: true,
        allow_history_for_subscriber: true,
        allow_history_for_anonymous: true,
        publish_to: PublishTo::Channel,
        allowed_delta_types: vec!["fossil".to_owned()],
        allow_tags_filter: true,
        ..NamespaceOptions::default()
    }
}

/// Whoever speaks without a protocol hears the others in the channel `ws`.
fn feed() -> Feed {
    Feed { channel: "ws".to_owned(), event: "message".to_owned(), publish_to: PublishTo::Channel, data: DataForm::Text }
}

/// For conformance and latency tests.
fn echo() -> RawEndpoint {
    RawEndpoint { path: "/echo".to_owned(), dialect: RawDialect::Echo, ..RawEndpoint::default() }
}

fn listener(name: &str, port: u16, dialect: TcpDialect, feed: Feed) -> TcpListener {
    let (name, address) = (name.to_owned(), LOOPBACK.to_owned());
    TcpListener { name, address, port: Some(port), dialect, feed, ..TcpListener::default() }
}
