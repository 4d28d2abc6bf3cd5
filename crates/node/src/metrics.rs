//! The numbers that the node tells its operators.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jackfield_api::{Sample, Value};
use jackfield_cluster::Health;
use jackfield_hub::Hub;
use jackfield_hub::namespace::{Gauges, Options};
use jackfield_log::Inbox;
use jackfield_worker::Counters;

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

/// Reads the numbers of the link to the application.
pub(crate) fn link_samples(counters: &jackfield_bridge::Counters) -> Vec<Sample> {
    let counter = |number: &AtomicU64| Value::Counter(number.load(Ordering::Relaxed));
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
    let gauge = |number: &AtomicU64| Value::Gauge(number.load(Ordering::Relaxed) as f64);
    let sample = |name, help, value| Sample { name, help, labels: Vec::new(), value };
    vec![
        sample(
            "jackfield_link_commands_applied",
            "Commands of the application that were done.",
            counter(&counters.commands_applied),
        ),
        sample(
            "jackfield_link_commands_repeated",
            "Commands of the application that came again and were dropped.",
            counter(&counters.commands_repeated),
        ),
        sample(
            "jackfield_link_commands_buried",
            "Commands of the application that could not be done and went to the dead letters.",
            counter(&counters.commands_buried),
        ),
        sample("jackfield_link_events_sent", "Events that the queue has taken.", counter(&counters.events_sent)),
        sample(
            "jackfield_link_events_refused",
            "Messages and calls that the queue did not take; their clients were told.",
            counter(&counters.events_refused),
        ),
        sample(
            "jackfield_link_notices_waiting",
            "Notices that the queue does not have yet.",
            gauge(&counters.notices_waiting),
        ),
        sample("jackfield_link_notices_capacity", "Notices that may wait.", gauge(&counters.notice_capacity)),
        sample(
            "jackfield_link_notices_lost",
            "Notices that the application was not told, because more waited than may wait or the queue refused them.",
            counter(&counters.notices_lost),
        ),
        sample("jackfield_link_answers", "Answers of the application to calls.", counter(&counters.answers)),
        sample(
            "jackfield_link_answers_remembered",
            "Calls that were answered from memory, as the application allowed.",
            counter(&counters.answers_remembered),
        ),
        sample(
            "jackfield_link_answers_late",
            "Answers that came too late, twice, or for another life of the node.",
            counter(&counters.answers_late),
        ),
        sample("jackfield_link_answers_spoilt", "Answers that made no sense.", counter(&counters.answers_spoilt)),
        sample(
            "jackfield_link_client_answers",
            "Questions of the application that a client answered, of those that came by the queue.",
            counter(&counters.client_answers),
        ),
        sample(
            "jackfield_link_client_failures",
            "Questions of the application that no client answered, or with an error, of those that came by the queue.",
            counter(&counters.client_failures),
        ),
        sample(
            "jackfield_link_calls_timed_out",
            "Calls that the application did not answer in time.",
            counter(&counters.calls_timed_out),
        ),
    ]
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
        all.extend(counted.log.iter().flat_map(|log| log_samples(log)));
        all.extend(counted.link.iter().flat_map(|link| link_samples(link)));
        all.extend(counted.broker.iter().flat_map(|health| shared::samples(&hub, health)));
        all.extend(counted.connectors.samples());
        all
    })
}
