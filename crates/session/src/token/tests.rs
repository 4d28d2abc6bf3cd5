//! What tokens say, and what they are refused for.

use jackfield_model::{Millis, Overrides, Payload};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

pub(super) const NOW: Millis = 1_700_000_000_000;
const SECONDS: u64 = NOW / 1000;

fn sign(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(b"secret")).unwrap()
}

fn verifier() -> Verifier {
    Verifier::hmac(["secret"])
}

fn verify(claims: &Value) -> Result<Claims, TokenError> {
    verifier().verify(&sign(claims), NOW)
}

/// A token with claims that no JSON library would write.
fn sign_text(claims: &str) -> String {
    let token = sign(&json!({}));
    let (header, _) = token.split_once('.').unwrap();
    let message = format!("{header}.{}", base64url(claims));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(b"secret"), Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

pub(super) fn base64url(text: &str) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text)
}

fn reason(claims: &Value) -> String {
    match verify(claims) {
        Err(TokenError::Invalid(reason)) => reason.to_owned(),
        other => panic!("{claims}: {other:?}"),
    }
}

#[test]
fn a_plain_token_is_small() {
    let claims = verify(&json!({"sub": "42", "exp": SECONDS + 1, "iat": SECONDS, "info": {"name": "Ann"}})).unwrap();
    assert_eq!(&*claims.user, "42");
    assert_eq!((claims.expire_at, claims.issued_at), (Some(SECONDS + 1), Some(SECONDS * 1000)));
    assert_eq!(claims.info.unwrap().as_ref(), br#"{"name":"Ann"}"#);
    assert!(claims.meta.is_none() && claims.more.is_none());
}

#[test]
fn a_token_may_say_much() {
    let claims = verify(&json!({
        "sub": "42", "jti": "t-1", "meta": {"room": 1}, "b64info": "eyJhIjoxfQ==",
        "channels": ["news", "chat:1"],
        "subs": {"chat:1": {
            "info": 7, "data": {"hello": true},
            "override": {"presence": {"value": true}, "force_recovery": {"value": false}, "join_leave": null}
        }, "raw": {"b64data": "AAH/"}, "bare": null},
        "caps": [{"channels": ["a"], "allow": ["sub"]}]
    }))
    .unwrap();
    assert_eq!(claims.meta.unwrap().as_ref(), br#"{"room":1}"#);
    assert_eq!(claims.info.unwrap().as_ref(), br#"{"a":1}"#);
    let more = claims.more.unwrap();
    assert_eq!(more.token_id.as_deref(), Some("t-1"));
    let names: Vec<&str> = more.subs.iter().map(|(channel, _)| &**channel).collect();
    assert_eq!(names, ["bare", "chat:1", "news", "raw"]);
    let chat = &more.subs[1].1;
    assert_eq!(chat.info.as_deref(), Some(&b"7"[..]));
    assert_eq!(chat.data, Some(Payload::json(r#"{"hello":true}"#)));
    let overrides = Overrides { presence: Some(true), force_recovery: Some(false), ..Overrides::default() };
    assert_eq!(chat.overrides, overrides);
    assert_eq!(more.subs[3].1.data, Some(Payload::binary(&[0, 1, 255][..])));
    assert!(more.caps.unwrap().allows("a", Right::Subscribe));
}

#[test]
fn times_count() {
    assert_eq!(verify(&json!({"exp": SECONDS})).unwrap_err(), TokenError::Expired);
    assert_eq!(verify(&json!({"exp": SECONDS as f64 - 0.5})).unwrap_err(), TokenError::Expired);
    assert!(verify(&json!({"exp": SECONDS + 1, "nbf": SECONDS})).is_ok());
    assert_eq!(reason(&json!({"nbf": SECONDS + 1})), "it is not valid yet");
    for odd in [json!("soon"), json!(-1), json!([1]), json!(true)] {
        for name in ["exp", "nbf", "iat", "expire_at"] {
            assert_eq!(reason(&json!({name: odd})), "its times must be seconds since 1970", "{name} {odd}");
        }
    }
    assert!(verifier().verify(&sign_text(r#"{"exp":1e999}"#), NOW).is_err());
    let expire_at = |claims| verify(&claims).unwrap().expire_at;
    assert_eq!(expire_at(json!({"exp": SECONDS + 5, "expire_at": SECONDS + 9})), Some(SECONDS + 9));
    assert_eq!(expire_at(json!({"exp": SECONDS + 5, "expire_at": 0})), None);
    assert_eq!(expire_at(json!({})), None);
}

#[test]
fn audience_and_issuer_count_where_they_are_asked_for() {
    let token = sign(&json!({"sub": "1", "aud": ["a", "b"], "iss": "https://i/1"}));
    let fits = |verifier: Verifier| verifier.verify(&token, NOW).is_ok();
    assert!(fits(verifier().audience("").issuer("")));
    assert!(fits(verifier().audience("b").issuer("https://i/1")));
    assert!(!fits(verifier().audience("c")));
    assert!(!fits(verifier().issuer("https://i")));
    let pattern = |text| Pattern::regex(text).unwrap();
    assert!(fits(verifier().audience_pattern(pattern("[bc]")).issuer_pattern(pattern("https://i/[0-9]+"))));
    assert!(!fits(verifier().audience_pattern(pattern("c"))));
    assert!(!fits(verifier().issuer_pattern(pattern("https://i/"))));
    // What is asked for and not claimed is another.
    let bare = sign(&json!({"sub": "1"}));
    assert!(verifier().audience("a").verify(&bare, NOW).is_err());
    assert!(verifier().issuer_pattern(pattern(".*")).verify(&bare, NOW).is_err());
    assert!(verifier().audience("a").verify(&sign(&json!({"aud": "a"})), NOW).is_ok());
    assert!(verifier().audience("a").verify(&sign(&json!({"aud": {"a": 1}})), NOW).is_err());
}

#[test]
fn the_user_may_stand_elsewhere() {
    let named = |claims| verifier().user_claim("uid").verify(&sign(&claims), NOW).map(|claims| claims.user.to_string());
    assert_eq!(named(json!({"uid": "7", "sub": "8"})).unwrap(), "7");
    assert_eq!(named(json!({"sub": "8"})).unwrap(), "");
    assert_eq!(reason(&json!({"sub": 42})), "its user id must be a string");
}

#[test]
fn what_is_no_token_says_so() {
    for garbage in ["", "a", "a.b", "a.b.c", "....", ".", "..", "eyJhbGciOiJIUzI1NiJ9", "\u{1F600}.\u{1F600}.x"] {
        assert!(matches!(verifier().verify(garbage, NOW), Err(TokenError::Invalid(_))), "{garbage}");
    }
    for claims in
        ["", "[]", "null", "{", r#"{"sub":"a","sub":"b"}"#, r#"{"sub":"a","s\u0075b":"b"}"#, "{}{}", "\u{1F600}"]
    {
        assert!(verifier().verify(&sign_text(claims), NOW).is_err(), "{claims}");
    }
    assert_eq!(&*verifier().verify(&sign_text(r#"{"s\u0075b":"\u0061"}"#), NOW).unwrap().user, "a");
}

#[test]
fn a_token_that_demands_an_extension_is_refused() {
    let header = Header { crit: Some(vec!["b64".to_owned()]), ..Header::default() };
    let token = encode(&header, &json!({"sub": "1"}), &EncodingKey::from_secret(b"secret")).unwrap();
    let refused = TokenError::Invalid("its header demands an extension (crit)");
    assert_eq!(verifier().verify(&token, NOW).unwrap_err(), refused);
}

#[test]
fn what_clients_see_has_no_line_breaks() {
    let token = sign_text("{\"info\": {\n\r \"a\": \"b\\nc\"\n}, \"meta\":\n 1 }");
    let claims = verifier().verify(&token, NOW).unwrap();
    let info = claims.info.unwrap();
    assert!(!info.contains(&b'\n') && !info.contains(&b'\r'));
    assert_eq!(serde_json::from_slice::<Value>(&info).unwrap(), json!({"a": "b\nc"}));
    let info = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "{\n}");
    assert_eq!(verify(&json!({"b64info": info})).unwrap().info.unwrap().as_ref(), b"{ }");
}

#[test]
fn claims_of_a_wrong_kind_say_what_is_right() {
    for (claims, what) in [
        (json!({"b64info": "%"}), "its b64info is not base64"),
        (json!({"b64info": 1}), "its b64info is not base64"),
        (json!({"b64info": "aGFsbG8="}), "its b64info is not JSON"),
        (json!({"jti": 1}), "its jti must be a string"),
        (json!({"channels": "news"}), "its channels must be a list of strings"),
        (json!({"channels": [""]}), "it names an empty channel"),
        (json!({"subs": ["news"]}), "its subs must map channels to options"),
        (json!({"subs": {"a": 1}}), "its subs must map channels to options"),
        (json!({"subs": {"a": {"b64data": "%"}}}), "its b64data is not base64"),
        (
            json!({"subs": {"a": {"override": {"presence": true}}}}),
            "an override must hold options as {\"value\": true}",
        ),
        (json!({"caps": {}}), "its caps must be a list of {channels, match, allow}"),
        (json!({"caps": [{"channels": ["a"]}]}), "its caps must be a list of {channels, match, allow}"),
        (json!({"caps": [{"channels": ["a"], "allow": ["admin"]}]}), "its caps may allow sub, pub, prs and hst only"),
        (
            json!({"caps": [{"channels": ["a"], "match": "glob", "allow": ["sub"]}]}),
            "a match in its caps must be wildcard, regex or empty",
        ),
        (
            json!({"caps": [{"channels": ["("], "match": "regex", "allow": ["sub"]}]}),
            "its caps hold a regular expression that is none",
        ),
        (json!({"caps": vec![json!({"channels": [], "allow": []}); 65]}), "its caps have more than 64 entries"),
        (json!({"caps": [{"channels": vec!["a"; 1001], "allow": ["sub"]}]}), "its caps have more than 1000 channels"),
    ] {
        assert_eq!(reason(&claims), what);
        // It must fit into a close frame, behind what kind of fault it is.
        assert!(TokenError::Invalid("").to_string().len() + what.len() <= 123, "{what}");
    }
}

#[test]
fn caps_allow_what_they_name_and_nothing_else() {
    let caps = verify(&json!({"caps": [
        {"channels": ["news", "user:42"], "allow": ["sub", "hst"]},
        {"channels": ["chat:*"], "match": "wildcard", "allow": ["pub"]},
        {"channels": ["game:[0-9]+"], "match": "regex", "allow": ["prs", "sub"]},
    ]}))
    .unwrap()
    .more
    .unwrap()
    .caps
    .unwrap();
    use Right::{History, Presence, Publish, Subscribe};
    for (channel, right, is) in [
        ("news", Subscribe, true),
        ("news", History, true),
        ("news", Publish, false),
        ("newsletter", Subscribe, false),
        ("user:42", Subscribe, true),
        ("chat:1", Publish, true),
        ("chat:1", Subscribe, false),
        ("chat", Publish, false),
        ("game:17", Presence, true),
        ("game:17", Subscribe, true),
        ("game:17", Publish, false),
        ("game:x", Subscribe, false),
        ("agame:17", Subscribe, false),
        ("", Subscribe, false),
    ] {
        assert_eq!(caps.allows(channel, right), is, "{channel} {right:?}");
    }
    assert!(!Caps::default().allows("news", Subscribe));
}

fn subscribe(claims: &Value) -> Result<SubscriptionClaims, TokenError> {
    let subscriber = Subscriber { user: "42", client: "c-1", channel: "$chat" };
    verifier().verify_subscription(&sign(claims), subscriber, NOW)
}

#[test]
fn a_subscription_token_opens_its_channel() {
    let claims = subscribe(&json!({
        "sub": "42", "channel": "$chat", "client": "c-1", "exp": SECONDS + 5, "iat": SECONDS, "jti": "j", "info": 1,
        "data": "x", "override": {"force_positioning": {"value": true}}
    }))
    .unwrap();
    assert_eq!(claims.grant.expire_at, Some(SECONDS + 5));
    assert_eq!(claims.grant.info.as_deref(), Some(&b"1"[..]));
    assert_eq!(claims.grant.data, Some(Payload::json("\"x\"")));
    assert_eq!(claims.grant.overrides.force_positioning, Some(true));
    assert_eq!((claims.issued_at, claims.token_id.as_deref()), (Some(SECONDS * 1000), Some("j")));
    let endless =
        subscribe(&json!({"sub": "42", "channel": "$chat", "exp": SECONDS + 5, "expire_at": 0, "client": ""}));
    assert_eq!(endless.unwrap().grant.expire_at, None);
}

#[test]
fn a_subscription_token_opens_nothing_else() {
    for (claims, what) in [
        (json!({"sub": "42", "channel": "$chat2"}), "its channel is another"),
        (json!({"sub": "42"}), "its channel is another"),
        (json!({"sub": "42", "channel": ""}), "its channel is another"),
        (json!({"sub": "43", "channel": "$chat"}), "it is another user's"),
        (json!({"channel": "$chat"}), "it is another user's"),
        (json!({"sub": "42", "channel": "$chat", "client": "c-2"}), "it is for another connection"),
    ] {
        assert_eq!(subscribe(&claims).unwrap_err(), TokenError::Mismatch(what), "{claims}");
    }
    let expired = json!({"sub": "42", "channel": "$chat", "exp": SECONDS});
    assert_eq!(subscribe(&expired).unwrap_err(), TokenError::Expired);
    let token = encode(&Header::default(), &json!({"sub": "42", "channel": "$chat"}), &EncodingKey::from_secret(b"x"));
    let subscriber = Subscriber { user: "42", client: "", channel: "$chat" };
    let refused = verifier().verify_subscription(&token.unwrap(), subscriber, NOW);
    assert!(matches!(refused, Err(TokenError::Invalid(_))), "{refused:?}");
}

proptest! {
    #[test]
    fn a_mutated_token_never_verifies(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_.=-]", how in 0..3) {
        let token = sign(&json!({"sub": "42", "exp": SECONDS + 60, "channel": "news"}));
        let at = at.index(token.len());
        let mutated = match how {
            0 => format!("{}{letter}{}", &token[..at], &token[at + 1..]),
            1 => format!("{}{letter}{}", &token[..at], &token[at..]),
            _ => format!("{}{}", &token[..at], &token[at + 1..]),
        };
        prop_assume!(mutated != token);
        prop_assert!(verifier().verify(&mutated, NOW).is_err(), "{}", mutated);
    }

    #[test]
    fn no_claims_break_the_reader(claims in "\\PC{0,60}") {
        let _ = verifier().verify(&sign_text(&claims), NOW);
    }
}
