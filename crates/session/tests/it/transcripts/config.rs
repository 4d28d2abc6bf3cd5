//! The configuration of a transcript: the option names of `docs/config.md`, as far as sessions look at them.

use std::sync::Arc;

use jackfield_hub::namespace::{
    ClientKey, Delivery, Format, Kind, MapMode, MapOptions, Permission, PublishTo, RecoveryMode,
};
use jackfield_hub::{Namespaces, Options};
use jackfield_session::{Keys, PersonalChannel, Settings, Tells, Tick, Verifier};
use serde_json::Value;

use super::bag::Bag;
use crate::client::SECRET;

/// What the transcript says, and for the rest: tokens are signed with a secret, and whoever has none is anonymous.
pub(super) fn read(config: &Value) -> (Settings, Namespaces) {
    let mut bag = Bag::new("config", config);
    let mut channel = bag.bag("channel");
    let mut namespaces = Namespaces {
        without: Some(Arc::new(options(Bag::new(
            "without_namespace",
            &channel.value("without_namespace").unwrap_or_default(),
        )))),
        ..Namespaces::default()
    };
    for (name, value) in channel.pairs("namespaces") {
        let options = Options { name: name.as_str().into(), ..options(Bag::new(&name, &value)) };
        namespaces.named.insert(name, Arc::new(options));
    }
    namespaces.max_length = channel.size("max_length").unwrap_or(namespaces.max_length);
    channel.end();
    let mut settings = client(bag.bag("client"));
    let mut rpc = bag.bag("rpc");
    let mut without = rpc.bag("without_namespace");
    settings.rpc_call = without.flag("proxy_enabled").then_some(1_000);
    without.end();
    rpc.end();
    let mut link = bag.bag("app_link");
    settings.tells = tells(link.value("events"));
    link.end();
    bag.end();
    (settings, namespaces)
}

fn tells(events: Option<Value>) -> Tells {
    let mut tells = Tells::default();
    for event in events.iter().flat_map(|events| events.as_array().unwrap()) {
        match event.as_str() {
            Some("connect") => tells.connect = true,
            Some("disconnect") => tells.disconnect = true,
            Some("message") => tells.message = true,
            other => panic!("no event is called {other:?}"),
        }
    }
    tells
}

fn client(mut bag: Bag) -> Settings {
    let default = Settings::default();
    let mut ticks = |key: &str, default: Tick| -> Tick {
        bag.duration(key).map_or(default, |millis| u32::try_from(millis / 100).unwrap())
    };
    let ping_interval = ticks("ping_interval", default.ping_interval);
    let pong_timeout = ticks("pong_timeout", default.pong_timeout);
    let stale_close_delay = ticks("stale_close_delay", default.stale_close_delay);
    let expired_close_delay = ticks("expired_close_delay", default.expired_close_delay);
    let expired_sub_close_delay = ticks("expired_sub_close_delay", default.expired_sub_close_delay);
    let mut verifier = Verifier::hmac([SECRET]);
    let mut token = bag.bag("token");
    if token.text("jwks_public_endpoint").is_some() {
        // As long as nothing was fetched from there.
        verifier = verifier.published(Arc::new(Keys::new(|| {})));
    }
    token.end();
    let mut proxy = bag.bag("proxy");
    let mut asks = |name: &str| {
        let mut call = proxy.bag(name);
        let is_on = call.flag("enabled");
        call.end();
        is_on.then_some(1_000)
    };
    let (connect_call, refresh_call) = (asks("connect"), asks("refresh"));
    proxy.end();
    let mut personal = bag.bag("subscribe_to_user_personal_channel");
    let personal_channel = personal.flag("enabled").then(|| PersonalChannel {
        namespace: personal.text("personal_channel_namespace").unwrap_or_default(),
        single_connection: personal.flag("single_connection"),
    });
    personal.end();
    let settings = Settings {
        version: "jackfield",
        node: "node-1".into(),
        insecure: bag.flag("insecure"),
        allow_anonymous_without_token: bag.choice("allow_anonymous_connect_without_token").unwrap_or(true),
        disallow_anonymous_tokens: bag.flag("disallow_anonymous_connection_tokens"),
        verifier: Some(verifier),
        ping_interval,
        pong_timeout,
        stale_close_delay,
        expired_close_delay,
        expired_sub_close_delay,
        channel_limit: bag.size("channel_limit").unwrap_or(default.channel_limit),
        user_connection_limit: bag.size("user_connection_limit").unwrap_or_default(),
        calls_in_flight: bag.size("max_calls_in_flight").unwrap_or(default.calls_in_flight),
        message_rate: bag
            .number("message_rate_limit")
            .map_or(default.message_rate, |rate| u32::try_from(rate).unwrap()),
        connect_call,
        refresh_call,
        personal_channel,
        time_in_connect: bag.flag("connect_include_server_time"),
        ..default
    };
    bag.end();
    settings
}

fn options(mut bag: Bag) -> Options {
    let default = Options::default();
    let count = |number: Option<u64>| number.map_or(0, |number| u32::try_from(number).unwrap());
    let call = |is_on: bool| is_on.then_some(1_000);
    let options = Options {
        kind: match bag.text("subscription_type").as_deref() {
            None | Some("stream") => Kind::Stream,
            Some("map") => Kind::Map,
            Some("map_clients") => Kind::Clients,
            Some("map_users") => Kind::Users,
            Some(other) => panic!("no subscription_type is called {other:?}"),
        },
        presence: bag.flag("presence"),
        join_leave: bag.flag("join_leave"),
        force_push_join_leave: bag.flag("force_push_join_leave"),
        history_size: bag.size("history_size").unwrap_or_default(),
        history_ttl: bag.duration("history_ttl").unwrap_or_default(),
        allow_recovery: bag.flag("allow_recovery"),
        force_recovery: bag.flag("force_recovery"),
        recovery_mode: match bag.text("force_recovery_mode").as_deref() {
            None | Some("stream") => RecoveryMode::Stream,
            Some("cache") => RecoveryMode::Cache,
            Some(other) => panic!("no force_recovery_mode is called {other:?}"),
        },
        auto_cache_recover: bag.flag("auto_cache_recover"),
        allow_positioning: bag.flag("allow_positioning"),
        force_positioning: bag.flag("force_positioning"),
        snapshot: bag.flag("snapshot"),
        delta: bag.value("allowed_delta_types").is_some_and(|types| types == serde_json::json!(["fossil"])),
        delta_publish: bag.flag("delta_publish"),
        tags_filter: bag.flag("allow_tags_filter"),
        delivery: bag.text("delivery").map_or(default.delivery, |text| Delivery::parse(&text).unwrap()),
        format: match bag.text("publication_data_format").as_deref() {
            None => Format::Any,
            Some("json") => Format::Json,
            Some("binary") => Format::Binary,
            Some(other) => panic!("no publication_data_format is called {other:?}"),
        },
        user_limited: bag.flag("allow_user_limited_channels"),
        pattern: bag.text("channel_regex").map(|text| text.parse().unwrap()),
        subscribe: permission(&mut bag, "subscribe"),
        publish: permission(&mut bag, "publish"),
        read_presence: permission(&mut bag, "presence"),
        read_history: permission(&mut bag, "history"),
        publish_to: match bag.text("publish_to").as_deref() {
            None | Some("channel") => PublishTo::Channel,
            Some("app") => PublishTo::App,
            Some(other) => panic!("no publish_to is called {other:?}"),
        },
        publish_rate: count(bag.number("publish_rate")),
        subscribe_rate: count(bag.number("subscribe_rate")),
        subscribe_call: call(bag.flag("subscribe_proxy_enabled")),
        publish_call: call(bag.flag("publish_proxy_enabled")),
        sub_refresh_call: call(bag.flag("sub_refresh_proxy_enabled")),
        clients_map_prefix: bag.text("map_clients_presence_channel_prefix").unwrap_or_default(),
        users_map_prefix: bag.text("map_users_presence_channel_prefix").unwrap_or_default(),
        map: map(bag.bag("map")),
        ..default
    };
    bag.end();
    options
}

fn map(mut bag: Bag) -> MapOptions {
    let default = MapOptions::default();
    let size = |number: Option<u64>, default: u32| number.map_or(default, |number| u32::try_from(number).unwrap());
    let options = MapOptions {
        mode: match bag.text("mode").as_deref() {
            None | Some("ephemeral") => MapMode::Ephemeral,
            Some("recoverable") => MapMode::Recoverable,
            Some("persistent") => MapMode::Persistent,
            Some(other) => panic!("no mode of maps is called {other:?}"),
        },
        key_ttl: bag.duration("key_ttl").unwrap_or_default(),
        stream_size: bag.size("stream_size").unwrap_or_default(),
        stream_ttl: bag.duration("stream_ttl").unwrap_or_default(),
        remove_client_on_unsubscribe: bag.flag("remove_client_on_unsubscribe"),
        client_key: match bag.text("client_key").as_deref() {
            None | Some("any") => ClientKey::Any,
            Some("client_id") => ClientKey::Client,
            Some("user_id") => ClientKey::User,
            Some(other) => panic!("no client_key is called {other:?}"),
        },
        publish: permission(&mut bag, "publish"),
        remove: permission(&mut bag, "remove"),
        page_size: size(bag.number("default_page_size"), default.page_size),
        min_page_size: size(bag.number("min_page_size"), default.min_page_size),
        max_page_size: size(bag.number("max_page_size"), default.max_page_size),
        catch_up_timeout: bag.duration("subscribe_catch_up_timeout").unwrap_or(default.catch_up_timeout),
        max_keys: bag.size("max_keys").unwrap_or(default.max_keys),
    };
    bag.end();
    options
}

fn permission(bag: &mut Bag, what: &str) -> Permission {
    let mut allows = |whom: &str| bag.flag(&format!("allow_{what}_for_{whom}"));
    Permission { client: allows("client"), subscriber: allows("subscriber"), anonymous: allows("anonymous") }
}
