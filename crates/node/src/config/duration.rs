//! Durations as people write them: `25s`, `500ms`, `1h30m`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// The units, largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// What a fault advises to write.
pub(super) const EXAMPLES: &str = r#"a duration such as "25s", "500ms" or "1h30m""#;

/// Reads a duration: whole numbers with units, the largest unit first; `0` alone is none at all.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(format!("is empty; write {EXAMPLES}"));
    }
    let mut rest = text;
    let mut units = &UNITS[..];
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, after) = step(rest)?;
        let Some(place) = units.iter().position(|(name, _)| *name == unit) else {
            return Err(misplaced(unit));
        };
        total = number
            .checked_mul(units[place].1)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("is too long; write {EXAMPLES}"))?;
        units = &units[place + 1..];
        rest = after;
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration as [`parse`] reads it, in the fewest units.
pub(super) fn format(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    // Days are read but not written: `36h` says more than `1d12h`.
    for (name, size) in &UNITS[1..] {
        if left >= *size {
            text.push_str(&format!("{}{name}", left / size));
            left %= size;
        }
    }
    text
}

/// For `#[serde(with = "duration")]`.
pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*value))
}

/// For `#[serde(with = "duration")]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(source)?;
    parse(&text).map_err(|fault| D::Error::custom(format!("{text:?} {fault}")))
}

/// One number and its unit off the front.
fn step(text: &str) -> Result<(u64, &str, &str), String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("is not a duration; write {EXAMPLES}"));
    }
    if rest.is_empty() {
        return Err(format!("has no unit; write {EXAMPLES}"));
    }
    if rest.starts_with('.') {
        return Err(r#"has a fraction; write whole numbers, "1500ms" for one and a half seconds"#.to_owned());
    }
    let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    let number = number.parse().map_err(|_| format!("is too long; write {EXAMPLES}"))?;
    Ok((number, unit, after))
}

fn misplaced(unit: &str) -> String {
    if UNITS.iter().any(|(name, _)| *name == unit) {
        format!("has `{unit}` out of order; write {EXAMPLES}, the largest unit first")
    } else {
        format!("has the unknown unit `{unit}` (known: d, h, m, s, ms); write {EXAMPLES}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        let cases = [
            ("25s", 25_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("1m0s", 60_000),
            ("2d", 172_800_000),
            ("0s", 0),
            ("0", 0),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["0s", "1ms", "25s", "1h30m", "720h", "1m500ms"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn each_fault_says_what_to_write() {
        let cases = [
            ("", "is empty; write"),
            ("25", "has no unit; write"),
            ("soon", "is not a duration; write"),
            ("-1s", "is not a duration; write"),
            ("1.5s", "has a fraction; write whole numbers"),
            ("5 s", "has the unknown unit ` s`"),
            ("5sec", "has the unknown unit `sec` (known: d, h, m, s, ms)"),
            ("5s1m", "has `m` out of order"),
            ("5s5s", "has `s` out of order"),
            ("99999999999999999999s", "is too long"),
            ("9999999999999999d", "is too long"),
        ];
        for (text, start) in cases {
            let fault = parse(text).unwrap_err();
            assert!(fault.starts_with(start), "{text}: {fault}");
        }
    }
}
