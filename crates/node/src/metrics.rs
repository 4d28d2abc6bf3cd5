//! The numbers that the node tells its operators.

use std::sync::Arc;

use jackfield_api::{Sample, Value};
use jackfield_hub::Hub;
use jackfield_worker::Counters;

/// Reads all numbers of this moment.
pub(crate) fn samples(hub: &Hub, counters: &Counters) -> Vec<Sample> {
    let sample = |name, help, value| Sample { name, help, labels: Vec::new(), value };
    let count = |count: &jackfield_worker::Count| Value::Counter(count.get());
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
    let gauge = |number: usize| Value::Gauge(number as f64);
    vec![
        sample("jackfield_connections", "Clients that are connected.", gauge(hub.connections())),
        sample("jackfield_channels", "Channels that are in use.", gauge(hub.channels())),
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
        sample("jackfield_slow", "Connections that were closed because they read too slowly.", count(&counters.slow)),
    ]
}

/// The same as a function for the HTTP door.
pub(crate) fn source(hub: &Arc<Hub>, counters: &Arc<Counters>) -> Arc<dyn Fn() -> Vec<Sample> + Send + Sync> {
    let (hub, counters) = (Arc::clone(hub), Arc::clone(counters));
    Arc::new(move || samples(&hub, &counters))
}
