//! The text of every fault about TLS, authorities, proxies and users named by certificates.

use super::tests::{faults, load};
use super::tests_rules::each_has_one;
use super::{ClientAuth, Forwarded, TlsVersion};

const PAIR: &str = "cert_pem_file = \"c.pem\"\nkey_pem_file = \"k.pem\"\n";

#[test]
fn rules_of_certificates() {
    for section in ["http_server.tls", "http_server.internal_tls"] {
        let cases = [
            (
                "enabled = true",
                format!(
                    "j.toml:2: {section}.enabled: is on without a certificate; set {section}.cert_pem_file and {section}.key_pem_file"
                ),
            ),
            (
                "enabled = true\ncert_pem_file = \"c.pem\"",
                format!(
                    "{section}.key_pem_file: is empty while cert_pem_file is given; name the file of the certificate's private key"
                ),
            ),
            (
                "enabled = true\nkey_pem_file = \"k.pem\"",
                format!("{section}.cert_pem_file: is empty while key_pem_file is given; name the certificate's file"),
            ),
            (
                "client_auth = \"optional\"",
                format!(
                    "j.toml:2: {section}.client_auth: is \"optional\" without an authority to hold certificates against; set {section}.client_ca_pem_file"
                ),
            ),
            (
                "client_auth = \"none\"\nclient_ca_pem_file = \"a.pem\"",
                format!(
                    "j.toml:2: {section}.client_auth: is \"none\" while {section}.client_ca_pem_file is given; write \"optional\" or \"required\", or leave the file out"
                ),
            ),
            (
                "also_plain = true",
                format!(
                    "j.toml:2: {section}.also_plain: is on while TLS is off; set {section}.enabled, or leave it out"
                ),
            ),
            (
                "enabled = true\n[[SECTION.certificates]]\ncert_pem_file = \"\"\nkey_pem_file = \"\"",
                format!("j.toml:4: {section}.certificates[0].cert_pem_file: is empty; name the certificate's file"),
            ),
            (
                "enabled = true\n[[SECTION.certificates]]\ncert_pem_file = \"c\"\nkey_pem_file = \"\"",
                format!(
                    "j.toml:5: {section}.certificates[0].key_pem_file: is empty while cert_pem_file is given; name the file of the certificate's private key"
                ),
            ),
            (
                "enabled = true\n[[SECTION.certificates]]\ncert_pem_file = \"c\"",
                format!("j.toml:3: {section}.certificates[0]: lacks `key_pem_file`"),
            ),
        ];
        for (lines, fault) in cases {
            assert_eq!(faults(&format!("[{section}]\n{lines}").replace("SECTION", section)), [fault]);
        }
        let text = format!("[{section}]\nenabled = true\nalso_plain = true\nmin_version = \"1.3\"\n{PAIR}");
        load(&text, &[], &[]).expect(&text);
        let only = format!("[[{section}.certificates]]\n{PAIR}[{section}]\nenabled = true");
        load(&only, &[], &[]).expect("a certificate that is chosen by name");
    }
    each_has_one(&[
        (
            "[[tcp]]\nname = \"a\"\nport = 1\ntls.enabled = true",
            "j.toml:4: tcp[0].tls.enabled: is on without a certificate; set tcp[0].tls.cert_pem_file and tcp[0].tls.key_pem_file",
        ),
        (
            "http_server.tls.min_version = \"1.1\"",
            "j.toml:1: http_server.tls.min_version: \"1.1\" is unknown; write \"1.2\" or \"1.3\"",
        ),
        (
            "http_server.tls.cert_file = \"c\"",
            "j.toml:1: http_server.tls.cert_file: is no known key; did you mean `cert_pem_file`?",
        ),
    ]);
}

#[test]
fn clients_are_asked_where_there_is_an_authority() {
    let text = format!("[http_server.tls]\nenabled = true\nmin_version = \"1.3\"\n{PAIR}");
    for (line, asked) in [
        ("", ClientAuth::None),
        ("client_auth = \"none\"", ClientAuth::None),
        ("client_ca_pem_file = \"a.pem\"", ClientAuth::Required),
        ("client_ca_pem_file = \"a.pem\"\nclient_auth = \"optional\"", ClientAuth::Optional),
    ] {
        let (config, _) = load(&format!("{text}{line}"), &[], &[]).expect(line);
        assert_eq!(config.http_server.tls.asks_clients(), asked, "{line}");
        assert_eq!(config.http_server.tls.min_version, TlsVersion::V1_3);
    }
}

#[test]
fn rules_of_fetched_certificates() {
    let good = "enabled = true\nhost_whitelist = [\"example.com\"]\ncache_dir = \"acme\"\n";
    let name = "is no host name; write one such as \"example.com\"";
    let cases = [
        (
            "enabled = true\ncache_dir = \"acme\"".to_owned(),
            "host_whitelist: is empty while certificates are to be fetched; write [\"example.com\"]".to_owned(),
        ),
        (
            "enabled = true\nhost_whitelist = [\"example.com\"]".to_owned(),
            "cache_dir: is empty while certificates are to be fetched, and an authority gives few of them twice; name a directory that outlives restarts".to_owned(),
        ),
        (
            "host_whitelist = [\"*.example.com\"]".to_owned(),
            "host_whitelist[0]: \"*.example.com\" is a wildcard, which cannot be proven over this port; write each name"
                .to_owned(),
        ),
        (format!("{good}email = \"me\""), "email: \"me\" is no mail address; write \"name@example.com\"".to_owned()),
        (
            format!("{good}directory_url = \"http://a/dir\""),
            "directory_url: \"http://a/dir\" is no https address; write one such as \"https://acme-v02.api.letsencrypt.org/directory\"".to_owned(),
        ),
    ];
    for (lines, fault) in cases {
        let found = faults(&format!("[http_server.tls_autocert]\n{lines}"));
        assert!(found.len() == 1, "{found:?}");
        assert!(found[0].ends_with(&format!("http_server.tls_autocert.{fault}")), "{found:?}");
    }
    for host in ["https://example.com", "192.0.2.1", "a..b", "-a.b", "example.com:443", ""] {
        let found = faults(&format!("http_server.tls_autocert.host_whitelist = [\"{host}\"]"));
        assert_eq!(found, [format!("j.toml:1: http_server.tls_autocert.host_whitelist[0]: \"{host}\" {name}")]);
    }
    let text = format!("[http_server.tls]\nalso_plain = true\n[http_server.tls_autocert]\nhttp = true\n{good}");
    let (config, _) = load(&text, &[], &[]).expect("the authority's certificates are enough");
    assert!(config.http_server.speaks_tls() && !config.http_server.tls.enabled);
}

#[test]
fn rules_of_proxies() {
    let nobody = "while client.trusted_proxies is empty, so nobody would be believed; list the proxies' networks";
    for (text, key, state) in [
        ("http_server.proxy_protocol = true", "j.toml:1: http_server.proxy_protocol", "is on"),
        ("http_server.forwarded = \"forwarded\"", "j.toml:1: http_server.forwarded", "is \"forwarded\""),
        ("http_server.forwarded = \"x-forwarded-for\"", "j.toml:1: http_server.forwarded", "is \"x-forwarded-for\""),
        ("[[tcp]]\nname = \"a\"\nport = 1\nproxy_protocol = true", "j.toml:4: tcp[0].proxy_protocol", "is on"),
    ] {
        assert_eq!(faults(text), [format!("{key}: {state} {nobody}")]);
        load(&format!("client.trusted_proxies = [\"10.0.0.0/8\"]\n{text}"), &[], &[]).expect(text);
    }
    for entry in ["proxy", "10.0.0.0/33", "10.0.0", ""] {
        let text = "is no network; write one such as \"10.0.0.0/8\", or an address such as \"192.0.2.7\"";
        assert_eq!(
            faults(&format!("client.trusted_proxies = [\"::1\", \"{entry}\"]")),
            [format!("j.toml:1: client.trusted_proxies[1]: \"{entry}\" {text}")]
        );
    }
    let text = "client.trusted_proxies = [\"10.1.0.0/16\", \"192.0.2.7\", \"fd00::/8\", \"::1\"]\n\
                http_server.forwarded = \"x-forwarded-for\"";
    let (config, _) = load(text, &[], &[]).unwrap();
    let networks: Vec<_> = config.client.trusted_networks().iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.1.0.0/16", "192.0.2.7/32", "fd00::/8", "::1/128"]);
    assert_eq!(config.http_server.forwarded, Forwarded::XForwardedFor);
}

#[test]
fn rules_of_users_named_by_certificates() {
    let remedy = |section: &str| {
        format!(
            "is on while {section} asks no client for a certificate; set {section}.enabled and {section}.client_ca_pem_file"
        )
    };
    let tls = format!("[http_server.tls]\nenabled = true\n{PAIR}");
    let user = "[client]\nuser_from_certificate = true\n";
    let fault = |line: usize| format!("j.toml:{line}: client.user_from_certificate: {}", remedy("http_server.tls"));
    assert_eq!(faults(user), [fault(2)]);
    assert_eq!(faults(&format!("{user}{tls}")), [fault(2)]);
    assert_eq!(faults(&format!("{user}[http_server.tls]\nclient_ca_pem_file = \"a.pem\"")), [fault(2)]);
    load(&format!("{user}{tls}client_ca_pem_file = \"a.pem\""), &[], &[]).expect("clients show certificates");

    let tcp = "[[tcp]]\nname = \"a\"\nuser_from_certificate = true\n";
    let own = format!("j.toml:3: tcp[0].user_from_certificate: {}", remedy("tcp[0].tls"));
    assert_eq!(faults(&format!("{tcp}port = 1")), [own]);
    let shared = format!("j.toml:3: tcp[0].user_from_certificate: {}", remedy("http_server.tls"));
    assert_eq!(faults(&format!("{tcp}on_public_port = true")), [shared]);
    load(&format!("{tcp}on_public_port = true\n{tls}client_ca_pem_file = \"a.pem\""), &[], &[]).expect("public");
    let text = format!("{tcp}port = 1\n[tcp.tls]\nenabled = true\n{PAIR}client_ca_pem_file = \"a.pem\"");
    load(&text, &[], &[]).expect("its own");
}

#[test]
fn idle_certificates_and_boundless_trust_are_warned_of() {
    let text = format!(
        "client.insecure = true\nclient.trusted_proxies = [\"0.0.0.0/0\"]\nhttp_server.address = \"::1\"\n\
         [http_server.tls]\n{PAIR}[http_server.internal_tls]\n{PAIR}\
         [[tcp]]\nname = \"a\"\nport = 1\n[tcp.tls]\n{PAIR}"
    );
    let (_, warnings) = load(&text, &[], &[]).unwrap();
    let idle =
        |above: &str| format!("{above} has a certificate but is off: the port speaks without TLS; set {above}.enabled");
    let expected = [
        idle("http_server.tls"),
        idle("http_server.internal_tls"),
        idle("tcp[0].tls"),
        "client.trusted_proxies has everyone: whoever connects chooses the address it is known by".to_owned(),
    ];
    assert_eq!(warnings, expected);
}
