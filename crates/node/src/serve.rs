//! `jackfield serve`: starts every part, says where it is, and ends every part in order.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use jackfield_api::{Handover, Metrics, Ready};
use jackfield_bridge::outcome::Node;
use jackfield_bridge::{Bridge, BridgeOptions, Door, Queue};
use jackfield_brokers::embedded;
use jackfield_cluster::{Cluster, Health};
use jackfield_hub::Hub;
use jackfield_model::Disconnect;
use jackfield_worker::{Counters, Crew, HandOver, Listener, Plan, Seat};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::activation::Passed;
use crate::archive::Archive;
use crate::calls::Calls;
use crate::certificates::Certificates;
use crate::cli::say;
use crate::config::{Config, Driver, ErrorMode, LogFormat, LogLevel, RawDialect};
use crate::connectors::{Connectors, Running};
use crate::doors::{self, Beside};
use crate::history::History;
use crate::identity::Identity;
use crate::metrics::{Counted, Samples};
use crate::namespaces::namespaces;
use crate::shutdown::Signals;
use crate::{assemble, history, metrics, shared};

/// Files that the server needs besides its connections: listeners, queues, the HTTP API.
const RESERVED_FILES: u64 = 256;
/// How often to look how much lies in the application's queue.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Notices that may wait for the application's queue, at least.
const LEAST_NOTICES: usize = 65_536;

/// Runs the server until it is told to end.
pub(crate) fn serve(config: &Config, warnings: &[String]) -> anyhow::Result<()> {
    log(config);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if config.dev && !config.client.token.has_keys() {
        tracing::warn!(
            "tokens are not read and every client is anonymous until client.token.hmac_secret_key is set; for Django `manage.py jackfield key` prints it"
        );
    }
    let node = node_id(config);
    let workers = worker_count(config);
    let seats = (0..workers).map(|_| Seat::new()).collect::<Result<Vec<_>, _>>().context("open an epoll instance")?;
    let mailboxes = seats.iter().map(Seat::mailbox).collect();
    let seed = Uuid::new_v4().as_u64_pair().0;
    let calls = Calls::open(config)?;
    let connectors = Connectors::open(config, &node)?;
    let heard = (namespaces(config, &calls.routes), connectors.tap());
    let (hub, history) = history::hub(config, heard, mailboxes, seed)?;
    let runtime = control_plane()?;
    let cluster = shared::join(config, &hub, &node, runtime.handle())?;
    let health = cluster.as_ref().map(Cluster::health);
    let (signals, hangup) = runtime.block_on(async { Signals::listen() }).context("listen for signals")?;
    let mut passed = Passed::from_environment()?;
    let certificates = Certificates::open(config, runtime.handle())?;
    let mut identity = Identity::open(config)?;
    advise(config);
    let counters = Arc::new(Counters::default());
    let about = about(config, &node);
    let inbox = history.as_ref().map(|history| Arc::clone(&history.inbox));
    let settings = Arc::new(assemble::settings(config, (&calls, &identity), node.as_str().into()));
    let connection_limit = connection_limit(config);
    let asked = calls.rpc_timeout();
    let (door, bridge) = link(config, (calls, connection_limit), (&hub, &runtime), &about)?;
    let archive =
        asked.filter(|_| door.is_open()).map(|timeout| Archive::open(config, &hub, (&door, timeout), &runtime));
    let counted = Counted {
        workers: Arc::clone(&counters),
        log: inbox,
        link: bridge.as_ref().map(Bridge::counters),
        broker: health.clone(),
        connectors: connectors.clone(),
    };
    let samples = metrics::source(&hub, counted);
    let router = router(config, (&hub, samples, health), &about);
    let hand_over = config.http_server.api_on_public_port.then(|| {
        let handover = Handover::new(router.clone(), runtime.handle().clone());
        HandOver(Arc::new(move |handed| handover.take_handed(handed)))
    });
    let api = internal(config, router, &runtime, (&certificates, &mut passed))?;
    let beside = Beside {
        node: node.as_str().into(),
        certificates: &certificates,
        hand_over: hand_over.clone(),
        passed: &mut passed,
    };
    let listeners = doors::listeners(config, workers, beside)?;
    passed.all_taken()?;
    announce(config, &listeners, workers);
    let plan = Plan {
        settings,
        hub: Arc::clone(&hub),
        door,
        backlog_bytes: config.client.queue_max_size,
        handshake_ticks: assemble::ticks(config.http_server.handshake_timeout),
        connection_limit,
        address_limit: u32::try_from(config.client.connections_per_address).unwrap_or(u32::MAX),
        trusted: config.client.trusted_networks().into(),
        compression: assemble::compression(config),
        declared: doors::declared(config),
        hand_over,
        counters,
        seed,
    };
    let crew = Crew::start(seats, listeners, &plan).context("start the workers")?;
    let running = connectors.start(&hub, &runtime)?;
    runtime.spawn(sweep(Arc::clone(&hub)));
    runtime.spawn(certificates.watch(hangup));
    identity.follow(runtime.handle());

    let signal = runtime.block_on(signals.end());
    tracing::info!(signal, connections = hub.connections(), "the server goes down");
    hub.shut_down(&Disconnect::SHUTDOWN);
    crew.join();
    if let Some(archive) = archive {
        // Everybody has left their documents; what they wrote last goes out before the way to the application is closed.
        runtime.block_on(archive.close(config.shutdown.timeout));
    }
    end(config, &runtime, (running, bridge, cluster, api), history);
    runtime.shutdown_timeout(Duration::from_secs(1));
    tracing::info!("the server has ended");
    Ok(())
}

/// Ends what publishes, then what keeps and carries off what was published.
fn end(
    config: &Config,
    runtime: &Runtime,
    (running, bridge, cluster, api): (Running, Option<Bridge>, Option<Cluster>, Option<JoinHandle<()>>),
    history: Option<History>,
) {
    let grace = config.shutdown.timeout;
    let sending = runtime.block_on(running.stop_reading(grace));
    if let Some(bridge) = bridge {
        runtime.block_on(bridge.stop(grace));
    }
    if let Some(cluster) = cluster {
        runtime.block_on(cluster.stop());
    }
    if let Some(api) = api {
        api.abort();
    }
    // Last of those who publish is the internal port, so what they have published is taken by now.
    if let Some(history) = history {
        history.stop();
    }
    // What the log has shown last goes out too.
    if let Some(sending) = sending {
        runtime.block_on(sending.stop(grace));
    }
}

/// The runtime of everything that is not a client's socket.
fn control_plane() -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("control").enable_all();
    builder.build().context("start the control plane")
}

fn log(config: &Config) {
    let level = match config.log.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
        LogLevel::None => "off",
    };
    // Libraries below speak only when something is wrong; of lost connections the drivers tell.
    let filter = format!("warn,jackfield={level},lapin=off,async_nats=off,{}", if level == "off" { "off" } else { "" });
    let filter = tracing_subscriber::EnvFilter::new(filter.trim_end_matches(','));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let done = match config.log.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(is_terminal).try_init(),
    };
    // A second subscriber in one process happens in tests only.
    drop(done);
}

/// What is told to who asks for the node.
fn about(config: &Config, node: &str) -> Node {
    let name = if config.node.name.is_empty() { node } else { &config.node.name };
    Node { name: name.to_owned(), uid: node.to_owned(), started: Instant::now() }
}

fn node_id(config: &Config) -> String {
    let id = Uuid::new_v4().simple().to_string();
    if config.node.name.is_empty() {
        format!("node-{}", &id[..12])
    } else {
        format!("{}-{}", config.node.name, &id[..12])
    }
}

fn worker_count(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // One bit per worker in the hub's table of who cares.
    if config.workers == 0 { cores.min(64) } else { config.workers.min(64) }
}

fn connection_limit(config: &Config) -> usize {
    let files = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => files,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files could not be raised");
            1024
        }
    };
    let room = usize::try_from(files.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX).max(16);
    let limit = if config.client.connection_limit == 0 { room } else { config.client.connection_limit };
    if limit > room {
        tracing::warn!(
            files,
            limit,
            "client.connection_limit is above what the limit of open files allows: raise nofile"
        );
    }
    tracing::info!(connections = limit.min(room), "room for connections");
    limit.min(room)
}

/// Says where the system allows less than the configuration asks for.
fn advise(config: &Config) {
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
    let allowed = allowed.and_then(|text| text.trim().parse::<usize>().ok());
    if let Some(allowed) = allowed.filter(|allowed| *allowed < config.sockets.backlog) {
        tracing::warn!(
            allowed,
            wanted = config.sockets.backlog,
            "the system lets fewer connections wait to be accepted than sockets.backlog: a rush of clients may see timeouts; \
             raise it with `sysctl -w net.core.somaxconn={}`",
            config.sockets.backlog
        );
    }
}

/// What is answered by HTTP to applications and operators.
fn router(
    config: &Config,
    (hub, samples, health): (&Arc<Hub>, Samples, Option<Arc<Health>>),
    node: &Node,
) -> axum::Router {
    let metrics =
        config.prometheus.enabled.then(|| Metrics { path: config.prometheus.handler_prefix.clone(), samples });
    let options = jackfield_api::ApiOptions {
        commands: !config.http_api.disabled,
        key: config.http_api.key.expose().to_owned(),
        insecure: config.http_api.insecure,
        prefix: "/api".to_owned(),
        error_mode: match config.http_api.error_mode {
            ErrorMode::Body => jackfield_api::ErrorMode::Body,
            ErrorMode::Transport => jackfield_api::ErrorMode::Transport,
        },
        health: config.health.enabled,
        ready: Ready(Arc::new(move || health.as_ref().is_none_or(|health| health.is_ready()))),
        metrics,
        node: node.clone(),
    };
    jackfield_api::router(Arc::clone(hub), options)
}

/// The internal port: server API, health and metrics.
fn internal(
    config: &Config,
    router: axum::Router,
    runtime: &Runtime,
    (certificates, passed): (&Certificates, &mut Passed),
) -> anyhow::Result<Option<JoinHandle<()>>> {
    if config.http_api.disabled && !config.prometheus.enabled {
        return Ok(None);
    }
    let at = assemble::address(&config.http_server.internal_address, config.http_server.internal_port)?;
    let listener = match passed.take("internal") {
        Some(socket) => {
            socket.set_nonblocking(true).context("take over the socket \"internal\"")?;
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(socket).context("take over the socket \"internal\"")?
        }
        None => runtime.block_on(tokio::net::TcpListener::bind(at)).with_context(|| {
            format!(
                "open the internal port {at} (http_server.internal_port): another program may have it, set another port"
            )
        })?,
    };
    let tls = certificates.internal.clone();
    let tls = tls.map(|keeper| jackfield_api::Tls { keeper, also_plain: config.http_server.internal_tls.also_plain });
    Ok(Some(runtime.spawn(jackfield_api::serve(listener, router, tls, std::future::pending()))))
}

/// The way to the application.
fn link(
    config: &Config,
    (calls, connections): (Calls, usize),
    (hub, runtime): (&Arc<Hub>, &Runtime),
    node: &Node,
) -> anyhow::Result<(Door, Option<Bridge>)> {
    let link = &config.app_link;
    let options = assemble::queue_options(config, &node.uid);
    let guard = runtime.enter();
    let queue: Option<Arc<dyn Queue>> = match link.driver {
        Driver::None if calls.proxies.is_empty() => return Ok((Door::closed(), None)),
        Driver::None => None,
        Driver::Embedded => {
            let at = assemble::address(&config.embedded.address, config.embedded.port)?;
            let (queue, listener) =
                embedded::open(options, Some(at)).context("open the embedded queue (embedded.port)")?;
            if let Some(listener) = listener {
                runtime.spawn(listener.run());
            }
            Some(queue)
        }
        Driver::Nats => Some(jackfield_brokers::open("nats", link.url.expose(), options).context("open app_link")?),
        Driver::Rabbitmq => {
            Some(jackfield_brokers::open("rabbitmq", link.url.expose(), options).context("open app_link")?)
        }
        Driver::Redis => Some(jackfield_brokers::open("redis", link.url.expose(), options).context("open app_link")?),
    };
    drop(guard);
    let options = BridgeOptions {
        node: node.clone(),
        max_payload_bytes: link.max_payload_bytes,
        herald: assemble::herald(config),
        look_every: config.prometheus.enabled.then_some(LOOK_EVERY),
        routes: calls.routes,
        proxies: calls.proxies,
        // Whatever the queue does, every connection that is there has a place for the word of its end.
        notice_capacity: connections.max(LEAST_NOTICES),
        ..BridgeOptions::default()
    };
    let (door, bridge) = Bridge::start(queue, Arc::clone(hub), options, runtime.handle());
    Ok((door, Some(bridge)))
}

/// Forgets old history, one part of the directory at a time.
async fn sweep(hub: Arc<Hub>) {
    let mut every = tokio::time::interval(Duration::from_millis(250));
    for round in 0.. {
        every.tick().await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        hub.sweep(round, u64::try_from(now).unwrap_or(u64::MAX));
    }
}

/// Says where everything is, in words that can be copied.
fn announce(config: &Config, listeners: &[Listener], workers: usize) {
    let Some(public) = listeners.first().map(Listener::address) else { return };
    let reach = if public.ip().is_unspecified() { format!("127.0.0.1:{}", public.port()) } else { public.to_string() };
    let mut lines = vec![format!("Jackfield {} with {workers} worker(s)", env!("CARGO_PKG_VERSION"))];
    let mut line = |what: &str, where_: String| lines.push(format!("  {what:<18}{where_}"));
    if config.dev {
        line(
            "open this page",
            format!("{}://{reach}/", if config.http_server.speaks_tls() { "https" } else { "http" }),
        );
    }
    let is_tls = config.http_server.speaks_tls();
    let (ws, http) = if is_tls { ("wss", "https") } else { ("ws", "http") };
    if !config.websocket.disabled {
        line("WebSocket", format!("{ws}://{reach}{}", config.websocket.handler_prefix));
    }
    for (what, enabled, path) in [
        ("SSE", config.sse.enabled, &config.sse.handler_prefix),
        ("HTTP stream", config.http_stream.enabled, &config.http_stream.handler_prefix),
        ("one-way WebSocket", config.uni_websocket.enabled, &config.uni_websocket.handler_prefix),
        ("one-way SSE", config.uni_sse.enabled, &config.uni_sse.handler_prefix),
        ("one-way stream", config.uni_http_stream.enabled, &config.uni_http_stream.handler_prefix),
        ("documents (Yjs)", config.yjs.enabled, &config.yjs.handler_prefix),
    ] {
        if enabled {
            let scheme = if what.ends_with("WebSocket") || what.ends_with("(Yjs)") { ws } else { http };
            line(what, format!("{scheme}://{reach}{path}"));
        }
    }
    for endpoint in &config.raw {
        let what = if endpoint.dialect == RawDialect::Echo { "echo WebSocket" } else { "raw WebSocket" };
        line(what, format!("{ws}://{reach}{}", endpoint.path));
    }
    for tcp in config.tcp.iter().filter(|tcp| tcp.on_public_port) {
        line("TCP", format!("{reach} ({}, beside HTTP)", tcp.name));
    }
    for (tcp, listener) in config.tcp.iter().filter(|tcp| !tcp.on_public_port).zip(listeners.iter().skip(1)) {
        let what = match (&*tcp.framing, tcp.tls.enabled) {
            ("lines", false) => "TCP lines",
            ("lines", true) => "TLS lines",
            ("varint", false) => "TCP varint",
            ("varint", true) => "TLS varint",
            (_, false) => "TCP binary",
            (_, true) => "TLS binary",
        };
        line(what, format!("{} ({})", listener.address(), tcp.name));
    }
    if !config.http_api.disabled {
        let (address, port) = (&config.http_server.internal_address, config.http_server.internal_port);
        let scheme = if config.http_server.internal_tls.enabled { "https" } else { "http" };
        line("server API", format!("{scheme}://{address}:{port}/api"));
    }
    match config.app_link.driver {
        Driver::None => line("application", "no queue (app_link.driver is \"none\")".to_owned()),
        Driver::Embedded => {
            line(
                "application",
                format!("embedded queue at redis://{}:{}", config.embedded.address, config.embedded.port),
            );
        }
        Driver::Nats => line("application", "NATS".to_owned()),
        Driver::Rabbitmq => line("application", "RabbitMQ".to_owned()),
        Driver::Redis => line("application", "Redis".to_owned()),
    }
    say(&lines.join("\n"));
}
