//! The key that a caller shows, in one of three places.

use std::hint::black_box;

use axum::extract::Query;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Uri};

/// What a caller reads whose key is wrong or missing.
pub(crate) const WRONG: &str = "the API key is wrong or missing: send the configured key in the header `X-API-Key: KEY`, \
                                or as `Authorization: apikey KEY`, or as `?api_key=KEY`\n";
/// What a caller reads while there is no key to be right.
pub(crate) const NOT_CONFIGURED: &str =
    "no API key is configured: set one on the server (or mark the API as insecure, on a machine of your own only)\n";

/// Whether the request shows the key. The first place that has one decides.
pub(crate) fn opens(key: &str, headers: &HeaderMap, uri: &Uri) -> bool {
    !key.is_empty() && shown(headers, uri).is_some_and(|shown| equal(shown.as_bytes(), key.as_bytes()))
}

fn shown(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if let Some(header) = headers.get("x-api-key") {
        return header.to_str().ok().map(str::to_owned);
    }
    if let Some(header) = headers.get(AUTHORIZATION) {
        let (scheme, key) = header.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("apikey").then(|| key.trim().to_owned());
    }
    let Query(fields) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    fields.into_iter().find(|(name, _)| name == "api_key").map(|(_, key)| key)
}

/// Compares in a time that depends on the lengths alone, so that a key cannot be guessed byte by byte.
fn equal(shown: &[u8], key: &[u8]) -> bool {
    let difference = shown.iter().zip(key).fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    shown.len() == key.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use axum::http::request::Parts;

    fn opens(key: &str, parts: &Parts) -> bool {
        super::opens(key, &parts.headers, &parts.uri)
    }

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn three_places_and_their_order() {
        assert!(opens("k 1", &parts("/", &[("x-api-key", "k 1")])));
        assert!(opens("k1", &parts("/", &[("authorization", "apikey k1")])));
        assert!(opens("k1", &parts("/", &[("authorization", "ApiKey k1")])));
        assert!(opens("k 1", &parts("/?a=b&api_key=k%201", &[])));
        assert!(!opens("k1", &parts("/?api_key=k1", &[("x-api-key", "other")])));
        assert!(!opens("k1", &parts("/?api_key=k1", &[("authorization", "bearer k1")])));
        assert!(!opens("k1", &parts("/?api_key=k2", &[])));
        assert!(!opens("k1", &parts("/?api_key=k", &[])));
        assert!(!opens("k1", &parts("/?api_key=k11", &[])));
        assert!(!opens("k1", &parts("/", &[])));
    }

    #[test]
    fn no_key_opens_nothing() {
        assert!(!opens("", &parts("/?api_key=", &[])));
        assert!(!opens("", &parts("/", &[("x-api-key", "")])));
    }
}
