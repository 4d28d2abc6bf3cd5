//! The rules of the doors: addresses, ports and paths that must not meet, and doors that must not stand open.
//!
//! What is spoken behind a door has its rules in `rules_feeds` and `rules_tls`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::rules::Faults;
use super::{Config, Driver};

/// Where health is asked on.
const HEALTH_PATH: &str = "/health";
/// What the paths of the server API begin with.
const API_PATH: &str = "/api/";

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
    /// The rules of ports, paths, names and the server API.
    pub(super) fn door_rules(&self, faults: &mut Faults) {
        self.ports(faults);
        self.paths(faults);
        self.metrics_path(faults);
        faults.some_time("http_server.handshake_timeout", self.http_server.handshake_timeout);
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
        self.api(faults);
    }

    /// Nobody commands the server unasked.
    fn api(&self, faults: &mut Faults) {
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
        if self.http_server.api_on_public_port && api.key.is_empty() && !api.insecure {
            faults.add(
                "http_api.key",
                "is empty while http_server.api_on_public_port is on: anyone could command the server; set http_api.key",
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
        for (index, listener) in self.tcp.iter().enumerate().filter(|(_, listener)| !listener.on_public_port) {
            doors.push(door(&format!("tcp[{index}]"), "", &listener.address, listener.port.unwrap_or(0)));
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

    /// The paths of the public port, with the keys that name them.
    fn public_paths(&self) -> Vec<(String, &str)> {
        let mut paths: Vec<(String, &str)> = Vec::new();
        for (is_offered, section, path) in [
            (!self.websocket.disabled, "websocket", &self.websocket.handler_prefix),
            (self.sse.enabled, "sse", &self.sse.handler_prefix),
            (self.http_stream.enabled, "http_stream", &self.http_stream.handler_prefix),
            (self.sse.enabled || self.http_stream.enabled, "emulation", &self.emulation.handler_prefix),
            (self.uni_websocket.enabled, "uni_websocket", &self.uni_websocket.handler_prefix),
            (self.uni_sse.enabled, "uni_sse", &self.uni_sse.handler_prefix),
            (self.uni_http_stream.enabled, "uni_http_stream", &self.uni_http_stream.handler_prefix),
            (self.yjs.enabled, "yjs", &self.yjs.handler_prefix),
        ] {
            if is_offered {
                paths.push((format!("{section}.handler_prefix"), path));
            }
        }
        for (index, endpoint) in self.raw.iter().enumerate() {
            paths.push((format!("raw[{index}].path"), &endpoint.path));
        }
        paths
    }

    fn paths(&self, faults: &mut Faults) {
        let http = &self.http_server;
        let mut taken: BTreeMap<&str, String> = BTreeMap::new();
        if self.health.enabled {
            taken.insert(HEALTH_PATH, "the health endpoint".to_owned());
        }
        if self.dev {
            taken.insert("/", "the page of development mode".to_owned());
        }
        if http.api_on_public_port && self.prometheus.enabled {
            taken.insert(&self.prometheus.handler_prefix, "prometheus.handler_prefix".to_owned());
        }
        for (key, path) in self.public_paths() {
            if let Some(text) = path_fault(path) {
                faults.add(&key, text);
            } else if let Some(other) = taken.get(path) {
                faults.add(&key, format!("{path:?} is taken by {other}; write another path"));
            } else if http.api_on_public_port && path.starts_with(API_PATH) {
                faults.add(&key, format!("{path:?} is taken by the server API; write another path"));
            } else {
                taken.insert(path, key);
            }
        }
    }

    fn metrics_path(&self, faults: &mut Faults) {
        let (key, path) = ("prometheus.handler_prefix", &self.prometheus.handler_prefix);
        if !self.prometheus.enabled {
            return;
        }
        if let Some(text) = path_fault(path) {
            faults.add(key, text);
        } else if path == HEALTH_PATH {
            faults.add(key, format!("{path:?} is taken by the health endpoint; write another path"));
        } else if path.starts_with(API_PATH) {
            faults.add(key, format!("{path:?} is taken by the server API; write another path"));
        }
    }
}

/// Why no request can ever have a path.
fn path_fault(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        Some(format!("{path:?} does not begin with a slash; write {:?}", format!("/{path}")))
    } else if path.contains(|c: char| !c.is_ascii_graphic() || "?#%".contains(c)) {
        Some(format!("{path:?} is no plain path; write letters, digits, / _ - ."))
    } else {
        None
    }
}
