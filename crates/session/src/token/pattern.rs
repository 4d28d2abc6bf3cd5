//! A pattern that whole names are held against.

use regex_lite::{Regex, RegexBuilder};

/// Bytes that one compiled expression may take, so that a short text cannot become a large program.
const PROGRAM_BYTES: usize = 16 * 1024;

/// A pattern that whole names are held against.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// The name itself.
    Exact(Box<str>),
    /// A regular expression for the whole name.
    Regex(Regex),
    /// Letters for themselves, `*` for any number of any.
    Wildcard(Box<str>),
}

/// Why a text is no regular expression.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is no regular expression ({0})")]
pub struct PatternError(String);

impl Pattern {
    /// A regular expression for the whole name. No expression takes more than linear time.
    pub fn regex(text: &str) -> Result<Self, PatternError> {
        let compile = |text: &str| RegexBuilder::new(text).size_limit(PROGRAM_BYTES).build();
        // Alone first, lest a stray parenthesis fit the ones around it.
        let whole = compile(text).and_then(|_| compile(&format!(r"\A(?:{text})\z")));
        whole.map(Self::Regex).map_err(|error| PatternError(error.to_string()))
    }

    /// Whether the whole name fits.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *name,
            Self::Regex(regex) => regex.is_match(name),
            Self::Wildcard(pattern) => fits(pattern.as_bytes(), name.as_bytes()),
        }
    }
}

/// Whether a name fits letters and stars.
///
/// When a letter does not fit, the last star takes one letter more: earlier stars never have to give way.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut letter) = (0, 0);
    let mut star = None;
    while letter < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, letter));
            }
            Some(one) if *one == name[letter] => {
                at += 1;
                letter += 1;
            }
            _ => {
                let Some((behind, taken)) = star else { return false };
                (at, letter) = (behind, taken + 1);
                star = Some((behind, taken + 1));
            }
        }
    }
    pattern[at..].iter().all(|one| *one == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wildcard(text: &str) -> Pattern {
        Pattern::Wildcard(text.into())
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, is) in [
            ("*", "", true),
            ("*", "a:b/c", true),
            ("news:*", "news:", true),
            ("news:*", "news:a", true),
            ("news:*", "snews:a", false),
            ("*:a", "b:a", true),
            ("*:a", "b:ab", false),
            ("a*b*c", "a-bb-bc", true),
            ("a*b*c", "a-c-b", false),
            ("a?", "ab", false),
            ("a.c", "abc", false),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
            ("ä*", "äö", true),
        ] {
            assert_eq!(wildcard(pattern).matches(name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn expressions_are_for_the_whole_name() {
        let digits = Pattern::regex("[0-9]+|x").unwrap();
        for (name, is) in [("12", true), ("x", true), ("12x", false), ("a12", false), ("12\n", false), ("", false)] {
            assert_eq!(digits.matches(name), is, "{name:?}");
        }
        assert!(Pattern::regex("(?i)news").unwrap().matches("NEWS"));
    }

    #[test]
    fn what_is_no_expression_or_too_large_says_so() {
        for text in ["(", ")(", "a)|(b", "[", "*", "(?:a{1000}){1000}", "\\p{Greek}", "(?x)a # swallows what follows"] {
            assert!(Pattern::regex(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn stars_mean_what_the_same_expression_means(pattern in "[ab*]{0,12}", name in "[ab]{0,12}") {
            let expression = Pattern::regex(&pattern.replace('*', ".*")).unwrap();
            prop_assert_eq!(wildcard(&pattern).matches(&name), expression.matches(&name));
        }
    }
}
