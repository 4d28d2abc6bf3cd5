//! A hub with channels that keep what they get, and the wishes that most tests have in common.

use std::sync::Arc;
use std::time::Duration;

use jackfield_connectors::{Form, Reading, Source, SourceKind, SourceOptions, Template};
use jackfield_hub::namespace::{Namespaces, Options};
use jackfield_hub::{Hub, Publishing, Tap};
use jackfield_model::{Payload, Publication};
use tokio::runtime::Handle;

const HOUR: u64 = 3_600_000;
/// A busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(90);

/// Channels in `kept:` have a history, those in `plain:` nothing.
pub(crate) fn hub(tap: Option<Arc<dyn Tap>>) -> Arc<Hub> {
    let kept = Options { history_size: 1_000_000, history_ttl: HOUR, ..Options::default() };
    let named = [("kept".to_owned(), Arc::new(kept)), ("plain".to_owned(), Arc::default())].into_iter().collect();
    let mut hub = Hub::new(Namespaces { named, without: None, ..Namespaces::default() }, Vec::new(), 1 << 30, 7);
    if let Some(tap) = tap {
        hub.set_tap(tap);
    }
    Arc::new(hub)
}

pub(crate) fn source(name: &str, kind: SourceKind, channel: &str) -> SourceOptions {
    SourceOptions {
        name: name.to_owned(),
        kind,
        channel: Template::parse(channel).unwrap(),
        key: None,
        form: Form::Auto,
        idempotency: false,
        max_bytes: 1 << 20,
    }
}

pub(crate) fn read(sources: &[Source], hub: &Arc<Hub>) -> Reading {
    Reading::start(sources, hub, &Handle::current())
}

pub(crate) fn publish(hub: &Hub, channel: &str, data: &str) {
    let publishing = Publishing { data: Payload::json(data.to_owned()), ..Publishing::default() };
    hub.publish_and_forget(channel, publishing, 1).unwrap();
}

/// All that a channel has kept.
pub(crate) fn kept(hub: &Hub, channel: &str) -> Vec<Arc<Publication>> {
    hub.history(channel, -1, (None, None), false, 0).unwrap().publications
}

/// The same as texts.
pub(crate) fn texts(hub: &Hub, channel: &str) -> Vec<String> {
    let text = |publication: &Arc<Publication>| String::from_utf8_lossy(&publication.data.bytes).into_owned();
    kept(hub, channel).iter().map(text).collect()
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "no sign of {what}");
}
