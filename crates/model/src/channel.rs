//! Channel names: `NAMESPACE:REST`, or a bare name in the namespace without a name.

/// The namespace of a channel, empty where the name has none.
///
/// The private prefix (`$`) stands before the namespace and is no part of it.
#[must_use]
pub fn namespace<'a>(channel: &'a str, boundary: &str, private_prefix: &str) -> &'a str {
    let name =
        if private_prefix.is_empty() { channel } else { channel.strip_prefix(private_prefix).unwrap_or(channel) };
    if boundary.is_empty() {
        return "";
    }
    name.split_once(boundary).map_or("", |(namespace, _)| namespace)
}

/// Whether a client may name a channel so: not empty, within the limit, visible ASCII or any Unicode but controls.
///
/// Why: names travel into logs, metrics and the app's queue; line breaks and other controls have no use there.
#[must_use]
pub fn valid(channel: &str, max_length_bytes: usize) -> bool {
    !channel.is_empty() && channel.len() <= max_length_bytes && !channel.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces() {
        assert_eq!(namespace("room:1", ":", "$"), "room");
        assert_eq!(namespace("$room:1", ":", "$"), "room");
        assert_eq!(namespace("news", ":", "$"), "");
        assert_eq!(namespace("a:b:c", ":", "$"), "a");
    }

    #[test]
    fn names() {
        assert!(valid("room:1", 255));
        assert!(!valid("", 255));
        assert!(!valid("a\nb", 255));
        assert!(!valid(&"x".repeat(256), 255));
    }
}
