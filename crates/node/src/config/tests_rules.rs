//! The text of every rule's fault.

use super::tests::{faults, load};

/// Each text has exactly this fault.
fn each_has_one(cases: &[(&str, &str)]) {
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
            "[channel.without_namespace]\npublish_to = \"app\"",
            "j.toml:2: channel.without_namespace.publish_to: is \"app\" while app_link.driver is \"none\"; choose \"embedded\", \"redis\" or \"rabbitmq\"",
        ),
    ]);
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
    ]);
    for text in [
        "http_server.address = \"127.0.0.2\"\nhttp_server.internal_port = 8400",
        "http_server.port = 0\nhttp_server.internal_port = 0",
        "[[tcp]]\nname = \"a\"\nport = 8402",
        "http_server.internal_address = \"\"\nhttp_api.disabled = true",
        "http_server.internal_address = \"\"\nhttp_api.key = \"x\"",
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
            "[[tcp]]\nname = \"a\"\nport = 1\nmessage_size_limit = 0",
            "j.toml:4: tcp[0].message_size_limit: is 0; write 1 or more",
        ),
    ]);
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
}
