//! The text of every fault about tokens.

use super::tests::{faults, load};
use super::tests_rules::each_has_one;

const P256: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\nq9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----\n";

#[test]
fn rules_of_secrets() {
    for above in ["client.token", "client.subscription_token"] {
        each_has_one(&[
            (
                &format!("{above}.hmac_previous_secret_key = \"x\""),
                &format!(
                    "j.toml:1: {above}.hmac_previous_secret_key: is given without the key in use; set {above}.hmac_secret_key"
                ),
            ),
            (
                &format!("{above}.hmac_previous_secret_key_valid_until = 5"),
                &format!(
                    "j.toml:1: {above}.hmac_previous_secret_key_valid_until: is given without the key it is about; set {above}.hmac_previous_secret_key, or leave it out"
                ),
            ),
        ]);
    }
    each_has_one(&[(
        "client.subscription_token.enabled = true",
        "j.toml:1: client.subscription_token.enabled: is on without a key; set client.subscription_token.hmac_secret_key or another key, or leave it out",
    )]);
}

#[test]
fn rules_of_public_keys() {
    for name in ["rsa_public_key", "ecdsa_public_key", "eddsa_public_key"] {
        let path = format!("client.token.{name}");
        let fault = |value: &str| faults(&format!("{path} = '''{value}'''")).remove(0);
        let missing = fault("/nowhere/key.pem");
        assert!(missing.starts_with(&format!("j.toml:1: {path}: names a file that cannot be read")), "{missing}");
        assert!(missing.ends_with("write the key itself, from -----BEGIN PUBLIC KEY-----, or the path of its file"));
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINtqcret\n-----END PRIVATE KEY-----";
        let shown = fault(private);
        assert!(shown.contains("holds a private key, which belongs only to who signs"), "{shown}");
        assert!(!shown.contains("tqcret"), "{shown}");
    }
    assert!(load(&format!("client.token.ecdsa_public_key = '''{P256}'''"), &[], &[]).is_ok());
    each_has_one(&[
        (
            &format!("client.token.rsa_public_key = '''{P256}'''"),
            "j.toml:1: client.token.rsa_public_key: is no RSA key; write one that begins -----BEGIN PUBLIC KEY-----",
        ),
        (
            &format!("client.token.eddsa_public_key = '''{P256}'''"),
            "j.toml:1: client.token.eddsa_public_key: is no Ed25519 key; write one",
        ),
    ]);
}

#[test]
fn a_public_key_may_lie_in_a_file() {
    let file = std::env::temp_dir().join(format!("jackfield-{}-p256.pem", std::process::id()));
    std::fs::write(&file, P256).unwrap();
    let loaded = load(&format!("client.token.ecdsa_public_key = '{}'", file.display()), &[], &[]);
    _ = std::fs::remove_file(&file);
    assert!(loaded.unwrap().0.client.token.has_keys());
}

#[test]
fn rules_of_demands_and_addresses() {
    each_has_one(&[
        (
            "client.token = { audience = \"a\", audience_regex = \"b\" }",
            "j.toml:1: client.token.audience_regex: is given beside client.token.audience; leave one of them out",
        ),
        (
            "client.token = { issuer = \"a\", issuer_regex = \"b\" }",
            "j.toml:1: client.token.issuer_regex: is given beside client.token.issuer; leave one of them out",
        ),
        (
            "client.token.jwks_public_endpoint = \"https://login/{{tenant}}/keys\"",
            "j.toml:1: client.token.jwks_public_endpoint: \"https://login/{{tenant}}/keys\" holds a placeholder in braces, and none is filled in here; write the address of one identity provider",
        ),
        (
            "client.token.jwks_public_endpoint = \"ftp://login/keys\"",
            "j.toml:1: client.token.jwks_public_endpoint: \"ftp://login/keys\" has a scheme that is not spoken here; write \"https://\" or \"http://\"",
        ),
    ]);
    let fault = faults("client.token.issuer_regex = \"(\"").remove(0);
    assert!(fault.contains("client.token.issuer_regex: \"(\" is no regular expression"), "{fault}");
}

#[test]
fn what_is_rarely_meant_is_warned_about() {
    let warnings = |text: &str| load(text, &[], &[]).unwrap().1;
    let far = warnings("client.token.jwks_public_endpoint = \"http://login.example.com/keys\"");
    assert!(far[0].starts_with("client.token.jwks_public_endpoint is fetched without TLS"), "{far:?}");
    for near in ["http://127.0.0.1:8000/keys", "http://localhost/keys", "http://[::1]:1/keys", "https://login/keys"] {
        assert_eq!(warnings(&format!("client.token.jwks_public_endpoint = \"{near}\"")), [""; 0], "{near}");
    }
    let off = warnings("client.token.hmac_secret_key = \"x\"\nclient.subscription_token.hmac_secret_key = \"y\"");
    assert!(off[0].starts_with("client.subscription_token has a key but is off"), "{off:?}");
}
