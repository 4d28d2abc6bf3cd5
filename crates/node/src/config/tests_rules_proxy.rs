//! The rules of proxies: endpoints that cannot be asked, names that mean nobody.

use super::tests::{faults, load};

/// Each text has one fault, in the line told, that says so.
fn each_says(cases: &[(&str, &str)]) {
    for (text, wanted) in cases {
        let found = faults(text);
        assert!(found.len() == 1 && found[0].contains(wanted), "{text}\n{found:?}");
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
}

#[test]
fn endpoints_are_addresses_of_http() {
    each_says(&[
        (
            "rpc.proxy.endpoint = \"grpc://localhost:1\"",
            "j.toml:1: rpc.proxy.endpoint: is a gRPC endpoint, which is not spoken here",
        ),
        ("rpc.proxy.endpoint = \"localhost\"", "j.toml:1: rpc.proxy.endpoint: has no scheme"),
        ("channel.proxy.publish.timeout = \"0s\"", "channel.proxy.publish.timeout: is no time at all"),
        ("client.proxy.refresh.max_in_flight = 0", "client.proxy.refresh.max_in_flight: is 0; write 1 or more"),
        ("rpc.proxy.secret = \"hunter2\"", "rpc.proxy.secret: is no standard base64"),
        ("rpc.proxy.secret = \"whsec_aHVudGVyMg==\"", "rpc.proxy.secret: has fewer than 24 bytes"),
        (
            "rpc.proxy.http_headers = [\"Cookie\"]",
            "rpc.proxy.http_headers[0]: \"Cookie\" is not kept of a client's request",
        ),
        (
            "client.proxy.connect.http_headers = [\"Cookie\"]",
            "client.proxy.connect.http_headers[0]: \"Cookie\" is not kept of a client's request",
        ),
        (
            "client.proxy.connect = {endpoint = \"http://localhost\", http_headers = [\"Cookie\", \"a b\"]}",
            "client.proxy.connect.http_headers[1]: \"a b\" is no name of a header",
        ),
        (
            "client.proxy.connect = {endpoint = \"http://localhost\", http_headers = [\"Content-Length\"]}",
            "client.proxy.connect.http_headers[0]: \"Content-Length\" is not the client's to say",
        ),
        (
            "client.proxy.connect = {endpoint = \"http://localhost\", http_headers = [\"Webhook-Signature\"]}",
            "is not the client's to say to the application; take it out",
        ),
        ("rpc.proxy.http.static_headers = {\"a b\" = \"hunter2\"}", "\"a b\" is no name of a header"),
        ("rpc.proxy.http.static_headers = {\"a\" = \"hunter2\\n\"}", "the value of \"a\" holds a control character"),
        ("rpc.proxy.http.static_headers = {\"a\" = 1}", "rpc.proxy.http.static_headers.a: the value is no text"),
        ("rpc.proxy.http.static_headers = [\"hunter2\"]", "is no table; write [rpc.proxy.http.static_headers]"),
    ]);
}

#[test]
fn a_status_means_one_thing() {
    let transforms = |entries: &str| format!("rpc.proxy.http.status_to_code_transforms = [{entries}]");
    for (entries, wanted) in [
        ("{to_error = {code = 400}}", "lacks `status_code`"),
        ("{status_code = 200, to_error = {code = 400}}", "status_code 200 is no status of a refusal"),
        ("{status_code = 404}", "says nothing"),
        ("{status_code = 404, to_error = {code = 2000}}", "to_error.code 2000 is no code of an error"),
        ("{status_code = 404, to_disconnect = {code = 1000}}", "to_disconnect.code 1000 is no code of an end"),
        ("{status_code = 404, to_error = {code = 400}, to_disconnect = {code = 4000}}", "has both"),
        (
            "{status_code = 404, to_error = {code = 400}}, {status_code = 404, to_error = {code = 401}}",
            "status_to_code_transforms[1]: status_code 404 is that of the entry 0 too",
        ),
    ] {
        each_says(&[(&transforms(entries), wanted)]);
    }
}

#[test]
fn names_mean_proxies() {
    let slow = "[[proxies]]\nname = \"slow\"\nendpoint = \"http://localhost\"\n";
    each_says(&[
        (
            "[[proxies]]\nname = \"app\"\nendpoint = \"http://a\"",
            "j.toml:2: proxies[0].name: \"app\" has a meaning of its own",
        ),
        ("[[proxies]]\nname = \"a\"", "proxies[0].endpoint: is empty"),
        (&format!("{slow}{slow}"), "j.toml:5: proxies[1].name: \"slow\" is the name of proxies[0] too"),
        (
            &format!("rpc.without_namespace.proxy_name = \"slo\"\n{slow}"),
            "rpc.without_namespace.proxy_name: \"slo\" is the name of no proxy (did you mean \"slow\"?)",
        ),
        ("rpc.namespace_boundary = \"\"", "rpc.namespace_boundary: is empty"),
        (
            "[[rpc.namespaces]]\nname = \"a\"\n[[rpc.namespaces]]\nname = \"a\"",
            "rpc.namespaces[1].name: \"a\" is the name of",
        ),
        (
            "[[channel.namespaces]]\nname = \"a\"\npublish_proxy_enabled = true\npublish_proxy_name = \"app\"",
            "j.toml:3: channel.namespaces[0].publish_proxy_enabled: is on while app_link.driver is \"none\"",
        ),
        (
            "channel.without_namespace.subscribe_proxy_enabled = true",
            "channel.without_namespace.subscribe_proxy_enabled: is on while app_link.driver is \"none\"",
        ),
    ]);
    let text =
        format!("rpc.without_namespace.proxy_name = \"slow\"\nrpc.without_namespace.proxy_enabled = true\n{slow}");
    assert!(load(&text, &[], &[]).is_ok(), "an endpoint needs no link");
}

#[test]
fn headers_come_from_variables_too() {
    const NAME: &str = "JACKFIELD_RPC_PROXY_HTTP_STATIC_HEADERS";
    let (config, _) = load("", &[(NAME, r#"{"Authorization": "Bearer x"}"#)], &[]).unwrap();
    assert_eq!(config.rpc.proxy.http.static_headers["Authorization"].expose(), "Bearer x");
    let found = load("", &[(NAME, "Authorization=hunter2")], &[]).unwrap_err();
    assert!(found[0].contains("is no JSON object") && !found[0].contains("hunter2"), "{found:?}");
}
