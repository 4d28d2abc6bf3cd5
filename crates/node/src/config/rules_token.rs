//! The rules of tokens: keys that are keys, and demands that do not contradict each other.

use jackfield_fetch::Url;
use jackfield_session::Pattern;

use super::Config;
use super::fault::Warning;
use super::rules::Faults;
use super::rules_doors::is_loopback;
use super::token::{Token, pem};

impl Config {
    /// The rules of both kinds of tokens.
    pub(super) fn token_rules(&self, faults: &mut Faults) {
        token("client.token", &self.client.token, faults);
        let own = &self.client.subscription_token;
        token("client.subscription_token", &own.token, faults);
        if own.enabled && !own.token.has_keys() {
            let text =
                "is on without a key; set client.subscription_token.hmac_secret_key or another key, or leave it out";
            faults.add("client.subscription_token.enabled", text);
        }
    }

    /// What is legal but rarely meant.
    pub(super) fn token_warnings(&self, warnings: &mut Vec<Warning>) {
        let (connection, own) = (&self.client.token, &self.client.subscription_token);
        if !own.enabled && own.token.has_keys() {
            warnings.push(Warning::new(
                "client.subscription_token has a key but is off: subscription tokens are checked with client.token; set \
                 client.subscription_token.enabled",
            ));
        }
        for (option, endpoint) in [
            ("client.token.jwks_public_endpoint", &connection.jwks_public_endpoint),
            ("client.subscription_token.jwks_public_endpoint", &own.token.jwks_public_endpoint),
        ] {
            if Url::parse(endpoint).is_ok_and(|url| !url.is_https() && !is_loopback(url.host())) {
                let text =
                    format!("{option} is fetched without TLS: whoever is on the way decides whose tokens are good");
                warnings.push(Warning::new(text));
            }
        }
    }
}

fn token(above: &str, token: &Token, faults: &mut Faults) {
    let key = |name: &str| format!("{above}.{name}");
    if token.hmac_secret_key.is_empty() && !token.hmac_previous_secret_key.is_empty() {
        let text = format!("is given without the key in use; set {above}.hmac_secret_key");
        faults.add(key("hmac_previous_secret_key"), text);
    }
    if token.hmac_previous_secret_key.is_empty() && token.hmac_previous_secret_key_valid_until > 0 {
        let text =
            format!("is given without the key it is about; set {above}.hmac_previous_secret_key, or leave it out");
        faults.add(key("hmac_previous_secret_key_valid_until"), text);
    }
    for (name, text, make) in token.public_keys() {
        // The value is never repeated: it may be a private key by mistake.
        if let Err(fault) = pem(text).and_then(|pem| make(&pem).map_err(|error| error.to_string())) {
            faults.add(key(name), fault);
        }
    }
    endpoint(&key("jwks_public_endpoint"), &token.jwks_public_endpoint, faults);
    for (plain, exact, regex, pattern) in [
        ("audience", &token.audience, "audience_regex", &token.audience_regex),
        ("issuer", &token.issuer, "issuer_regex", &token.issuer_regex),
    ] {
        if !exact.is_empty() && !pattern.is_empty() {
            faults.add(key(regex), format!("is given beside {above}.{plain}; leave one of them out"));
        }
        if let Err(error) = Pattern::regex(pattern) {
            faults.add(
                key(regex),
                format!("{pattern:?} {error}; write one such as \"https://login\\\\.example\\\\.com/.*\""),
            );
        }
    }
}

fn endpoint(key: &str, text: &str, faults: &mut Faults) {
    if text.is_empty() {
        return;
    }
    if text.contains(['{', '}']) {
        let fault =
            "holds a placeholder in braces, and none is filled in here; write the address of one identity provider";
        faults.add(key, format!("{text:?} {fault}"));
    } else if let Err(error) = Url::parse(text) {
        faults.add(key, format!("{text:?} {error}"));
    }
}
