//! Which web pages may connect.

/// Which web pages may connect.
///
/// Why strict: a browser sends the user's cookies along with a WebSocket of any page, so the page's origin must be known.
#[derive(Clone, Debug, Default)]
pub struct Origins(pub Vec<String>);

impl Origins {
    /// Requests without an Origin come from no browser and are always let in.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let origin = origin.to_ascii_lowercase();
        self.0.iter().any(|pattern| matches(&pattern.to_ascii_lowercase(), &origin))
    }
}

/// `*` in a pattern stands for any run of characters but `/`; alone it stands for everything.
fn matches(pattern: &str, text: &str) -> bool {
    fn glob(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => {
                let end = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
                (0..=end).any(|at| glob(rest, &text[at..]))
            }
            Some((byte, rest)) => text.first() == Some(byte) && glob(rest, &text[1..]),
        }
    }
    pattern == "*" || glob(pattern.as_bytes(), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let allow = |patterns: &[&str], origin: &str| {
            Origins(patterns.iter().map(|p| (*p).to_owned()).collect()).allow(Some(origin))
        };
        assert!(Origins::default().allow(None));
        assert!(!allow(&[], "https://a.example"));
        assert!(allow(&["*"], "https://a.example"));
        assert!(allow(&["https://A.example"], "https://a.example"));
        assert!(!allow(&["https://a.example"], "https://a.example.evil"));
        assert!(allow(&["https://*.example"], "https://a.example"));
        assert!(!allow(&["https://*.example"], "https://evil/.example"));
        assert!(!allow(&["https://*.example"], "https://a.example.com"));
        assert!(allow(&["http://localhost:*"], "http://localhost:8000"));
        assert!(!allow(&["http://localhost:*"], "http://localhost.evil:8000"));
        assert!(!allow(&["https://a.example"], "null"));
    }
}
