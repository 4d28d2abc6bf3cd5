//! Restoring: what the log knows becomes what the hub knows, before the first connection.

use std::collections::BTreeMap;
use std::sync::Arc;

use jackfield_hub::{Hub, Namespaces, RestoredValue};
use jackfield_model::{Position, Publication};

use crate::opening::Restored;
use crate::record::{Kept, Retention, Version};

/// What the namespaces say about a channel's durable history.
#[must_use]
pub fn rules(namespaces: &Namespaces, channel: &str) -> Option<Retention> {
    let options = namespaces.of(channel).filter(|options| options.durable && options.has_history())?;
    Some(Retention::of(options))
}

/// Sets all channels up as the log knows them.
pub fn restore(hub: &Hub, channels: Vec<Restored>) {
    for channel in channels {
        let values = values(&channel);
        let restored = jackfield_hub::Restored {
            position: Position { offset: channel.top, epoch: channel.epoch },
            touched: channel.touched,
            version: pair(channel.version.as_ref()),
            publications: channel.publications.into_iter().map(|kept| kept.publication).collect(),
            values,
        };
        hub.restore(&channel.channel, restored);
    }
}

/// The latest value of every key.
fn values(channel: &Restored) -> Vec<RestoredValue> {
    let mut latest: BTreeMap<Arc<str>, &Kept> = BTreeMap::new();
    for kept in channel.values.iter().chain(&channel.publications) {
        let key = kept.key();
        if key.is_removed {
            latest.remove(&key.name);
        } else {
            latest.insert(key.name, kept);
        }
    }
    let value = |kept: &Kept| {
        let publication = match &kept.value {
            Some(data) => Arc::new(Publication { data: data.clone(), ..(*kept.publication).clone() }),
            None => Arc::clone(&kept.publication),
        };
        RestoredValue { publication, version: pair(kept.version.as_ref()) }
    };
    latest.into_values().map(value).collect()
}

fn pair(version: Option<&Version>) -> (u64, Arc<str>) {
    version.map_or_else(|| (0, "".into()), |version| (version.number, Arc::clone(&version.epoch)))
}
