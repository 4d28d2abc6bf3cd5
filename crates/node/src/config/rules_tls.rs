//! The rules of TLS and of those whose word about an address or a name is taken: proxies, authorities, certificates.

use super::client::network;
use super::fault::Warning;
use super::rules::Faults;
use super::{Autocert, ClientAuth, Config, Forwarded, Tls};

impl Config {
    /// The rules of certificates, of proxies that are believed, and of users named by certificates.
    pub(super) fn tls_rules(&self, faults: &mut Faults) {
        let http = &self.http_server;
        tls("http_server.tls", &http.tls, http.tls_autocert.enabled, faults);
        tls("http_server.internal_tls", &http.internal_tls, false, faults);
        autocert(&http.tls_autocert, faults);
        for (index, listener) in self.tcp.iter().enumerate() {
            tls(&format!("tcp[{index}].tls"), &listener.tls, false, faults);
        }
        self.proxies(faults);
        self.certificate_users(faults);
    }

    /// What is legal but rarely meant.
    pub(super) fn tls_warnings(&self, warnings: &mut Vec<Warning>) {
        let http = &self.http_server;
        let mut idle = Vec::new();
        if !http.speaks_tls() && has_certificate(&http.tls) {
            idle.push("http_server.tls".to_owned());
        }
        if !http.internal_tls.enabled && has_certificate(&http.internal_tls) {
            idle.push("http_server.internal_tls".to_owned());
        }
        for (index, listener) in self.tcp.iter().enumerate() {
            if !listener.tls.enabled && has_certificate(&listener.tls) {
                idle.push(format!("tcp[{index}].tls"));
            }
        }
        for above in idle {
            let text =
                format!("{above} has a certificate but is off: the port speaks without TLS; set {above}.enabled");
            warnings.push(Warning::new(text));
        }
        for entry in &self.client.trusted_proxies {
            if network(entry).is_some_and(|network| network.prefix_len() == 0) {
                let text = "client.trusted_proxies has everyone: whoever connects chooses the address it is known by";
                warnings.push(Warning::new(text));
            }
        }
    }

    fn proxies(&self, faults: &mut Faults) {
        let client = &self.client;
        for (index, entry) in client.trusted_proxies.iter().enumerate() {
            if network(entry).is_none() {
                let text = "is no network; write one such as \"10.0.0.0/8\", or an address such as \"192.0.2.7\"";
                faults.add(format!("client.trusted_proxies[{index}]"), format!("{entry:?} {text}"));
            }
        }
        if !client.trusted_proxies.is_empty() {
            return;
        }
        let mut believing = Vec::new();
        let http = &self.http_server;
        if http.proxy_protocol {
            believing.push(("http_server.proxy_protocol".to_owned(), "is on"));
        }
        match http.forwarded {
            Forwarded::Forwarded => believing.push(("http_server.forwarded".to_owned(), "is \"forwarded\"")),
            Forwarded::XForwardedFor => believing.push(("http_server.forwarded".to_owned(), "is \"x-forwarded-for\"")),
            Forwarded::Off => {}
        }
        for (index, listener) in self.tcp.iter().enumerate().filter(|(_, listener)| listener.proxy_protocol) {
            if !listener.on_public_port {
                believing.push((format!("tcp[{index}].proxy_protocol"), "is on"));
            }
        }
        for (key, state) in believing {
            let text = "while client.trusted_proxies is empty, so nobody would be believed; list the proxies' networks";
            faults.add(key, format!("{state} {text}"));
        }
    }

    fn certificate_users(&self, faults: &mut Faults) {
        let http = &self.http_server;
        let mut asking = Vec::new();
        if self.client.user_from_certificate {
            asking.push(("client".to_owned(), "http_server.tls".to_owned(), &http.tls, http.speaks_tls()));
        }
        for (index, listener) in self.tcp.iter().enumerate().filter(|(_, listener)| listener.user_from_certificate) {
            let above = format!("tcp[{index}]");
            if listener.on_public_port {
                asking.push((above, "http_server.tls".to_owned(), &http.tls, http.speaks_tls()));
            } else {
                let section = format!("{above}.tls");
                asking.push((above, section, &listener.tls, listener.tls.enabled));
            }
        }
        for (above, section, tls, is_spoken) in asking {
            if !is_spoken || tls.asks_clients() == ClientAuth::None {
                let text = format!(
                    "is on while {section} asks no client for a certificate; set {section}.enabled and \
                     {section}.client_ca_pem_file"
                );
                faults.add(format!("{above}.user_from_certificate"), text);
            }
        }
    }
}

fn has_certificate(tls: &Tls) -> bool {
    !tls.cert_pem_file.is_empty() || !tls.certificates.is_empty()
}

/// The rules of one port's TLS; `is_fetched` where an authority sends certificates as well.
fn tls(above: &str, tls: &Tls, is_fetched: bool, faults: &mut Faults) {
    let is_spoken = tls.enabled || is_fetched;
    pair(above, &tls.cert_pem_file, &tls.key_pem_file, faults);
    for (index, one) in tls.certificates.iter().enumerate() {
        let above = format!("{above}.certificates[{index}]");
        pair(&above, &one.cert_pem_file, &one.key_pem_file, faults);
        if one.cert_pem_file.is_empty() && one.key_pem_file.is_empty() {
            faults.add(format!("{above}.cert_pem_file"), "is empty; name the certificate's file");
        }
    }
    if tls.enabled && !is_fetched && !has_certificate(tls) && tls.key_pem_file.is_empty() {
        let text = format!("is on without a certificate; set {above}.cert_pem_file and {above}.key_pem_file");
        faults.add(format!("{above}.enabled"), text);
    }
    if tls.asks_clients() != ClientAuth::None && tls.client_ca_pem_file.is_empty() {
        let state = match tls.asks_clients() {
            ClientAuth::None => "none",
            ClientAuth::Optional => "optional",
            ClientAuth::Required => "required",
        };
        let text = format!("is \"{state}\" without an authority to hold certificates against; set");
        faults.add(format!("{above}.client_auth"), format!("{text} {above}.client_ca_pem_file"));
    }
    if tls.client_auth == Some(ClientAuth::None) && !tls.client_ca_pem_file.is_empty() {
        let text = format!("is \"none\" while {above}.client_ca_pem_file is given; write \"optional\" or \"required\"");
        faults.add(format!("{above}.client_auth"), format!("{text}, or leave the file out"));
    }
    if tls.also_plain && !is_spoken {
        faults.add(
            format!("{above}.also_plain"),
            format!("is on while TLS is off; set {above}.enabled, or leave it out"),
        );
    }
}

/// A certificate and its key come together.
fn pair(above: &str, certificate: &str, key: &str, faults: &mut Faults) {
    match (certificate.is_empty(), key.is_empty()) {
        (false, true) => {
            let text = "is empty while cert_pem_file is given; name the file of the certificate's private key";
            faults.add(format!("{above}.key_pem_file"), text);
        }
        (true, false) => {
            let text = "is empty while key_pem_file is given; name the certificate's file";
            faults.add(format!("{above}.cert_pem_file"), text);
        }
        (false, false) | (true, true) => {}
    }
}

fn autocert(autocert: &Autocert, faults: &mut Faults) {
    for (index, host) in autocert.host_whitelist.iter().enumerate() {
        if let Some(text) = host_fault(host) {
            faults.add(format!("http_server.tls_autocert.host_whitelist[{index}]"), format!("{host:?} {text}"));
        }
    }
    let key = |name: &str| format!("http_server.tls_autocert.{name}");
    if !autocert.email.is_empty() && !autocert.email.contains('@') {
        faults.add(key("email"), format!("{:?} is no mail address; write \"name@example.com\"", autocert.email));
    }
    if !autocert.directory_url.starts_with("https://") {
        let text = "is no https address; write one such as \"https://acme-v02.api.letsencrypt.org/directory\"";
        faults.add(key("directory_url"), format!("{:?} {text}", autocert.directory_url));
    }
    if autocert.enabled && autocert.host_whitelist.is_empty() {
        faults.add(key("host_whitelist"), "is empty while certificates are to be fetched; write [\"example.com\"]");
    }
    if autocert.enabled && autocert.cache_dir.is_empty() {
        let text = "is empty while certificates are to be fetched, and an authority gives few of them twice; name a \
                    directory that outlives restarts";
        faults.add(key("cache_dir"), text);
    }
}

/// Why no authority gives a certificate for a name in the ways this server can prove it.
fn host_fault(host: &str) -> Option<&'static str> {
    if host.starts_with("*.") {
        return Some("is a wildcard, which cannot be proven over this port; write each name");
    }
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    // Why at least one letter: numbers alone are an address.
    let is_name = host.split('.').all(is_label) && host.bytes().any(|byte| byte.is_ascii_alphabetic());
    (!is_name).then_some("is no host name; write one such as \"example.com\"")
}
