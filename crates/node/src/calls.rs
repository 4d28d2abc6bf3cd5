//! Which way each call goes to the application, and how long it may take: from the configuration to routes and proxies.

use std::time::Duration;

use anyhow::Context;
use jackfield_bridge::proxy::{Secret, Transform, TransformTo};
use jackfield_bridge::{Carrier, Proxy, ProxyOptions, Routes, Way, Ways};
use jackfield_fetch::{HeaderMap, HeaderName, HeaderValue, Url};
use jackfield_model::{ClientError, Disconnect};

use crate::config::{self, APP, Config, DEFAULT, NamespaceOptions, is_address_header};

/// The ways of all calls, and the endpoints that some of them lead to.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) routes: Routes,
    pub(crate) proxies: Vec<Proxy>,
    /// Where each endpoint stands in the configuration, in the order of `proxies`.
    keys: Vec<String>,
}

/// Who is asked, as a namespace says it: whether, the name, and what `default` means.
type Asked<'a> = (bool, &'a str, (&'a str, &'a config::Proxy, Duration));

impl Calls {
    /// Reads the authorities that endpoints are held against; nobody is asked anything.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        let mut calls = Self::default();
        let client = &config.client.proxy;
        let connect = (client.connect.enabled, DEFAULT, default("client.proxy.connect", &client.connect.proxy));
        let refresh = (client.refresh.enabled, DEFAULT, default("client.proxy.refresh", &client.refresh.proxy));
        calls.routes.connect = calls.way(connect, config)?;
        calls.routes.refresh = calls.way(refresh, config)?;
        calls.routes.rpc = calls.methods(config)?;
        calls.routes.rpc_boundary = config.rpc.namespace_boundary.clone();
        calls.routes.subscribe = calls.channels(config, subscribe)?;
        calls.routes.publish = calls.channels(config, publish)?;
        calls.routes.sub_refresh = calls.channels(config, sub_refresh)?;
        Ok(calls)
    }

    fn methods(&mut self, config: &Config) -> anyhow::Result<Ways> {
        let rpc = &config.rpc;
        // Over the link an rpc has had a time of its own since before there were proxies.
        let timeout = if rpc.proxy.endpoint.is_empty() { rpc.timeout } else { rpc.proxy.timeout };
        let asked = |options: &'_ config::RpcOptions| (options.proxy_enabled, options.proxy_name.clone());
        let mut ways = Ways::default();
        let (enabled, name) = asked(&rpc.without_namespace);
        ways.without = self.way((enabled, &name, ("rpc.proxy", &rpc.proxy, timeout)), config)?;
        for namespace in &rpc.namespaces {
            let (enabled, name) = asked(&namespace.options);
            let way = self.way((enabled, &name, ("rpc.proxy", &rpc.proxy, timeout)), config)?;
            ways.named.extend(way.map(|way| (namespace.name.clone(), way)));
        }
        Ok(ways)
    }

    fn channels(
        &mut self,
        config: &Config,
        asked: for<'a> fn(&'a Config, &'a NamespaceOptions) -> Asked<'a>,
    ) -> anyhow::Result<Ways> {
        let mut ways =
            Ways { without: self.way(asked(config, &config.channel.without_namespace), config)?, ..Ways::default() };
        for namespace in &config.channel.namespaces {
            let way = self.way(asked(config, &namespace.options), config)?;
            ways.named.extend(way.map(|way| (namespace.name.clone(), way)));
        }
        Ok(ways)
    }

    /// The way that a name means, with its endpoint opened where it is the first one there.
    fn way(&mut self, (enabled, name, default): Asked<'_>, config: &Config) -> anyhow::Result<Option<Way>> {
        if !enabled {
            return Ok(None);
        }
        let link = |timeout| Ok(Some(Way { by: Carrier::Link, timeout }));
        let (key, proxy, timeout) = match name {
            APP => return link(config.app_link.call_timeout),
            "" | DEFAULT if default.1.endpoint.is_empty() => return link(default.2),
            "" | DEFAULT => (default.0.to_owned(), default.1, default.2),
            // Invariant: the rules have found the name among the proxies.
            name => match config.proxies.iter().find(|named| named.name == name) {
                Some(named) => (format!("proxies.{name}"), &named.proxy, named.proxy.timeout),
                None => return Ok(None),
            },
        };
        let nth = match self.keys.iter().position(|known| *known == key) {
            Some(nth) => nth,
            None => {
                let proxy = options(&key, proxy).and_then(|options| Ok(Proxy::open(options)?));
                self.proxies.push(proxy.with_context(|| format!("open the proxy {key}"))?);
                self.keys.push(key);
                self.keys.len() - 1
            }
        };
        Ok(Some(Way { by: Carrier::Proxy(nth), timeout }))
    }

    /// The longest that any rpc may take.
    pub(crate) fn rpc_timeout(&self) -> Option<Duration> {
        let rpc = &self.routes.rpc;
        rpc.without.iter().chain(rpc.named.values()).map(|way| way.timeout).max()
    }
}

fn default<'a>(key: &'a str, proxy: &'a config::Proxy) -> (&'a str, &'a config::Proxy, Duration) {
    (key, proxy, proxy.timeout)
}

fn subscribe<'a>(config: &'a Config, options: &'a NamespaceOptions) -> Asked<'a> {
    let default = default("channel.proxy.subscribe", &config.channel.proxy.subscribe);
    (options.subscribe_proxy_enabled, &options.subscribe_proxy_name, default)
}

fn publish<'a>(config: &'a Config, options: &'a NamespaceOptions) -> Asked<'a> {
    let default = default("channel.proxy.publish", &config.channel.proxy.publish);
    (options.publish_proxy_enabled, &options.publish_proxy_name, default)
}

fn sub_refresh<'a>(config: &'a Config, options: &'a NamespaceOptions) -> Asked<'a> {
    let default = default("channel.proxy.sub_refresh", &config.channel.proxy.sub_refresh);
    (options.sub_refresh_proxy_enabled, &options.sub_refresh_proxy_name, default)
}

fn options(name: &str, proxy: &config::Proxy) -> anyhow::Result<ProxyOptions> {
    let mut headers = HeaderMap::new();
    for (name, value) in &proxy.http.static_headers {
        headers.insert(HeaderName::try_from(name.as_str())?, HeaderValue::from_str(value.expose())?);
    }
    let file = &proxy.http.tls.server_ca_pem_file;
    Ok(ProxyOptions {
        name: name.to_owned(),
        url: Url::parse(&proxy.endpoint)?,
        headers,
        address_headers: proxy
            .http_headers
            .iter()
            .filter(|name| is_address_header(name))
            .map(|name| HeaderName::try_from(name.as_str()))
            .collect::<Result<_, _>>()?,
        binary_encoding: proxy.binary_encoding,
        include_meta: proxy.include_connection_meta,
        transforms: proxy.http.status_to_code_transforms.iter().map(transform).collect::<anyhow::Result<_>>()?,
        secret: (!proxy.secret.is_empty()).then(|| Secret::parse(proxy.secret.expose())).transpose()?,
        in_flight: proxy.max_in_flight,
        ca_file: (!file.is_empty()).then(|| file.into()),
    })
}

fn transform(from: &config::StatusTransform) -> anyhow::Result<Transform> {
    let (error, disconnect) = (&from.to_error, &from.to_disconnect);
    let to = if error.code > 0 {
        let (code, message) = (u32::try_from(error.code)?, error.message.clone().into());
        TransformTo::Error(ClientError { code, message, temporary: error.temporary })
    } else {
        TransformTo::Disconnect(Disconnect {
            code: u16::try_from(disconnect.code)?,
            reason: disconnect.reason.clone().into(),
        })
    };
    Ok(Transform { status: u16::try_from(from.status_code)?, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let overrides = text.lines().map(|line| line.split_once('=').unwrap());
        let overrides: Vec<_> =
            overrides.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect();
        Config::load(None, std::iter::empty(), &overrides).unwrap().0
    }

    #[test]
    fn names_lead_to_endpoints_and_the_link() {
        let config = config(
            r#"app_link.driver = embedded
            client.proxy.connect.enabled = true
            client.proxy.connect.endpoint = http://localhost:1/connect
            client.proxy.refresh.enabled = true
            client.proxy.refresh.timeout = 3s
            proxies = [{"name": "slow", "endpoint": "http://localhost:1/slow", "timeout": "20s"}, {"name": "idle", "endpoint": "http://a"}]
            rpc.without_namespace.proxy_enabled = true
            rpc.namespaces = [{"name": "a", "proxy_enabled": true, "proxy_name": "slow"}, {"name": "off"}]
            channel.proxy.subscribe.endpoint = http://localhost:1/subscribe
            channel.namespaces = [{"name": "room", "subscribe_proxy_enabled": true, "publish_proxy_enabled": true, "publish_proxy_name": "slow", "sub_refresh_proxy_enabled": true, "sub_refresh_proxy_name": "app"}]"#,
        );
        let calls = Calls::open(&config).unwrap();
        let way = |by, seconds| Some(Way { by, timeout: Duration::from_secs(seconds) });
        let routes = &calls.routes;
        assert_eq!(calls.keys, ["client.proxy.connect", "proxies.slow", "channel.proxy.subscribe"]);
        assert_eq!(routes.connect, way(Carrier::Proxy(0), 1));
        assert_eq!(routes.refresh, way(Carrier::Link, 3));
        assert_eq!(routes.rpc.without, way(Carrier::Link, 5));
        assert_eq!(routes.rpc.named.get("a").copied(), way(Carrier::Proxy(1), 20));
        assert_eq!(routes.rpc.named.len(), 1);
        assert_eq!(routes.subscribe.named.get("room").copied(), way(Carrier::Proxy(2), 1));
        assert_eq!(routes.publish.named.get("room").copied(), way(Carrier::Proxy(1), 20));
        assert_eq!(routes.sub_refresh.named.get("room").copied(), way(Carrier::Link, 5));
        assert_eq!(routes.subscribe.without, None);
        assert_eq!(calls.rpc_timeout(), Some(Duration::from_secs(20)));
    }

    #[test]
    fn a_proxy_is_as_it_is_written() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let config = config(&format!(
            r#"rpc.without_namespace.proxy_enabled = true
            rpc.proxy.endpoint = https://localhost/rpc
            rpc.proxy.secret = {secret}
            rpc.proxy.http_headers = X-Real-IP
            rpc.proxy.binary_encoding = true
            rpc.proxy.include_connection_meta = true
            rpc.proxy.max_in_flight = 3
            rpc.proxy.http.static_headers = {{"Authorization": "Bearer x"}}
            rpc.proxy.http.status_to_code_transforms = [{{"status_code": 404, "to_error": {{"code": 404, "message": "none", "temporary": true}}}}, {{"status_code": 403, "to_disconnect": {{"code": 4403, "reason": "no"}}}}]"#
        ));
        let options = options("rpc.proxy", &config.rpc.proxy).unwrap();
        assert_eq!(options.url, Url::parse("https://localhost/rpc").unwrap());
        assert_eq!(options.headers["authorization"], "Bearer x");
        assert_eq!(options.address_headers, ["x-real-ip"]);
        assert!(
            options.binary_encoding && options.include_meta && options.secret.is_some() && options.ca_file.is_none()
        );
        assert_eq!(options.in_flight, 3);
        let none = TransformTo::Error(ClientError::temporary(404, "none"));
        let no = TransformTo::Disconnect(Disconnect::new(4403, "no"));
        assert_eq!(options.transforms, [Transform { status: 404, to: none }, Transform { status: 403, to: no }]);
        assert!(!format!("{config:?}").contains("Bearer"), "a header may be a secret");
    }

    #[test]
    fn authorities_that_cannot_be_read_stop_the_start() {
        let config = config(
            "client.proxy.connect.enabled = true
            client.proxy.connect.endpoint = https://localhost/
            client.proxy.connect.http.tls.server_ca_pem_file = /nowhere.pem",
        );
        let error = format!("{:#}", Calls::open(&config).unwrap_err());
        assert!(error.contains("open the proxy client.proxy.connect") && error.contains("/nowhere.pem"), "{error}");
    }
}
