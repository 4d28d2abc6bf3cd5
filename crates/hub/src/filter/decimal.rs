//! Compares decimals as they are written, however long they are.

use std::cmp::Ordering;

/// `-?WHOLE(.FRACTION)?` without the zeros that do not count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Decimal<'t> {
    is_negative: bool,
    whole: &'t str,
    fraction: &'t str,
}

impl<'t> Decimal<'t> {
    /// Reads digits with an optional sign, and digits behind an optional point; no exponent.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (unsigned, None),
        };
        let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !fraction.is_none_or(are_digits) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.unwrap_or_default().trim_end_matches('0');
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self { is_negative: text.starts_with('-') && !is_zero, whole, fraction })
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Without leading zeros the longer whole is the larger one, and fractions compare as texts do.
        let size = |one: &Self, two: &Self| {
            let whole = one.whole.len().cmp(&two.whole.len()).then_with(|| one.whole.cmp(two.whole));
            whole.then_with(|| one.fraction.cmp(two.fraction))
        };
        match (self.is_negative, other.is_negative) {
            (false, false) => size(self, other),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (true, true) => size(other, self),
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
