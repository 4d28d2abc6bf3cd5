//! One figure in the making: decimals are summed exactly, as a database does.

use serde_json::Value;

/// Values that percentiles are taken of; of more, evenly many of all that came.
const MAX_VALUES: usize = 65_536;
const SCALE: u32 = 9;
const ONE: i128 = 10_i128.pow(SCALE);

/// A decimal with nine digits behind the point.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Number(i128);

impl Number {
    /// The number that a value is, or that its text is.
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::String(text) => Self::parse(text),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::exact(text).or_else(|| {
            // Exponents, and more digits than there is room for: as near as a float is.
            let float: f64 = text.parse().ok()?;
            (float.is_finite() && float.abs() < 1e27).then(|| Self((float * ONE as f64).round() as i128))
        })
    }

    fn exact(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 18 || part.len() > SCALE as usize || !is_number(whole) || !is_number(part)
        {
            return None;
        }
        let whole: i128 = whole.parse().ok()?;
        let part: i128 =
            if part.is_empty() { 0 } else { part.parse::<i128>().ok()? * 10_i128.pow(SCALE - part.len() as u32) };
        Some(Self(sign * (whole * ONE + part)))
    }

    /// As JSON has it.
    fn json(self) -> String {
        let (whole, part) = (self.0.unsigned_abs() / ONE.unsigned_abs(), self.0.unsigned_abs() % ONE.unsigned_abs());
        let sign = if self.0 < 0 { "-" } else { "" };
        if part == 0 {
            return format!("{sign}{whole}");
        }
        format!("{sign}{whole}.{}", format!("{part:09}").trim_end_matches('0'))
    }
}

/// What is known of the values of one figure in one window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    count: u64,
    sum: i128,
    last: Option<Number>,
    least: Option<Number>,
    most: Option<Number>,
    values: Vec<Number>,
    /// Of the values that come, each so many-th is kept.
    stride: u64,
}

impl Tally {
    pub(crate) fn count(&mut self) {
        self.count += 1;
    }

    pub(crate) fn add(&mut self, number: Number, keeps: bool) {
        if keeps {
            if self.values.len() >= MAX_VALUES {
                let mut nth = 0_u32;
                self.values.retain(|_| {
                    nth += 1;
                    nth % 2 == 1
                });
                self.stride = self.stride.max(1) * 2;
            }
            if self.stride <= 1 || self.count.is_multiple_of(self.stride) {
                self.values.push(number);
            }
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(number.0);
        self.last = Some(number);
        self.least = Some(self.least.map_or(number, |least| least.min(number)));
        self.most = Some(self.most.map_or(number, |most| most.max(number)));
    }

    pub(crate) fn counted(&self) -> u64 {
        self.count
    }

    pub(crate) fn sum(&self) -> String {
        Number(self.sum).json()
    }

    pub(crate) fn average(&self) -> Option<String> {
        let count = i128::from(self.count);
        (count > 0).then(|| Number((self.sum + self.sum.signum() * (count / 2)) / count).json())
    }

    pub(crate) fn last(&self) -> Option<String> {
        self.last.map(Number::json)
    }

    pub(crate) fn least(&self) -> Option<String> {
        self.least.map(Number::json)
    }

    pub(crate) fn most(&self) -> Option<String> {
        self.most.map(Number::json)
    }

    /// The smallest value that so many of a hundred do not exceed (nearest rank, `percentile_disc` of databases).
    pub(crate) fn percentile(&mut self, of: u8) -> Option<String> {
        let rank = (self.values.len() * usize::from(of)).div_ceil(100).checked_sub(1)?;
        let (_, value, _) = self.values.select_nth_unstable(rank);
        Some(value.json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(numbers: impl IntoIterator<Item = i64>) -> Tally {
        let mut tally = Tally::default();
        for number in numbers {
            tally.add(Number::parse(&number.to_string()).unwrap(), true);
        }
        tally
    }

    #[test]
    fn decimals_stay_what_they_are() {
        for (text, json) in [
            ("0", "0"),
            ("-0", "0"),
            ("12.30", "12.3"),
            ("-0.05", "-0.05"),
            ("999999999999999999", "999999999999999999"),
            ("0.000000001", "0.000000001"),
            ("1e3", "1000"),
            ("-2.5E-1", "-0.25"),
            ("0.0000000004", "0"),
        ] {
            assert_eq!(Number::parse(text).map(Number::json).as_deref(), Some(json), "{text}");
        }
        for text in ["", "-", ".", "x", "1.2.3", "nan", "inf", "1e400", "1e30", "0x1"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
        let mut cents = Tally::default();
        (0..1000).for_each(|_| cents.add(Number::parse("0.1").unwrap(), false));
        assert_eq!((cents.sum().as_str(), cents.average().as_deref()), ("100", Some("0.1")));
    }

    #[test]
    fn percentiles_are_values_that_came() {
        for (of, expected) in [(1, "1"), (50, "5"), (90, "9"), (91, "10"), (95, "10"), (99, "10")] {
            assert_eq!(tally((1..=10).rev()).percentile(of).as_deref(), Some(expected), "p{of}");
        }
        assert_eq!(tally([7]).percentile(1).as_deref(), Some("7"));
        assert_eq!(tally([]).percentile(50), None);
    }

    #[test]
    fn of_very_many_values_evenly_many_are_kept() {
        let many = 1_000_000_i64;
        let mut tally = tally((0..many).map(|n| (n * 7919) % many));
        assert!(tally.values.len() <= MAX_VALUES && tally.values.len() > MAX_VALUES / 4, "{}", tally.values.len());
        let p95: f64 = tally.percentile(95).unwrap().parse().unwrap();
        assert!((p95 / many as f64 - 0.95).abs() < 0.01, "{p95}");
        assert_eq!(tally.counted(), many as u64);
    }
}
