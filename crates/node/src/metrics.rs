//! The numbers that the node tells its operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jackfield_api::{Sample, Value};
use jackfield_cluster::Health;
use jackfield_hub::Hub;
use jackfield_hub::namespace::{Gauges, Options};
use jackfield_log::Inbox;
use jackfield_worker::Counters;

use crate::archive;
use crate::connectors::Connectors;
use crate::shared;

/// Reads all numbers of this moment.
pub(crate) fn samples(hub: &Hub, counters: &Counters) -> Vec<Sample> {
    let sample = |name, help, value| Sample { name, help, labels: Vec::new(), value };
    let count = |count: &jackfield_worker::Count| Value::Counter(count.get());
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
    let gauge = |number: u64| Value::Gauge(number as f64);
    vec![
        sample("jackfield_connections", "Clients that are connected.", gauge(hub.connections() as u64)),
        sample(
            "jackfield_client_calls",
            "Questions of the application that wait for a client's answer.",
            gauge(hub.inquiries() as u64),
        ),
        sample("jackfield_channels", "Channels that are in use.", gauge(hub.channels() as u64)),
        sample("jackfield_accepted", "Connections that were accepted.", count(&counters.accepted)),
        sample(
            "jackfield_refused",
            "Connections that were turned away because the server or their address had enough of them.",
            count(&counters.refused),
        ),
        sample(
            "jackfield_proxy_errors",
            "Connections that should have begun with a PROXY header of a trusted proxy, and did not.",
            count(&counters.proxy_errors),
        ),
        sample("jackfield_tls_handshakes", "TLS handshakes that were begun.", count(&counters.tls_handshakes)),
        sample("jackfield_tls_errors", "Connections that ended by an error of TLS.", count(&counters.tls_errors)),
        sample(
            "jackfield_deflated_frames",
            "Frames that were compressed; each serves all subscribers of its encoding.",
            count(&counters.deflated_frames),
        ),
        sample(
            "jackfield_uplinks",
            "Requests with what clients of SSE and HTTP streams say.",
            count(&counters.uplinks),
        ),
        sample("jackfield_handed_over", "Connections handed to the control plane.", count(&counters.handed_over)),
        sample(
            "jackfield_backlog_connections",
            "Connections for which something waits now because they read slowly.",
            gauge(counters.blocked.get()),
        ),
        sample("jackfield_slow", "Connections that were closed because they read too slowly.", count(&counters.slow)),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
fn seconds(millis: &AtomicU64) -> f64 {
    millis.load(Ordering::Relaxed) as f64 / 1000.0
}

/// Reads what slow readers make of the deliveries of each namespace.
pub(crate) fn delivery_samples(hub: &Hub) -> Vec<Sample> {
    let namespaces = hub.namespaces();
    let patterns = namespaces.patterns.iter().map(|(_, options)| options);
    let all: Vec<&Arc<Options>> = namespaces.without.iter().chain(namespaces.named.values()).chain(patterns).collect();
    let mut out = Vec::with_capacity(all.len() * 5);
    // All samples of one name stand together.
    let mut tell = |name, help, read: &dyn Fn(&Gauges) -> Value| {
        for options in &all {
            let labels = vec![("namespace", options.name.to_string())];
            out.push(Sample { name, help, labels, value: read(&options.gauges) });
        }
    };
    let counter = |number: &AtomicU64| Value::Counter(number.load(Ordering::Relaxed));
    tell(
        "jackfield_delivery_conflated",
        "Publications that a slow reader was not sent because a newer one of the same key took their place.",
        &|gauges| counter(&gauges.conflated),
    );
    tell(
        "jackfield_delivery_dropped",
        "Publications that a slow reader was not sent because its backlog was full.",
        &|gauges| counter(&gauges.dropped),
    );
    tell("jackfield_delivery_late", "Publications that waited for a slow reader and were sent.", &|gauges| {
        counter(&gauges.late)
    });
    tell(
        "jackfield_delivery_late_seconds",
        "How long the publications that waited for slow readers waited, together.",
        &|gauges| Value::Seconds(seconds(&gauges.late_millis)),
    );
    tell(
        "jackfield_delivery_stalest_seconds",
        "Age of the oldest publication that waits for a slow reader now.",
        &|gauges| Value::Gauge(seconds(&gauges.stalest_millis)),
    );
    out
}

/// Reads the numbers of the log.
pub(crate) fn log_samples(log: &Inbox) -> Vec<Sample> {
    let sample = |name, help, value| Sample { name, help, labels: Vec::new(), value };
    let counters = &log.counters;
    let counter = |number: &AtomicU64| Value::Counter(number.load(Ordering::Relaxed));
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
    let gauge = |number: u64| Value::Gauge(number as f64);
    vec![
        sample(
            "jackfield_log_publications",
            "Publications of durable channels that were written to the log.",
            counter(&counters.publications),
        ),
        sample("jackfield_log_syncs", "How often the disk made the log safe.", counter(&counters.syncs)),
        sample(
            "jackfield_log_failures",
            "Publications that could not be written to the log, and syncs that failed.",
            counter(&counters.failures),
        ),
        sample("jackfield_log_bytes", "Size of the log on the disk.", gauge(counters.bytes.load(Ordering::Relaxed))),
        sample("jackfield_log_queue", "Publications that wait for the log.", gauge(log.queue())),
    ]
}

/// How much lies in the queue, where it tells.
fn depth_samples(counters: &jackfield_bridge::Counters) -> Vec<Sample> {
    let Some(depth) = counters.depth() else { return Vec::new() };
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
    let gauge = |number: u64| Value::Gauge(number as f64);
    let sample = |name, help, value| Sample { name, help, labels: Vec::new(), value };
    let mut all = vec![
        sample("jackfield_queue_commands", "Commands that lie in the queue.", gauge(depth.commands)),
        sample("jackfield_queue_events", "Events that lie in the queue, unhandled.", gauge(depth.events)),
        sample("jackfield_queue_dead_letters", "Dead letters, of commands and of events.", gauge(depth.dead)),
    ];
    if let Some(oldest) = depth.oldest {
        let age = |age: Duration| Value::Gauge(age.as_secs_f64());
        all.extend([
            sample(
                "jackfield_queue_oldest_command_seconds",
                "Age of the oldest command in the queue; 0 without one.",
                age(oldest.command),
            ),
            sample(
                "jackfield_queue_oldest_event_seconds",
                "Age of the oldest event in the queue; 0 without one.",
                age(oldest.event),
            ),
        ]);
    }
    all
}

/// Reads the numbers of the link to the application.
pub(crate) fn link_samples(link: &jackfield_bridge::Counters) -> Vec<Sample> {
    let counters = [
        ("jackfield_link_commands_applied", "Commands of the application that were done.", &link.commands_applied),
        (
            "jackfield_link_commands_repeated",
            "Commands of the application that came again and were dropped.",
            &link.commands_repeated,
        ),
        (
            "jackfield_link_commands_buried",
            "Commands of the application that could not be done and went to the dead letters.",
            &link.commands_buried,
        ),
        ("jackfield_link_events_sent", "Events that the queue has taken.", &link.events_sent),
        (
            "jackfield_link_events_refused",
            "Messages and calls that the queue did not take; their clients were told.",
            &link.events_refused,
        ),
        (
            "jackfield_link_notices_lost",
            "Notices that the application was not told, because too many waited or the queue refused them.",
            &link.notices_lost,
        ),
        ("jackfield_link_answers", "Answers of the application to calls.", &link.answers),
        ("jackfield_link_answers_remembered", "Calls answered from memory, as allowed.", &link.answers_remembered),
        ("jackfield_link_answers_late", "Answers that came too late, twice, or for nobody.", &link.answers_late),
        ("jackfield_link_answers_spoilt", "Answers that made no sense.", &link.answers_spoilt),
        ("jackfield_link_calls_timed_out", "Calls that were not answered in time.", &link.calls_timed_out),
        ("jackfield_link_client_answers", "Questions by the queue that a client answered.", &link.client_answers),
        (
            "jackfield_link_client_failures",
            "Questions by the queue that no client answered, or with an error.",
            &link.client_failures,
        ),
    ];
    let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let sample = |name, help, value| Sample { name, help, labels: Vec::new(), value };
    let counted = counters.map(|(name, help, number)| sample(name, help, Value::Counter(read(number))));
    counted.into_iter().chain(failure_samples(link)).chain(link_levels(link)).chain(depth_samples(link)).collect()
}

/// What went wrong, by the reason.
fn failure_samples(link: &jackfield_bridge::Counters) -> Vec<Sample> {
    let sample = |name, help, (reason, number): (&str, u64)| {
        let labels = vec![("reason", reason.to_owned())];
        Sample { name, help, labels, value: Value::Counter(number) }
    };
    let commands = link.command_failures.read().map(|one| {
        sample("jackfield_link_command_failures", "Commands that were not done, told in a reply or buried.", one)
    });
    let events = link.event_failures.read().map(|one| {
        sample("jackfield_link_event_failures", "Events that the queue did not take, each try of a notice.", one)
    });
    commands.chain(events).collect()
}

/// How the link is just now.
fn link_levels(link: &jackfield_bridge::Counters) -> Vec<Sample> {
    let levels = [
        ("jackfield_link_notices_waiting", "Notices that the queue does not have yet.", &link.notices_waiting),
        ("jackfield_link_notices_capacity", "Notices that may wait.", &link.notice_capacity),
        ("jackfield_link_calls_waiting", "Calls over the queue that wait for the application.", &link.calls_waiting),
        (
            "jackfield_link_breaker_open",
            "1 while the queue does not take events and is tried now and then.",
            &link.breaker_open,
        ),
    ];
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
    let gauge = |number: &AtomicU64| Value::Gauge(number.load(Ordering::Relaxed) as f64);
    let sample = |(name, help, number)| Sample { name, help, labels: Vec::new(), value: gauge(number) };
    levels.map(sample).into_iter().collect()
}

/// What reads all numbers.
pub(crate) type Samples = Arc<dyn Fn() -> Vec<Sample> + Send + Sync>;

/// Who counts beside the hub.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) workers: Arc<Counters>,
    pub(crate) log: Option<Arc<Inbox>>,
    pub(crate) link: Option<Arc<jackfield_bridge::Counters>>,
    pub(crate) broker: Option<Arc<Health>>,
    pub(crate) connectors: Connectors,
}

/// The same as a function for the HTTP door.
pub(crate) fn source(hub: &Arc<Hub>, counted: Counted) -> Samples {
    let hub = Arc::clone(hub);
    Arc::new(move || {
        let mut all = samples(&hub, &counted.workers);
        all.extend(delivery_samples(&hub));
        all.extend(archive::samples(hub.documents()));
        all.extend(counted.log.iter().flat_map(|log| log_samples(log)));
        all.extend(counted.link.iter().flat_map(|link| link_samples(link)));
        all.extend(counted.broker.iter().flat_map(|health| shared::samples(&hub, health)));
        all.extend(counted.connectors.samples());
        all
    })
}
