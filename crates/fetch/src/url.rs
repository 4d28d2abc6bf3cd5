//! An address that requests can go to.

use std::fmt;

use http::Uri;

use crate::error::FetchError;

/// An address that requests can go to: `http://` or `https://`, with a host.
///
/// Its `Display` and `Debug` leave out the query, which may hold a key.
#[derive(Clone, Eq, PartialEq)]
pub struct Url(Uri);

impl Url {
    /// Reads an address; the error continues it (`"ftp://x"` has a scheme ...).
    pub fn parse(text: &str) -> Result<Self, FetchError> {
        let fault = |fault| Err(FetchError::Url { fault });
        let Ok(uri) = text.parse::<Uri>() else {
            return fault(r#"is no address; write one such as "https://example.com/path""#);
        };
        match uri.scheme_str() {
            Some("http" | "https") => {}
            Some(_) => return fault(r#"has a scheme that is not spoken here; write "https://" or "http://""#),
            None => return fault(r#"has no scheme; write one such as "https://example.com/path""#),
        }
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
            return fault(r#"has no host; write one such as "https://example.com/path""#);
        };
        if authority.as_str().contains('@') {
            return fault("has a user or a password before its host, which would be sent to nobody; leave it out");
        }
        if authority.as_str() != authority.host() && authority.port_u16().is_none_or(|port| port == 0) {
            return fault("has a port that is none; write a number from 1 to 65535");
        }
        Ok(Self(uri))
    }

    /// Whether it is spoken to with TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The name or address of the host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// Scheme, host and port.
    pub(crate) fn origin(&self) -> String {
        let authority = self.0.authority().map_or("", http::uri::Authority::as_str);
        format!("{}://{authority}", self.0.scheme_str().unwrap_or_default())
    }

    pub(crate) fn uri(&self) -> Uri {
        self.0.clone()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.0.path())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::Url;

    #[test]
    fn addresses() {
        for text in ["http://localhost", "https://example.com/a?b=c", "http://127.0.0.1:8000/x", "https://[::1]:1/"] {
            assert!(Url::parse(text).is_ok(), "{text}");
        }
        assert!(Url::parse("https://a").unwrap().is_https());
        assert!(!Url::parse("http://a").unwrap().is_https());
        assert_eq!(Url::parse("http://a.b:1/c").unwrap().host(), "a.b");
        assert_eq!(Url::parse("http://[::1]:1").unwrap().host(), "::1");
    }

    #[test]
    fn what_is_none_says_what_would_be_right() {
        for (text, has) in [
            ("", "is no address"),
            ("/path", "has no scheme"),
            ("example.com", "has no scheme"),
            ("ftp://example.com", "scheme"),
            ("file:///etc/passwd", "is no address"),
            ("http://", "is no address"),
            ("https://user:secret@example.com/", "password"),
            ("https://example.com:0/", "port"),
            ("https://example.com:70000/", "port"),
            ("https://exa mple.com/", "is no address"),
            ("https://example.com/\r\nX: y", "is no address"),
        ] {
            let fault = Url::parse(text).unwrap_err().to_string();
            assert!(fault.contains(has), "{text}: {fault}");
        }
    }

    #[test]
    fn a_query_is_shown_to_nobody() {
        let url = Url::parse("https://example.com/path?key=secret").unwrap();
        assert_eq!(format!("{url} {url:?}"), r#"https://example.com/path "https://example.com/path""#);
    }
}
