//! The rules of the doors: addresses, ports and paths that must not meet, and doors that must not stand open.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::rules::Faults;
use super::template::{Template, Variable};
use super::{Config, Driver, Feed, PublishTo, TcpDialect};

/// Where health is asked on.
const HEALTH_PATH: &str = "/health";

/// One address and port the server listens on.
#[derive(Debug)]
struct Door<'a> {
    address_key: String,
    port_key: String,
    address: &'a str,
    port: u16,
}

/// The IP address that an `address` means; the empty one means all interfaces.
pub(crate) fn ip_address(address: &str) -> Option<IpAddr> {
    match address {
        "" => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => address.parse().ok(),
    }
}

/// Whether only this machine reaches an address.
pub(super) fn is_loopback(address: &str) -> bool {
    ip_address(address).is_some_and(|address| address.to_canonical().is_loopback())
}

impl Config {
    /// The rules of ports, paths, the server API and raw clients.
    pub(super) fn door_rules(&self, faults: &mut Faults) {
        self.ports(faults);
        self.paths(faults);
        self.feeds(faults);
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, listener) in self.tcp.iter().enumerate() {
            let key = format!("tcp[{index}].name");
            faults.name(&key, &listener.name);
            if let Some(first) = names.get(listener.name.as_str()) {
                faults.add(key, format!("{:?} is the name of tcp[{first}] too", listener.name));
            } else {
                names.insert(&listener.name, index);
            }
        }
        let api = &self.http_api;
        let address = &self.http_server.internal_address;
        if !api.disabled && api.key.is_empty() && !api.insecure && !is_loopback(address) {
            faults.add(
                "http_api.key",
                format!(
                    "is empty while http_server.internal_address is {address:?}: anyone could command the server; \
                     set http_api.key, or http_server.internal_address = \"127.0.0.1\", or http_api.disabled = true"
                ),
            );
        }
    }

    fn doors(&self) -> Vec<Door<'_>> {
        let http = &self.http_server;
        let door = |section: &str, prefix: &str, address, port| Door {
            address_key: format!("{section}.{prefix}address"),
            port_key: format!("{section}.{prefix}port"),
            address,
            port,
        };
        let mut doors = vec![
            door("http_server", "", http.address.as_str(), http.port),
            door("http_server", "internal_", http.internal_address.as_str(), http.internal_port),
        ];
        if self.app_link.driver == Driver::Embedded {
            doors.push(door("embedded", "", &self.embedded.address, self.embedded.port));
        }
        for (index, listener) in self.tcp.iter().enumerate() {
            doors.push(door(&format!("tcp[{index}]"), "", &listener.address, listener.port));
        }
        doors
    }

    fn ports(&self, faults: &mut Faults) {
        let doors = self.doors();
        for (index, door) in doors.iter().enumerate() {
            let Some(address) = ip_address(door.address) else {
                let text = "is no IP address; write one such as \"127.0.0.1\" or \"::\", or \"\" for all interfaces";
                faults.add(&door.address_key, format!("{:?} {text}", door.address));
                continue;
            };
            if self.dev && !is_loopback(door.address) {
                faults.add(
                    &door.address_key,
                    format!(
                        "{:?} is not loopback, and development mode lets everyone in; \
                         write \"127.0.0.1\" or leave development mode",
                        door.address
                    ),
                );
            } else if door.address_key == "embedded.address" && !is_loopback(door.address) {
                faults.add(
                    &door.address_key,
                    format!(
                        "{:?} is not loopback, and the embedded queue asks for no password; \
                         write \"127.0.0.1\" or use app_link.driver = \"redis\"",
                        door.address
                    ),
                );
            }
            let meets = |other: &&Door<'_>| {
                door.port == other.port
                    && door.port != 0
                    && ip_address(other.address)
                        .is_some_and(|other| other == address || other.is_unspecified() || address.is_unspecified())
            };
            if let Some(other) = doors[..index].iter().find(meets) {
                faults.add(&door.port_key, format!("{} is taken by {}; write another port", door.port, other.port_key));
            }
        }
    }

    fn paths(&self, faults: &mut Faults) {
        let mut taken: BTreeMap<&str, String> = BTreeMap::new();
        if self.health.enabled {
            taken.insert(HEALTH_PATH, "the health endpoint".to_owned());
        }
        let mut paths = Vec::new();
        if !self.websocket.disabled {
            paths.push(("websocket.handler_prefix".to_owned(), &self.websocket.handler_prefix));
        }
        for (index, endpoint) in self.raw.iter().enumerate() {
            paths.push((format!("raw[{index}].path"), &endpoint.path));
        }
        for (key, path) in paths {
            if !path.starts_with('/') {
                faults.add(&key, format!("{path:?} does not begin with a slash; write \"/ws\""));
            } else if path.contains(|c: char| !c.is_ascii_graphic() || "?#%".contains(c)) {
                faults.add(&key, format!("{path:?} is no plain path; write letters, digits, / _ - ."));
            } else if let Some(other) = taken.get(path.as_str()) {
                faults.add(&key, format!("{path:?} is taken by {other}; write another path"));
            } else {
                taken.insert(path, key);
            }
        }
    }

    fn feeds(&self, faults: &mut Faults) {
        faults.at_least_one("websocket.message_size_limit", self.websocket.message_size_limit);
        for (index, endpoint) in self.raw.iter().enumerate() {
            let above = format!("raw[{index}]");
            faults.at_least_one(format!("{above}.message_size_limit"), endpoint.message_size_limit);
            self.feed(&above, &endpoint.feed, true, faults);
        }
        for (index, listener) in self.tcp.iter().enumerate() {
            let above = format!("tcp[{index}]");
            faults.at_least_one(format!("{above}.message_size_limit"), listener.message_size_limit);
            if listener.dialect == TcpDialect::Raw {
                self.feed(&above, &listener.feed, false, faults);
            } else if listener.feed != Feed::default() {
                faults.add(above, "has channel, event, publish_to or data, which only dialect = \"raw\" knows");
            }
        }
    }

    /// The rules of what becomes of a raw client's messages.
    fn feed(&self, above: &str, feed: &Feed, has_query: bool, faults: &mut Faults) {
        let key = format!("{above}.channel");
        match Template::parse(&feed.channel) {
            Err(text) => faults.add(&key, format!("{:?} {text}", feed.channel)),
            Ok(template) => {
                let query = |variable: &Variable| matches!(variable, Variable::Query(_));
                if !has_query && template.variables().any(query) {
                    let text = "has a {query.NAME}, which a TCP client cannot fill";
                    faults.add(&key, format!("{:?} {text}", feed.channel));
                }
                if let Some(text) = self.namespace_fault(template.start()) {
                    faults.add(&key, format!("{:?} {text}", feed.channel));
                }
            }
        }
        if feed.channel.is_empty() && feed.publish_to == PublishTo::Channel {
            faults.add(&key, "is empty while publish_to is \"channel\"; name the channel");
        }
        if feed.event.is_empty() {
            faults.add(format!("{above}.event"), "is empty; write a name such as \"message\"");
        }
        if feed.publish_to == PublishTo::App {
            self.needs_messages(&format!("{above}.publish_to"), "is \"app\"", faults);
        }
    }
}
