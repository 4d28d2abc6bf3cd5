//! The rules that no single value can break: what must be more than nothing, what must fit together.
//!
//! Doors, what is spoken behind them, certificates, tokens, channels and the application have their rules in
//! `rules_doors`, `rules_feeds`, `rules_tls`, `rules_token`, `rules_channel`, `rules_app`, `rules_proxy` and
//! `rules_connectors`.

use std::time::Duration;

use super::fault::{Fault, Warning};
use super::rules_doors::is_loopback;
use super::{Client, Config, Sockets, duration};

/// Most worker threads and lanes that make sense.
pub(super) const MANY: usize = 1024;

/// Largest number a socket option takes.
const MOST: usize = i32::MAX as usize;
/// Longest silence the system counts (`MAX_TCP_KEEPIDLE`).
const LONGEST: Duration = Duration::from_secs(32_767);

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Notes one.
    pub(super) fn add(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.0.push(Fault::new(key, text));
    }

    /// What must be 1 or more.
    pub(super) fn at_least_one(&mut self, key: impl Into<String>, number: usize) {
        if number == 0 {
            self.add(key, "is 0; write 1 or more");
        }
    }

    /// What must take some time.
    pub(super) fn some_time(&mut self, key: &str, duration: Duration) {
        if duration.is_zero() {
            self.add(key, r#"is no time at all; write a duration such as "5s""#);
        }
    }

    /// What is the name of something.
    pub(super) fn name(&mut self, key: &str, name: &str) {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if name.is_empty() {
            self.add(key, "is empty; write a name");
        } else if let Some(odd) = name.chars().find(|c| !fits(*c)) {
            self.add(key, format!("{name:?} holds {odd:?}; a name has letters a-z, digits, _ and -"));
        }
    }
}

impl Config {
    /// Holds the configuration against the rules; all faults at once.
    pub(crate) fn validate(&self) -> Result<(), Vec<Fault>> {
        let mut faults = Faults::default();
        if self.workers > MANY {
            faults.add("workers", format!("{} is more than {MANY}", self.workers));
        }
        client(&self.client, &mut faults);
        self.door_rules(&mut faults);
        self.feed_rules(&mut faults);
        self.tls_rules(&mut faults);
        self.token_rules(&mut faults);
        self.channel_rules(&mut faults);
        self.history_rules(&mut faults);
        self.app_rules(&mut faults);
        self.broker_rules(&mut faults);
        self.proxy_rules(&mut faults);
        self.connector_rules(&mut faults);
        sockets(&self.sockets, &mut faults);
        faults.some_time("shutdown.timeout", self.shutdown.timeout);
        if faults.0.is_empty() { Ok(()) } else { Err(faults.0) }
    }

    /// What is legal but rarely meant.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let client = &self.client;
        if !client.insecure
            && !client.token.has_keys()
            && !client.allow_anonymous_connect_without_token
            && !client.proxy.connect.enabled
        {
            warnings.push(Warning::new(
                "no client can connect: set client.token.hmac_secret_key or another key there, client.proxy.connect.enabled or \
                 client.allow_anonymous_connect_without_token",
            ));
        }
        if client.insecure && !is_loopback(&self.http_server.address) {
            warnings.push(Warning::new(
                "client.insecure is on beyond loopback: everyone who reaches the port may do everything",
            ));
        }
        let http = &self.http_server;
        let is_open = !is_loopback(&http.internal_address) || (http.api_on_public_port && !is_loopback(&http.address));
        if self.http_api.insecure && !self.http_api.disabled && is_open {
            warnings.push(Warning::new(
                "http_api.insecure is on beyond loopback: everyone who reaches the port commands the server",
            ));
        }
        self.tls_warnings(&mut warnings);
        self.token_warnings(&mut warnings);
        self.history_warnings(&mut warnings);
        warnings
    }
}

fn sockets(sockets: &Sockets, faults: &mut Faults) {
    faults.at_least_one("sockets.backlog", sockets.backlog);
    for (key, number) in [("sockets.backlog", sockets.backlog), ("sockets.notsent_lowat", sockets.notsent_lowat)] {
        if number > MOST {
            faults.add(key, format!("{number} is more than {MOST}"));
        }
    }
    for (key, time) in [("sockets.user_timeout", sockets.user_timeout), ("sockets.keepalive", sockets.keepalive)] {
        if time > LONGEST {
            let (time, longest) = (duration::format(time), duration::format(LONGEST));
            faults.add(key, format!("\"{time}\" is more than \"{longest}\", the longest the system takes"));
        } else if !time.is_zero() && time < Duration::from_secs(1) {
            faults.add(key, format!("\"{}\" is less than \"1s\"; write more, or \"0s\"", duration::format(time)));
        }
    }
}

fn client(client: &Client, faults: &mut Faults) {
    for (index, origin) in client.allowed_origins.iter().enumerate() {
        if let Some(text) = origin_fault(origin) {
            faults.add(format!("client.allowed_origins[{index}]"), format!("{origin:?} {text}"));
        }
    }
    faults.some_time("client.ping_interval", client.ping_interval);
    faults.some_time("client.pong_timeout", client.pong_timeout);
    if client.pong_timeout >= client.ping_interval && !client.ping_interval.is_zero() {
        faults.add(
            "client.pong_timeout",
            format!(
                "\"{}\" is not less than client.ping_interval, \"{}\"; shorten the one or lengthen the other",
                duration::format(client.pong_timeout),
                duration::format(client.ping_interval)
            ),
        );
    }
    faults.some_time("client.stale_close_delay", client.stale_close_delay);
    for (name, number) in [
        ("channel_limit", client.channel_limit),
        ("queue_max_size", client.queue_max_size),
        ("history_max_publication_limit", client.history_max_publication_limit),
        ("recovery_max_publication_limit", client.recovery_max_publication_limit),
        ("max_calls_in_flight", client.max_calls_in_flight),
    ] {
        faults.at_least_one(format!("client.{name}"), number);
    }
}

/// Why no browser's Origin header can ever match an entry.
fn origin_fault(origin: &str) -> Option<&'static str> {
    if origin == "*" || origin == "null" {
        return None;
    }
    match origin.split_once("://") {
        None => Some(r#"has no scheme; write "https://example.com", or "*" for all"#),
        Some((_, "")) => Some(r#"has no host; write "https://example.com""#),
        Some((_, host)) if host.contains(['/', '?', '#', ' ']) => {
            Some("is more than an origin; leave out what follows host and port")
        }
        Some(_) => None,
    }
}
