//! Which way each call goes to the application: over the link, over HTTP, or nowhere.

use std::collections::HashMap;

use jackfield_hub::Namespaces;
use jackfield_model::app::{Event, EventKind};
use jackfield_model::{ClientError, channel};
use tokio::time::Duration;

/// What carries a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Carrier {
    /// The queue.
    Link,
    /// The proxy at this place in `BridgeOptions::proxies`.
    Proxy(usize),
}

/// A way, and the time that the application has on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Way {
    /// What carries the call.
    pub by: Carrier,
    /// The time for an answer. A call that has less left by its own deadline has that.
    pub timeout: Duration,
}

/// Ways by namespace, of channels or of methods.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ways {
    /// Of names without a namespace.
    pub without: Option<Way>,
    /// By namespace.
    pub named: HashMap<String, Way>,
}

impl Ways {
    fn of(&self, namespace: &str) -> Option<Way> {
        if namespace.is_empty() { self.without } else { self.named.get(namespace).copied() }
    }
}

/// The table of all ways. A kind that is not in it is not asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Routes {
    /// Clients without a token.
    pub connect: Option<Way>,
    /// Connections whose time is up.
    pub refresh: Option<Way>,
    /// Methods.
    pub rpc: Ways,
    /// What parts a method's namespace from the rest.
    pub rpc_boundary: String,
    /// Clients that want to come into a channel.
    pub subscribe: Ways,
    /// Clients that want to publish.
    pub publish: Ways,
    /// Subscriptions whose time is up.
    pub sub_refresh: Ways,
}

impl Routes {
    /// The way of a call.
    pub(crate) fn way(&self, event: &Event, namespaces: &Namespaces) -> Option<Way> {
        let of_channel = |ways: &Ways| {
            let options = namespaces.of(event.channel.as_deref().unwrap_or_default())?;
            ways.of(&options.name)
        };
        match event.kind {
            EventKind::Connect => self.connect,
            EventKind::Publish => of_channel(&self.publish),
            EventKind::Refresh => self.refresh,
            EventKind::Rpc => self.rpc.of(channel::namespace(&event.name, &self.rpc_boundary, "")),
            EventKind::SubRefresh => of_channel(&self.sub_refresh),
            EventKind::Subscribe => of_channel(&self.subscribe),
            EventKind::Disconnect
            | EventKind::Message
            | EventKind::NodeLost
            | EventKind::NoticesLost
            | EventKind::Occupied
            | EventKind::Undelivered
            | EventKind::Unsubscribe
            | EventKind::Vacated => None,
        }
    }
}

/// What a client hears whose call has no way.
pub(crate) fn nowhere(kind: EventKind) -> ClientError {
    if kind == EventKind::Rpc { ClientError::METHOD_NOT_FOUND } else { ClientError::NOT_AVAILABLE }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jackfield_hub::Options;
    use jackfield_model::app::Origin;
    use jackfield_model::{Payload, Uuid};

    use super::*;

    fn event(kind: EventKind, channel: &str, name: &str) -> Event {
        Event {
            id: Uuid::nil(),
            kind,
            origin: Origin::default(),
            channel: (!channel.is_empty()).then(|| Arc::from(channel)),
            name: name.to_owned(),
            data: Payload::default(),
            seq: 1,
            time: 0,
            deadline: Some(1),
            hello: None,
        }
    }

    fn way(nth: usize) -> Way {
        Way { by: Carrier::Proxy(nth), timeout: Duration::from_secs(nth as u64) }
    }

    fn ways(without: Option<usize>, named: &[(&str, usize)]) -> Ways {
        let named = named.iter().map(|(name, nth)| ((*name).to_owned(), way(*nth))).collect();
        Ways { without: without.map(way), named }
    }

    #[test]
    fn each_call_has_its_own_way() {
        let routes = Routes {
            connect: Some(way(1)),
            refresh: Some(way(2)),
            rpc: ways(Some(3), &[("rooms", 4)]),
            rpc_boundary: ":".to_owned(),
            subscribe: ways(None, &[("room", 5)]),
            publish: ways(Some(6), &[]),
            sub_refresh: ways(None, &[("room", 7)]),
        };
        let mut namespaces = Namespaces::default();
        let room = Options { name: "room".into(), ..Options::default() };
        namespaces.named.insert("room".to_owned(), Arc::new(room));
        let found = |kind, channel, name| routes.way(&event(kind, channel, name), &namespaces);
        assert_eq!(found(EventKind::Connect, "", ""), Some(way(1)));
        assert_eq!(found(EventKind::Refresh, "", ""), Some(way(2)));
        assert_eq!(found(EventKind::Rpc, "", "rename"), Some(way(3)));
        assert_eq!(found(EventKind::Rpc, "", "rooms:rename"), Some(way(4)));
        assert_eq!(found(EventKind::Rpc, "", "users:rename"), None);
        assert_eq!(found(EventKind::Subscribe, "room:1", ""), Some(way(5)));
        assert_eq!(found(EventKind::Subscribe, "$room:1", ""), Some(way(5)));
        assert_eq!(found(EventKind::Subscribe, "news", ""), None);
        assert_eq!(found(EventKind::Publish, "news", ""), Some(way(6)));
        assert_eq!(found(EventKind::Publish, "room:1", ""), None);
        assert_eq!(found(EventKind::Publish, "other:1", ""), None, "no such namespace");
        assert_eq!(found(EventKind::SubRefresh, "room:1", ""), Some(way(7)));
        assert_eq!(found(EventKind::Message, "room:1", ""), None);
        assert_eq!(Routes::default().way(&event(EventKind::Connect, "", ""), &namespaces), None);
    }
}
