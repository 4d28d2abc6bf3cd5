//! The rules of proxies: endpoints that can be asked, names that mean one of them, and a link where there is no endpoint.

use std::collections::BTreeMap;

use jackfield_bridge::proxy::Secret as Signing;
use jackfield_fetch::{HeaderName, HeaderValue, Url};

use super::fault::nearest;
use super::proxy::{Proxy, StatusTransform, is_address_header};
use super::rules::Faults;
use super::{Config, NamespaceOptions};

/// What an unnamed proxy is called in namespaces, and what the app link is.
pub(crate) const DEFAULT: &str = "default";
pub(crate) const APP: &str = "app";

/// Headers that speak of one connection or one message, and those that the server writes itself.
const OF_ONE_HOP: [&str; 10] = [
    "connection",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-",
    "proxy-",
];
const OWN: [&str; 2] = ["sec-websocket-", "webhook-"];

impl Config {
    /// The rules of everything that answers calls.
    pub(super) fn proxy_rules(&self, faults: &mut Faults) {
        let client = &self.client.proxy;
        for (name, switched) in [("connect", &client.connect), ("refresh", &client.refresh)] {
            let above = format!("client.proxy.{name}");
            endpoint(&above, &switched.proxy, name == "connect", faults);
            if switched.enabled && switched.proxy.endpoint.is_empty() {
                self.needs_app(&format!("{above}.enabled"), "is on", faults);
            }
        }
        endpoint("rpc.proxy", &self.rpc.proxy, false, faults);
        let channel = &self.channel.proxy;
        for (name, proxy) in
            [("subscribe", &channel.subscribe), ("publish", &channel.publish), ("sub_refresh", &channel.sub_refresh)]
        {
            endpoint(&format!("channel.proxy.{name}"), proxy, false, faults);
        }
        self.named_proxies(faults);
        self.methods(faults);
        self.channel_calls("channel.without_namespace", &self.channel.without_namespace, faults);
        for (index, namespace) in self.channel.namespaces.iter().enumerate() {
            self.channel_calls(&format!("channel.namespaces[{index}]"), &namespace.options, faults);
        }
    }

    fn named_proxies(&self, faults: &mut Faults) {
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, named) in self.proxies.iter().enumerate() {
            let above = format!("proxies[{index}]");
            let key = format!("{above}.name");
            faults.name(&key, &named.name);
            if [DEFAULT, APP].contains(&named.name.as_str()) {
                faults.add(&key, format!("{:?} has a meaning of its own; choose another name", named.name));
            } else if let Some(first) = names.insert(&named.name, index) {
                faults.add(&key, format!("{:?} is the name of proxies[{first}] too", named.name));
            }
            if named.proxy.endpoint.is_empty() {
                faults.add(
                    format!("{above}.endpoint"),
                    "is empty; write an address such as \"https://example.com/calls\"",
                );
            }
            endpoint(&above, &named.proxy, false, faults);
        }
    }

    /// The rules of `rpc`.
    fn methods(&self, faults: &mut Faults) {
        let rpc = &self.rpc;
        if rpc.namespace_boundary.is_empty() {
            faults.add("rpc.namespace_boundary", "is empty; write \":\"");
        }
        let without = &rpc.without_namespace;
        let is_asked = (without.proxy_enabled, without.proxy_name.as_str());
        self.asked("rpc.without_namespace.proxy", is_asked, &rpc.proxy, faults);
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, namespace) in rpc.namespaces.iter().enumerate() {
            let key = format!("rpc.namespaces[{index}].name");
            faults.name(&key, &namespace.name);
            if let Some(first) = names.insert(&namespace.name, index) {
                faults.add(&key, format!("{:?} is the name of rpc.namespaces[{first}] too", namespace.name));
            }
            let is_asked = (namespace.options.proxy_enabled, namespace.options.proxy_name.as_str());
            self.asked(&format!("rpc.namespaces[{index}].proxy"), is_asked, &rpc.proxy, faults);
        }
    }

    fn channel_calls(&self, above: &str, options: &NamespaceOptions, faults: &mut Faults) {
        let proxy = &self.channel.proxy;
        let calls = [
            ("subscribe", options.subscribe_proxy_enabled, &options.subscribe_proxy_name, &proxy.subscribe),
            ("publish", options.publish_proxy_enabled, &options.publish_proxy_name, &proxy.publish),
            ("sub_refresh", options.sub_refresh_proxy_enabled, &options.sub_refresh_proxy_name, &proxy.sub_refresh),
        ];
        for (kind, enabled, name, default) in calls {
            self.asked(&format!("{above}.{kind}_proxy"), (enabled, name), default, faults);
        }
    }

    /// A name that means nobody, and a link that is needed and not there.
    fn asked(&self, key: &str, (enabled, name): (bool, &str), default: &Proxy, faults: &mut Faults) {
        let name = if name.is_empty() { DEFAULT } else { name };
        let known = self.proxies.iter().map(|named| named.name.as_str()).chain([DEFAULT, APP]);
        if !known.clone().any(|known| known == name) {
            let meant = nearest(name, known).map_or_else(String::new, |meant| format!(" (did you mean \"{meant}\"?)"));
            let text = format!(
                "{name:?} is the name of no proxy{meant}; write that of one in [[proxies]], \"default\" or \"app\""
            );
            faults.add(format!("{key}_name"), text);
        } else if enabled && (name == APP || (name == DEFAULT && default.endpoint.is_empty())) {
            self.needs_app(&format!("{key}_enabled"), "is on", faults);
        }
    }
}

/// The rules of one proxy; `comes_in`: it is asked while the client's request is still there.
fn endpoint(above: &str, proxy: &Proxy, comes_in: bool, faults: &mut Faults) {
    let text = &proxy.endpoint;
    if text.starts_with("grpc://") {
        faults.add(
            format!("{above}.endpoint"),
            "is a gRPC endpoint, which is not spoken here; write the http:// or https:// address of one that takes the same \
             calls as JSON",
        );
    } else if !text.is_empty()
        && let Err(error) = Url::parse(text)
    {
        faults.add(format!("{above}.endpoint"), error.to_string());
    }
    faults.some_time(&format!("{above}.timeout"), proxy.timeout);
    faults.at_least_one(format!("{above}.max_in_flight"), proxy.max_in_flight);
    if !proxy.secret.is_empty()
        && let Err(error) = Signing::parse(proxy.secret.expose())
    {
        faults.add(format!("{above}.secret"), error.to_string());
    }
    for (index, name) in proxy.http_headers.iter().enumerate() {
        if is_address_header(name) {
            continue;
        }
        if let Some(text) = header_fault(name, comes_in && !proxy.endpoint.is_empty()) {
            faults.add(format!("{above}.http_headers[{index}]"), text);
        }
    }
    for (name, value) in &proxy.http.static_headers {
        let key = format!("{above}.http.static_headers");
        if HeaderName::try_from(name.as_str()).is_err() {
            faults.add(key, format!("{name:?} is no name of a header; it has letters, digits and -"));
        } else if HeaderValue::from_str(value.expose()).is_err() {
            faults.add(key, format!("the value of {name:?} holds a control character or none that HTTP carries"));
        }
    }
    let mut statuses: BTreeMap<usize, usize> = BTreeMap::new();
    for (index, transform) in proxy.http.status_to_code_transforms.iter().enumerate() {
        let key = format!("{above}.http.status_to_code_transforms[{index}]");
        if let Some(text) = transform_fault(transform) {
            faults.add(&key, text);
        } else if let Some(first) = statuses.insert(transform.status_code, index) {
            faults.add(&key, format!("status_code {} is that of the entry {first} too", transform.status_code));
        }
    }
}

/// What is wrong with a header that is to be told of a client's request.
fn header_fault(name: &str, is_kept: bool) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if !is_kept {
        return Some(format!(
            "{name:?} is not kept of a client's request; write \"X-Real-IP\" or \"X-Forwarded-For\", name it in \
             client.proxy.connect.http_headers beside an endpoint, or let clients send the rest in the data of their \
             connect command"
        ));
    }
    if HeaderName::try_from(name).is_err() {
        return Some(format!("{name:?} is no name of a header; it has letters, digits and -"));
    }
    let is_of_a_hop = OF_ONE_HOP.iter().chain(&OWN).any(|known| match known.ends_with('-') {
        true => lower.starts_with(known),
        false => lower == *known,
    });
    is_of_a_hop.then(|| format!("{name:?} is not the client's to say to the application; take it out"))
}

fn transform_fault(transform: &StatusTransform) -> Option<String> {
    let StatusTransform { status_code, to_error, to_disconnect } = transform;
    match (to_error.code, to_disconnect.code) {
        _ if !(201..=599).contains(status_code) => {
            Some(format!("status_code {status_code} is no status of a refusal; write one from 201 to 599"))
        }
        (0, 0) => Some("says nothing; write the code of to_error or of to_disconnect".to_owned()),
        (100..=1999, 0) | (0, 3000..=4999) => None,
        (code, 0) => {
            Some(format!("to_error.code {code} is no code of an error; the application's own are 400 to 1999"))
        }
        (0, code) => {
            Some(format!("to_disconnect.code {code} is no code of an end; the application's own are 4000 to 4999"))
        }
        _ => Some("has both to_error and to_disconnect; leave one out".to_owned()),
    }
}
