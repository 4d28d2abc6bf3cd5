//! How long a response says that it is good.

use std::time::Duration;

use jackfield_fetch::{HeaderMap, header};

/// Bounds for what a provider may say: below, it would be asked all the time; above, a key that it took back would
/// count for too long.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// `max-age` within bounds; `None` where nothing is said, or that nothing may be kept.
pub(crate) fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(header::CACHE_CONTROL);
    let directives = lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let mut age = None;
    for directive in directives {
        let (name, value) = directive.trim().split_once('=').unwrap_or((directive.trim(), ""));
        if name.eq_ignore_ascii_case("no-cache") || name.eq_ignore_ascii_case("no-store") {
            return None;
        }
        if name.eq_ignore_ascii_case("max-age") {
            age = value.trim_matches('"').parse().ok().map(Duration::from_secs);
        }
    }
    age.map(|age| age.clamp(SHORTEST, LONGEST))
}

#[cfg(test)]
mod tests {
    use jackfield_fetch::HeaderValue;

    use super::*;

    #[test]
    fn ages() {
        for (line, seconds) in [
            ("max-age=3600", Some(3600)),
            ("public, Max-Age=\"7200\", must-revalidate", Some(7200)),
            ("max-age=0", Some(60)),
            ("max-age=99999999", Some(86_400)),
            ("max-age=99999999999999999999999", None),
            ("max-age=-1", None),
            ("max-age", None),
            ("no-store, max-age=3600", None),
            ("max-age=3600, no-cache", None),
            ("s-maxage=9", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(line));
            assert_eq!(max_age(&headers), seconds.map(Duration::from_secs), "{line}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
