//! The tree of known keys: what a file, a variable or a flag may name, and what kind of value it takes.
//!
//! Each section's file lists its keys below its structs; tests hold the two against each other.

use super::{app, broker, channel, client, connectors, history, listeners, plain, process, proxy, streams};

/// One known key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// The last part of its path.
    pub(super) name: &'static str,
    /// What it takes.
    pub(super) kind: Kind,
    /// Whether the table that holds it makes no sense without it.
    pub(super) required: bool,
}

impl Key {
    /// A key that may be left out.
    pub(super) const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, required: false }
    }

    /// A key that must be given.
    pub(super) const fn required(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, required: true }
    }
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any of these words.
    Choices(&'static [&'static str]),
    /// A time with its unit.
    Duration,
    /// A whole number, 0 or more.
    Integer,
    /// A table of texts with names of the user's own.
    Pairs,
    /// A port number.
    Port,
    /// A text that is never shown.
    Secret,
    /// A table; the name of its struct, which only the docs need, and its keys.
    #[cfg_attr(not(test), expect(dead_code, reason = "the docs are made by a test"))]
    Section(&'static str, &'static [Key]),
    /// Any number of such tables.
    Sections(&'static str, &'static [Key]),
    /// Any text.
    Text,
    /// Any number of texts.
    Texts,
}

/// The top of the tree.
pub(super) const ROOT: &[Key] = &[
    Key::new("dev", Kind::Bool),
    Key::new("workers", Kind::Integer),
    Key::new("node", Kind::Section("Node", process::NODE)),
    Key::new("http_server", Kind::Section("HttpServer", listeners::HTTP_SERVER)),
    Key::new("client", Kind::Section("Client", client::KEYS)),
    Key::new("channel", Kind::Section("Channel", channel::KEYS)),
    Key::new("history", Kind::Section("History", history::KEYS)),
    Key::new("rpc", Kind::Section("Rpc", app::RPC)),
    Key::new("proxies", Kind::Sections("NamedProxy", proxy::NAMED.as_slice())),
    Key::new("websocket", Kind::Section("WebSocket", listeners::WEBSOCKET)),
    Key::new("sse", Kind::Section("Sse", streams::STREAM)),
    Key::new("http_stream", Kind::Section("HttpStream", streams::STREAM)),
    Key::new("emulation", Kind::Section("Emulation", streams::EMULATION)),
    Key::new("uni_websocket", Kind::Section("UniWebSocket", streams::UNI_WEBSOCKET)),
    Key::new("uni_sse", Kind::Section("UniSse", streams::STREAM)),
    Key::new("uni_http_stream", Kind::Section("UniHttpStream", streams::STREAM)),
    Key::new("yjs", Kind::Section("Yjs", streams::YJS)),
    Key::new("raw", Kind::Sections("RawEndpoint", plain::RAW)),
    Key::new("tcp", Kind::Sections("TcpListener", plain::TCP)),
    Key::new("app_link", Kind::Section("AppLink", app::APP_LINK)),
    Key::new("embedded", Kind::Section("Embedded", app::EMBEDDED)),
    Key::new("broker", Kind::Section("Broker", broker::KEYS)),
    Key::new("source", Kind::Sections("Source", connectors::SOURCE)),
    Key::new("sink", Kind::Sections("Sink", connectors::SINK)),
    Key::new("http_api", Kind::Section("HttpApi", listeners::HTTP_API)),
    Key::new("health", Kind::Section("Health", listeners::HEALTH)),
    Key::new("prometheus", Kind::Section("Prometheus", listeners::PROMETHEUS)),
    Key::new("sockets", Kind::Section("Sockets", process::SOCKETS)),
    Key::new("log", Kind::Section("Log", process::LOG)),
    Key::new("shutdown", Kind::Section("Shutdown", process::SHUTDOWN)),
];

/// The path of every key that takes a value, in the order of the tree; tables in lists are one value.
pub(super) fn paths() -> Vec<(String, Kind)> {
    let mut found = Vec::new();
    collect(ROOT, "", &mut found);
    found
}

fn collect(keys: &[Key], above: &str, found: &mut Vec<(String, Kind)>) {
    for key in keys {
        let path = join(above, key.name);
        match key.kind {
            Kind::Section(_, keys) => collect(keys, &path, found),
            kind => found.push((path, kind)),
        }
    }
}

/// A path and one more name.
pub(super) fn join(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

/// The environment variable that sets a key.
pub(super) fn variable(path: &str) -> String {
    format!("JACKFIELD_{}", path.replace('.', "_").to_uppercase())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::config::tls::Certificate;
    use crate::config::{
        Config, NamedProxy, RpcNamespace, Sink, Source, StatusTransform, TcpField, TcpMark, TcpMessage,
    };

    #[test]
    fn the_tree_and_the_structs_name_the_same_keys_in_the_same_places() {
        // What a list of tables holds is seen only where there is one.
        let mut config = Config::dev();
        config.http_server.tls.certificates.push(Certificate::default());
        config.http_server.internal_tls.certificates.push(Certificate::default());
        config.tcp.iter_mut().for_each(|tcp| tcp.tls.certificates.push(Certificate::default()));
        let message =
            TcpMessage { when: vec![TcpMark::default()], fields: vec![TcpField::default()], ..TcpMessage::default() };
        config.tcp.iter_mut().for_each(|tcp| tcp.messages.push(message.clone()));
        config.rpc.namespaces.push(RpcNamespace::default());
        config.proxies.push(NamedProxy::default());
        config.source.push(Source::default());
        config.sink.push(Sink::default());
        config.sink[0].headers.insert("x".to_owned(), "y".into());
        for proxy in [
            &mut config.client.proxy.connect.proxy,
            &mut config.client.proxy.refresh.proxy,
            &mut config.rpc.proxy,
            &mut config.channel.proxy.subscribe,
            &mut config.channel.proxy.publish,
            &mut config.channel.proxy.sub_refresh,
            &mut config.proxies[0].proxy,
        ] {
            proxy.http.static_headers.insert("x".to_owned(), "y".into());
            proxy.http.status_to_code_transforms.push(StatusTransform::default());
        }
        let structs = serde_json::to_value(config).unwrap();
        let mut known = BTreeSet::new();
        let mut written = BTreeSet::new();
        names(ROOT, "", &mut known);
        leaves(&structs, "", &mut written);
        assert_eq!(known, written);
    }

    #[test]
    fn each_variable_sets_one_key() {
        let paths = paths();
        let variables: BTreeSet<_> = paths.iter().map(|(path, _)| variable(path)).collect();
        assert_eq!(variables.len(), paths.len());
        assert!(variables.contains("JACKFIELD_CLIENT_TOKEN_HMAC_SECRET_KEY"));
    }

    fn names(keys: &[Key], above: &str, into: &mut BTreeSet<String>) {
        for key in keys {
            let path = join(above, key.name);
            match key.kind {
                Kind::Section(_, keys) | Kind::Sections(_, keys) => names(keys, &path, into),
                // The one header of the proxies above.
                Kind::Pairs => _ = into.insert(join(&path, "x")),
                _ => _ = into.insert(path),
            }
        }
    }

    fn leaves(value: &Value, above: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(table) => {
                for (name, value) in table {
                    leaves(value, &join(above, name), into);
                }
            }
            Value::Array(list) if list.iter().any(Value::is_object) => {
                for value in list {
                    leaves(value, above, into);
                }
            }
            _ => _ = into.insert(above.to_owned()),
        }
    }
}
