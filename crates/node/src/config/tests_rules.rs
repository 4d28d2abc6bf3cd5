//! The text of every rule's fault.

use super::tests::{faults, load};

/// Each text has exactly this fault.
pub(super) fn each_has_one(cases: &[(&str, &str)]) {
    for (text, fault) in cases {
        assert_eq!(faults(text), [*fault], "{text}");
    }
}

#[test]
fn all_rules_are_told_at_once_in_the_order_of_the_file() {
    let text = "[rpc]\ntimeout = \"0s\"\n[client]\nchannel_limit = 0\n[shutdown]\ntimeout = \"0s\"\n";
    let expected = [
        "j.toml:2: rpc.timeout: is no time at all; write a duration such as \"5s\"",
        "j.toml:4: client.channel_limit: is 0; write 1 or more",
        "j.toml:6: shutdown.timeout: is no time at all; write a duration such as \"5s\"",
    ];
    assert_eq!(faults(text), expected);
}

#[test]
fn rules_of_clients() {
    each_has_one(&[
        (
            "client.allowed_origins = [\"example.com\"]",
            "j.toml:1: client.allowed_origins[0]: \"example.com\" has no scheme; write \"https://example.com\", or \"*\" for all",
        ),
        (
            "client.allowed_origins = [\"*\", \"null\", \"https://a.b/\"]",
            "j.toml:1: client.allowed_origins[2]: \"https://a.b/\" is more than an origin; leave out what follows host and port",
        ),
        (
            "client.allowed_origins = [\"https://\"]",
            "j.toml:1: client.allowed_origins[0]: \"https://\" has no host; write \"https://example.com\"",
        ),
        (
            "client.token.hmac_previous_secret_key = \"x\"",
            "j.toml:1: client.token.hmac_previous_secret_key: is given without the key in use; set client.token.hmac_secret_key",
        ),
        (
            "client.ping_interval = \"5s\"",
            "client.pong_timeout: \"8s\" is not less than client.ping_interval, \"5s\"; shorten the one or lengthen the other",
        ),
        (
            "client.pong_timeout = \"25s\"",
            "j.toml:1: client.pong_timeout: \"25s\" is not less than client.ping_interval, \"25s\"; shorten the one or lengthen the other",
        ),
        (
            "client.ping_interval = \"0s\"",
            "j.toml:1: client.ping_interval: is no time at all; write a duration such as \"5s\"",
        ),
        ("workers = 5000", "j.toml:1: workers: 5000 is more than 1024"),
    ]);
}

#[test]
fn rules_of_durable_history() {
    let history = "history_size = 5\nhistory_ttl = \"5s\"\n";
    each_has_one(&[
        (
            &format!("[channel.without_namespace]\n{history}durable = true"),
            "j.toml:4: channel.without_namespace.durable: is on while there is no log to write to; set history.path to a folder",
        ),
        (
            "[history]\npath = \"log\"\n[[channel.namespaces]]\nname = \"a\"\ndurable = true",
            "j.toml:5: channel.namespaces[0].durable: is on without history to keep; set history_size and history_ttl",
        ),
        (
            "history.fsync_interval = \"0s\"",
            "j.toml:1: history.fsync_interval: is no time at all; write a duration such as \"5s\"",
        ),
        (
            "history.max_bytes = 1000",
            "j.toml:1: history.max_bytes: 1000 is less than 67108864 (64 MiB); write more, or 0",
        ),
        (
            "history.fsync = \"sometimes\"",
            "j.toml:1: history.fsync: \"sometimes\" is unknown; write \"always\", \"interval\" or \"never\"",
        ),
    ]);
    assert!(load("history.fsync = \"always\"\nhistory.fsync_interval = \"0s\"", &[], &[]).is_ok());
    let (_, warnings) = load("history.path = \"log\"", &[], &[]).unwrap();
    assert!(warnings.iter().any(|warning| warning.starts_with("history.path is set, but nothing")), "{warnings:?}");
    let text = format!("history.path = \"log\"\n[channel.without_namespace]\n{history}durable = true");
    let (config, warnings) = load(&text, &[], &[]).unwrap();
    assert!(!warnings.iter().any(|warning| warning.contains("history.path")), "{warnings:?}");
    assert!(config.channel.without_namespace.durable);
    let map = "[[channel.namespaces]]\nname = \"m\"\nsubscription_type = \"map\"\nmap.mode = \"persistent\"";
    let text = format!("history.path = \"log\"\n{map}\nmap.stream_size = 9\nmap.stream_ttl = \"9s\"\ndurable = true");
    assert!(load(&text, &[], &[]).is_ok());
}

#[test]
fn rules_of_channels() {
    each_has_one(&[
        ("channel.max_length = 0", "j.toml:1: channel.max_length: is 0; write 1 or more"),
        ("channel.namespace_boundary = \"\"", "j.toml:1: channel.namespace_boundary: is empty; write \":\""),
        (
            "channel.private_prefix = \":\"",
            "j.toml:1: channel.private_prefix: \":\" is channel.namespace_boundary too; make one different",
        ),
        (
            "[[channel.namespaces]]\nname = \"Chat\"",
            "j.toml:2: channel.namespaces[0].name: \"Chat\" holds 'C'; a name has letters a-z, digits, _ and -",
        ),
        ("[[channel.namespaces]]\nname = \"\"", "j.toml:2: channel.namespaces[0].name: is empty; write a name"),
        (
            "[[channel.namespaces]]\nname = \"a\"\n[[channel.namespaces]]\nname = \"a\"",
            "j.toml:4: channel.namespaces[1].name: \"a\" is the name of channel.namespaces[0] too",
        ),
        (
            "channel.namespace_boundary = \"_\"\n[[channel.namespaces]]\nname = \"a_b\"",
            "j.toml:3: channel.namespaces[0].name: \"a_b\" holds channel.namespace_boundary, \"_\"",
        ),
        (
            "[channel.without_namespace]\nhistory_size = 5",
            "channel.without_namespace.history_ttl: is no time at all while history_size is set; history needs both",
        ),
        (
            "[[channel.namespaces]]\nname = \"a\"\nhistory_ttl = \"5s\"",
            "j.toml:1: channel.namespaces[0].history_size: is 0 while history_ttl is set; history needs both",
        ),
        (
            "[channel.without_namespace]\nforce_push_join_leave = true",
            "j.toml:2: channel.without_namespace.force_push_join_leave: is on while join_leave is off; turn join_leave on",
        ),
        (
            "[channel.without_namespace]\nallow_recovery = true",
            "j.toml:2: channel.without_namespace.allow_recovery: is on without history to recover from; set history_size and history_ttl",
        ),
        (
            "[[channel.namespaces]]\nname = \"a\"\nforce_recovery = true",
            "j.toml:3: channel.namespaces[0].force_recovery: is on without history to recover from; set history_size and history_ttl",
        ),
        (
            "[channel.without_namespace]\nhistory_size = 5\nforce_recovery = true",
            "channel.without_namespace.history_ttl: is no time at all while history_size is set; history needs both",
        ),
        (
            "[channel.without_namespace]\npublish_to = \"app\"",
            "j.toml:2: channel.without_namespace.publish_to: is \"app\" while app_link.driver is \"none\"; choose \"embedded\", \"redis\" or \"rabbitmq\"",
        ),
    ]);
}

#[test]
fn rules_of_what_channels_keep() {
    let stream = "[channel.without_namespace]\nhistory_size = 5\nhistory_ttl = \"5s\"\n";
    let map = "[[channel.namespaces]]\nname = \"m\"\nsubscription_type = \"map\"\n";
    let cases = [
        ("[channel.without_namespace]\nforce_recovery_mode = \"cache\"".to_owned(), "is \"cache\" without history"),
        (format!("{stream}auto_cache_recover = true"), "write force_recovery_mode = \"cache\""),
        (
            format!("{stream}interest = \"keys\""),
            "\"keys\" is no interest; write \"key\" or \"tag:\" and the name of a tag",
        ),
        (format!("{map}interest = \"key\""), "interest: is for streams"),
        (format!("{stream}delivery = \"newest\""), "\"newest\" is no delivery; write \"all\", \"latest\""),
        (format!("{stream}delivery = \"sampled:0\""), "N from 1 to 1000"),
        (
            format!("{stream}delivery = \"latest\"\nforce_recovery = true"),
            "turn snapshot on, or force_recovery and allow_recovery off",
        ),
        (format!("{stream}delta_publish = true"), "write allowed_delta_types = [\"fossil\"]"),
        (format!("{stream}snapshot = true\nsnapshot_keys = 0"), "write how many keys may be kept"),
        (format!("{stream}channel_regex = \"(\""), "\"(\" is no pattern: unclosed group"),
        (format!("{stream}map.key_ttl = \"5s\""), "is given for a stream; write subscription_type = \"map\""),
        (format!("{map}snapshot = true"), "is for streams; a map has its own stream, and its state"),
        (format!("{stream}delivery = \"latest\"\nallow_recovery = true"), "force_recovery and allow_recovery off"),
        (
            format!("{stream}delivery = \"latest\"\nforce_recovery = true\nforce_recovery_mode = \"cache\""),
            "turn snapshot on",
        ),
        (
            "[client.subscribe_to_user_personal_channel]\nenabled = true\npersonal_channel_namespace = \"me\""
                .to_owned(),
            "\"me\" is no namespace of channel.namespaces",
        ),
        (
            format!(
                "[client.subscribe_to_user_personal_channel]\nenabled = true\npersonal_channel_namespace = \"m\"\n{map}"
            ),
            "\"m\" is a map, and nobody is put into one",
        ),
        (format!("history.path = \"log\"\n{map}durable = true"), "write map.mode = \"persistent\""),
        (
            "[[channel.namespaces]]\nname = \"who\"\nsubscription_type = \"map_clients\"\nmap.key_ttl = \"5s\""
                .to_owned(),
            "would take those away who are still there",
        ),
        (format!("{map}delivery = \"drop_oldest\""), "may lose the last value of a key"),
        (format!("{map}map.mode = \"recoverable\""), "set map.stream_size and map.stream_ttl"),
        (format!("{map}map.stream_size = 5"), "write \"recoverable\", or leave the stream out"),
        (format!("{map}map.min_page_size = 2000"), "2000 is more than max_page_size, 1000"),
        (format!("{map}map_clients_presence_channel_prefix = \"m:\""), "give that subscription_type = \"map_clients\""),
        (
            "channel.without_namespace.map_users_presence_channel_prefix = \"x:\"".to_owned(),
            "is in the namespace `x`, which channel.namespaces does not have",
        ),
        (
            "[channel]\nuser_boundary = \"\"\n[channel.without_namespace]\nallow_user_limited_channels = true"
                .to_owned(),
            "write user_boundary = \"#\"",
        ),
        ("[[channel.namespaces]]\nname = \"/users//inbox\"".to_owned(), "has an empty part"),
    ];
    for (text, wanted) in cases {
        let faults = faults(&text);
        assert!(faults.len() == 1 && faults[0].contains(wanted), "{text}\n{faults:#?}");
    }
}

#[test]
fn rules_of_addresses_and_ports() {
    each_has_one(&[
        (
            "http_server.address = \"host\"",
            "j.toml:1: http_server.address: \"host\" is no IP address; write one such as \"127.0.0.1\" or \"::\", or \"\" for all interfaces",
        ),
        (
            "http_server.internal_port = 8400",
            "j.toml:1: http_server.internal_port: 8400 is taken by http_server.port; write another port",
        ),
        (
            "[[tcp]]\nname = \"a\"\nport = 8401",
            "j.toml:3: tcp[0].port: 8401 is taken by http_server.internal_port; write another port",
        ),
        (
            "app_link.driver = \"embedded\"\n[[tcp]]\nname = \"a\"\nport = 8402",
            "j.toml:4: tcp[0].port: 8402 is taken by embedded.port; write another port",
        ),
        (
            "app_link.driver = \"embedded\"\nembedded.address = \"\"",
            "j.toml:2: embedded.address: \"\" is not loopback, and the embedded queue asks for no password; write \"127.0.0.1\" or use app_link.driver = \"redis\"",
        ),
        (
            "http_server.internal_address = \"\"",
            "http_api.key: is empty while http_server.internal_address is \"\": anyone could command the server; set http_api.key, or http_server.internal_address = \"127.0.0.1\", or http_api.disabled = true",
        ),
        (
            "[[tcp]]\nname = \"a\"\nport = 1\n[[tcp]]\nname = \"a\"\nport = 2",
            "j.toml:5: tcp[1].name: \"a\" is the name of tcp[0] too",
        ),
        ("[[tcp]]\nname = \"\"\nport = 1", "j.toml:2: tcp[0].name: is empty; write a name"),
        ("[[tcp]]\nname = \"a\"", "j.toml:1: tcp[0].port: is missing; write a port, or on_public_port = true"),
        (
            "http_server.api_on_public_port = true",
            "http_api.key: is empty while http_server.api_on_public_port is on: anyone could command the server; set http_api.key",
        ),
        (
            "http_server.handshake_timeout = \"0s\"",
            "j.toml:1: http_server.handshake_timeout: is no time at all; write a duration such as \"5s\"",
        ),
    ]);
    for text in [
        "http_server.address = \"127.0.0.2\"\nhttp_server.internal_port = 8400",
        "http_server.port = 0\nhttp_server.internal_port = 0",
        "[[tcp]]\nname = \"a\"\nport = 8402",
        "http_server.internal_address = \"\"\nhttp_api.disabled = true",
        "http_server.internal_address = \"\"\nhttp_api.key = \"x\"",
        "http_server.api_on_public_port = true\nhttp_api.key = \"x\"",
        "http_server.api_on_public_port = true\nhttp_api.insecure = true",
    ] {
        load(text, &[], &[]).expect(text);
    }
}

#[test]
fn rules_of_paths_and_sizes() {
    each_has_one(&[
        ("websocket.message_size_limit = 0", "j.toml:1: websocket.message_size_limit: is 0; write 1 or more"),
        (
            "websocket.handler_prefix = \"ws\"",
            "j.toml:1: websocket.handler_prefix: \"ws\" does not begin with a slash; write \"/ws\"",
        ),
        (
            "websocket.handler_prefix = \"/w s\"",
            "j.toml:1: websocket.handler_prefix: \"/w s\" is no plain path; write letters, digits, / _ - .",
        ),
        (
            "websocket.handler_prefix = \"/health\"",
            "j.toml:1: websocket.handler_prefix: \"/health\" is taken by the health endpoint; write another path",
        ),
    ]);
    let level = "is no level; write 1 (fast) to 9 (small)";
    for number in [0, 10] {
        let text = format!("websocket.compression_level = {number}");
        assert_eq!(faults(&text), [format!("j.toml:1: websocket.compression_level: {number} {level}")]);
    }
    for key in [
        "websocket.decompressed_message_size_limit",
        "websocket.compression_ratio_limit",
        "sse.max_request_body_size",
        "http_stream.max_request_body_size",
        "emulation.max_request_body_size",
        "uni_websocket.message_size_limit",
        "uni_sse.max_request_body_size",
        "uni_http_stream.max_request_body_size",
        "sockets.backlog",
    ] {
        assert_eq!(faults(&format!("{key} = 0")), [format!("j.toml:1: {key}: is 0; write 1 or more")]);
    }
}

#[test]
fn rules_of_paths_that_meet() {
    for section in ["sse", "http_stream", "uni_websocket", "uni_sse", "uni_http_stream"] {
        let on = format!("{section}.enabled = true\n{section}.handler_prefix = ");
        let taken = "is taken by websocket.handler_prefix; write another path";
        assert_eq!(
            faults(&format!("{on}\"/connection/websocket\"")),
            [format!("j.toml:2: {section}.handler_prefix: \"/connection/websocket\" {taken}")]
        );
        load(&format!("{section}.handler_prefix = \"/connection/websocket\""), &[], &[]).expect("it is off");
        let bare = "does not begin with a slash; write \"/bare\"";
        assert_eq!(faults(&format!("{on}\"bare\"")), [format!("j.toml:2: {section}.handler_prefix: \"bare\" {bare}")]);
    }
    each_has_one(&[
        (
            "sse.enabled = true\nemulation.handler_prefix = \"/connection/sse\"",
            "j.toml:2: emulation.handler_prefix: \"/connection/sse\" is taken by sse.handler_prefix; write another path",
        ),
        (
            "http_stream.enabled = true\n[[raw]]\ndialect = \"echo\"\npath = \"/emulation\"",
            "j.toml:4: raw[0].path: \"/emulation\" is taken by emulation.handler_prefix; write another path",
        ),
        (
            "dev = true\n[[raw]]\ndialect = \"echo\"\npath = \"/\"",
            "j.toml:4: raw[0].path: \"/\" is taken by the page of development mode; write another path",
        ),
        (
            "http_api.key = \"x\"\nhttp_server.api_on_public_port = true\nsse.enabled = true\nsse.handler_prefix = \"/metrics\"",
            "j.toml:4: sse.handler_prefix: \"/metrics\" is taken by prometheus.handler_prefix; write another path",
        ),
        (
            "http_api.key = \"x\"\nhttp_server.api_on_public_port = true\nsse.enabled = true\nsse.handler_prefix = \"/api/sse\"",
            "j.toml:4: sse.handler_prefix: \"/api/sse\" is taken by the server API; write another path",
        ),
        (
            "prometheus.handler_prefix = \"metrics\"",
            "j.toml:1: prometheus.handler_prefix: \"metrics\" does not begin with a slash; write \"/metrics\"",
        ),
        (
            "prometheus.handler_prefix = \"/health\"",
            "j.toml:1: prometheus.handler_prefix: \"/health\" is taken by the health endpoint; write another path",
        ),
        (
            "prometheus.handler_prefix = \"/api/info\"",
            "j.toml:1: prometheus.handler_prefix: \"/api/info\" is taken by the server API; write another path",
        ),
    ]);
    for text in [
        "emulation.handler_prefix = \"/connection/websocket\"",
        "sse.enabled = true\nsse.handler_prefix = \"/metrics\"",
        "prometheus.enabled = false\nprometheus.handler_prefix = \"metrics\"",
    ] {
        load(text, &[], &[]).expect(text);
    }
}

#[test]
fn rules_of_sockets() {
    each_has_one(&[
        ("sockets.backlog = 3000000000", "j.toml:1: sockets.backlog: 3000000000 is more than 2147483647"),
        ("sockets.notsent_lowat = 3000000000", "j.toml:1: sockets.notsent_lowat: 3000000000 is more than 2147483647"),
        (
            "sockets.keepalive = \"10h\"",
            "j.toml:1: sockets.keepalive: \"10h\" is more than \"9h6m7s\", the longest the system takes",
        ),
        (
            "sockets.user_timeout = \"30ms\"",
            "j.toml:1: sockets.user_timeout: \"30ms\" is less than \"1s\"; write more, or \"0s\"",
        ),
    ]);
    let text = "[sockets]\nnotsent_lowat = 0\nuser_timeout = \"0s\"\nkeepalive = \"0s\"";
    load(text, &[], &[]).expect(text);
}

#[test]
fn rules_of_raw_endpoints() {
    let raw = "publish_to = \"channel\"\nchannel = \"a\"\n";
    let cases = [
        ("path = \"ws\"", "raw[0].path: \"ws\" does not begin with a slash; write \"/ws\""),
        ("path = \"/a?b\"", "raw[0].path: \"/a?b\" is no plain path; write letters, digits, / _ - ."),
        (
            "path = \"/connection/websocket\"",
            "raw[0].path: \"/connection/websocket\" is taken by websocket.handler_prefix; write another path",
        ),
        ("message_size_limit = 0", "raw[0].message_size_limit: is 0; write 1 or more"),
        ("event = \"\"", "raw[0].event: is empty; write a name such as \"message\""),
    ];
    for (line, fault) in cases {
        assert_eq!(faults(&format!("[[raw]]\n{raw}{line}")), [format!("j.toml:4: {fault}")]);
    }
    let twice = faults(&format!("[[raw]]\n{raw}[[raw]]\n{raw}"));
    assert_eq!(twice, ["j.toml:4: raw[1].path: \"/ws\" is taken by raw[0].path; write another path"]);
}

#[test]
fn rules_of_raw_clients() {
    each_has_one(&[
        (
            "[[raw]]",
            "j.toml:1: raw[0].publish_to: is \"app\" while app_link.driver is \"none\"; choose \"embedded\", \"redis\" or \"rabbitmq\"",
        ),
        (
            "[app_link]\ndriver = \"embedded\"\nevents = []\n[[raw]]\npublish_to = \"app\"",
            "j.toml:5: raw[0].publish_to: is \"app\" while app_link.events lacks \"message\"; add it",
        ),
        (
            "[[raw]]\npublish_to = \"channel\"",
            "j.toml:1: raw[0].channel: is empty while publish_to is \"channel\"; name the channel",
        ),
        (
            "[[raw]]\npublish_to = \"channel\"\nchannel = \"{user}\"",
            "j.toml:3: raw[0].channel: \"{user}\" has the unknown variable {user}; known are {client}, {remote}, {listener} and {query.NAME}",
        ),
        (
            "[[raw]]\npublish_to = \"channel\"\nchannel = \"$room:{client}\"",
            "j.toml:3: raw[0].channel: \"$room:{client}\" is in the namespace `room`, which channel.namespaces does not have",
        ),
        (
            "[[tcp]]\nname = \"a\"\nport = 1\nchannel = \"a\"",
            "j.toml:1: tcp[0]: has channel, event, publish_to or data, which only dialect = \"raw\" knows",
        ),
        (
            "[[tcp]]\nname = \"a\"\nport = 1\ndialect = \"raw\"\npublish_to = \"channel\"\nchannel = \"{query.x}\"",
            "j.toml:6: tcp[0].channel: \"{query.x}\" has a {query.NAME}, which a TCP client cannot fill",
        ),
        (
            "[[raw]]\ndialect = \"echo\"\nchannel = \"a\"",
            "j.toml:1: raw[0]: has channel, event, publish_to or data, which only dialect = \"raw\" knows",
        ),
        (
            "[[tcp]]\nname = \"a\"\nport = 1\ndialect = \"echo\"\nevent = \"x\"",
            "j.toml:1: tcp[0]: has channel, event, publish_to or data, which only dialect = \"raw\" knows",
        ),
        (
            "[[tcp]]\nname = \"a\"\nport = 1\nmessage_size_limit = 0",
            "j.toml:4: tcp[0].message_size_limit: is 0; write 1 or more",
        ),
    ]);
}

#[test]
fn rules_of_tcp_listeners() {
    let tcp = "[[tcp]]\nname = \"a\"\n";
    for (lines, fault) in [
        (
            "port = 1\ndialect = \"centrifugo-protobuf\"",
            "tcp[0].framing: is \"lines\" while dialect is \"centrifugo-protobuf\", whose messages may hold newlines; write \"varint\"",
        ),
        (
            "port = 1\nframing = \"varint\"",
            "tcp[0].framing: is \"varint\" while dialect is \"centrifugo-json\"; write \"lines\", or dialect = \"centrifugo-protobuf\"",
        ),
        (
            "port = 1\nframing = \"u24be\"\ndialect = \"raw\"\npublish_to = \"channel\"\nchannel = \"a\"",
            "tcp[0].framing: \"u24be\" is no framing; write \"lines\", \"varint\", \"fixed:N\" with N from 1 to 65535, or \"u8\", \"u16be\", \"u16le\", \
             \"u32be\" or \"u32le\" for the length before each message",
        ),
        (
            "port = 1\nframing = \"u16be\"",
            "tcp[0].framing: is \"u16be\" while dialect is \"centrifugo-json\"; write \"lines\", or dialect = \"centrifugo-protobuf\"",
        ),
        (
            "port = 1\nframing = \"fixed:9\"\ndialect = \"echo\"\nmessage_size_limit = 8",
            "tcp[0].framing: is \"fixed:9\", more than message_size_limit, 8",
        ),
        (
            "port = 1\nframing = \"u8\"\ndialect = \"fields\"\npublish_to = \"channel\"\nchannel = \"a\"",
            "tcp[0].messages: are none; declare them in [[tcp.messages]]",
        ),
        (
            "port = 1\ndialect = \"echo\"\n[[tcp.messages]]\nevent = \"a\"",
            "tcp[0].messages: are for dialect = \"fields\"",
        ),
        ("on_public_port = true\nport = 1", "tcp[0].port: is given while on_public_port is on; leave one of them out"),
        (
            "on_public_port = true\naddress = \"\"",
            "tcp[0].address: is given while on_public_port is on; http_server.address counts",
        ),
        (
            "on_public_port = true\nproxy_protocol = true",
            "tcp[0].proxy_protocol: is on while on_public_port is on; http_server.proxy_protocol counts",
        ),
        (
            "on_public_port = true\ntls = { enabled = true, cert_pem_file = \"c\", key_pem_file = \"k\" }",
            "tcp[0].tls.enabled: is on while on_public_port is on; http_server.tls counts",
        ),
        (
            "on_public_port = true\n[[tcp]]\nname = \"b\"\non_public_port = true",
            "tcp[1].on_public_port: is on for tcp[0] too, and first bytes tell no two apart; give one a port",
        ),
    ] {
        let found = faults(&format!("{tcp}{lines}"));
        assert!(found.len() == 1 && found[0].ends_with(&format!(": {fault}")), "{found:?}");
    }
    for lines in [
        "port = 0\nframing = \"varint\"\ndialect = \"centrifugo-protobuf\"",
        "port = 0\nframing = \"varint\"\ndialect = \"raw\"\npublish_to = \"channel\"\nchannel = \"a\"",
        "port = 0\nframing = \"varint\"\ndialect = \"echo\"",
        "port = 0\nframing = \"u32le\"\ndialect = \"echo\"",
        "port = 0\nframing = \"fixed:12\"\ndialect = \"raw\"\npublish_to = \"channel\"\nchannel = \"a\"",
        "on_public_port = true\ndialect = \"echo\"\nidle_timeout = \"1m\"",
        // A port it does not have meets no other.
        "on_public_port = true\n[[tcp]]\nname = \"b\"\nport = 0",
    ] {
        load(&format!("{tcp}{lines}"), &[], &[]).expect(lines);
    }
}

#[test]
fn rules_of_declared_messages() {
    let tcp = "[[tcp]]\nname = \"a\"\nport = 1\nframing = \"fixed:12\"\ndialect = \"fields\"\npublish_to = \"channel\"\nchannel = \"a\"\n\
               [[tcp.messages]]\nevent = \"move\"\n";
    for (line, fault) in [
        (
            "when = [{offset = 0, kind = \"u24\", value = 1}]",
            "when[0].kind: \"u24\" is no integer; write u8, i8, u16be",
        ),
        ("when = [{offset = 0, kind = \"u8\", value = 256}]", "when[0].value: 256 does not fit into \"u8\""),
        (
            "fields = [{name = \"x\", offset = 0, kind = \"float\"}]",
            "fields[0].kind: \"float\" is no kind of field; write u8",
        ),
        (
            "fields = [{name = \"\", offset = 0, kind = \"u8\"}]",
            "fields[0].name: is empty; write the name it has in data",
        ),
        (
            "fields = [{name = \"x\", offset = 0, kind = \"u8\"}, {name = \"x\", offset = 1, kind = \"u8\"}]",
            "fields[1].name: \"x\" is the name of a field before it too",
        ),
        (
            "fields = [{name = \"x\", offset = 11, kind = \"u16be\"}]",
            "needs 13 bytes, and a message of this listener has 12 at most",
        ),
        ("length = 13", "needs 13 bytes"),
        (
            "fields = [{name = \"t\", offset = 0, kind = \"text\"}, {name = \"x\", offset = 1, kind = \"u8\"}]",
            "fields[0].length: is 0, to the end of the message, and fields follow",
        ),
        (
            "fields = [{name = \"t\", offset = 0, kind = \"text\", length = 3, names = [\"a\"]}]",
            "names: are for integers",
        ),
    ] {
        let found = faults(&format!("{tcp}{line}"));
        assert!(
            found.len() == 1 && found[0].contains("tcp[0].messages[0]") && found[0].contains(fault),
            "{line}: {found:?}"
        );
    }
    let good = "when = [{offset = 0, kind = \"u8\", value = 1}]\nfields = [{name = \"facing\", offset = 1, kind = \"u8\", names = [\"n\", \"e\"]}, \
                {name = \"x\", offset = 2, kind = \"f32le\"}, {name = \"who\", offset = 6, kind = \"text\", length = 6}]";
    load(&format!("{tcp}{good}"), &[], &[]).expect(good);
}

#[test]
fn rules_of_the_application() {
    each_has_one(&[
        (
            "app_link.driver = \"redis\"",
            "app_link.url: is empty while app_link.driver is \"redis\"; write \"redis://127.0.0.1:6379/0\"",
        ),
        (
            "app_link.driver = \"rabbitmq\"\napp_link.url = \"redis://a\"",
            "j.toml:2: app_link.url: is no address of app_link.driver \"rabbitmq\"; write \"amqp://user:password@127.0.0.1:5672/%2f\"",
        ),
        (
            "app_link.url = \"redis://a\"",
            "j.toml:1: app_link.url: is given to no driver that connects anywhere; set app_link.driver to \"redis\" or \"rabbitmq\", or leave the url out",
        ),
        ("app_link.partitions = 0", "j.toml:1: app_link.partitions: is 0; write 1 or more"),
        ("app_link.partitions = 2000", "j.toml:1: app_link.partitions: 2000 is more than 1024"),
        ("app_link.prefix = \"\"", "j.toml:1: app_link.prefix: is empty; write \"jackfield\""),
        (
            "app_link.prefix = \"a{b\"",
            "j.toml:1: app_link.prefix: \"a{b\" holds '{'; a prefix has letters, digits, _ - and .",
        ),
        ("app_link.events = [\"connect\", \"connect\"]", "j.toml:1: app_link.events[1]: is given twice"),
        ("embedded.memory_limit = 0", "j.toml:1: embedded.memory_limit: is 0; write 1 or more"),
        (
            "rpc.without_namespace.proxy_enabled = true",
            "j.toml:1: rpc.without_namespace.proxy_enabled: is on while app_link.driver is \"none\"; choose \"embedded\", \"redis\" or \"rabbitmq\"",
        ),
        (
            "client.proxy.connect.enabled = true",
            "j.toml:1: client.proxy.connect.enabled: is on while app_link.driver is \"none\"; choose \"embedded\", \"redis\" or \"rabbitmq\"",
        ),
        (
            "channel.without_namespace.subscribe_proxy_enabled = true",
            "j.toml:1: channel.without_namespace.subscribe_proxy_enabled: is on while app_link.driver is \"none\"; choose \"embedded\", \"redis\" or \"rabbitmq\"",
        ),
    ]);
}

#[test]
fn what_is_rarely_meant_is_warned_of() {
    let text = "client.insecure = true\nhttp_api.insecure = true\nhttp_server.internal_address = \"\"";
    let (_, warnings) = load(text, &[], &[]).unwrap();
    let expected = [
        "client.insecure is on beyond loopback: everyone who reaches the port may do everything",
        "http_api.insecure is on beyond loopback: everyone who reaches the port commands the server",
    ];
    assert_eq!(warnings, expected);
    let text = "client.insecure = true\nhttp_api.insecure = true\nhttp_server.api_on_public_port = true";
    let (_, warnings) = load(text, &[], &[]).unwrap();
    assert_eq!(warnings, expected);
}
