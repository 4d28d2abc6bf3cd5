//! What a token allows beyond the options of namespaces.

use std::borrow::Cow;

use serde::Deserialize;

use super::error::TokenError;
use super::pattern::Pattern;

/// Entries one token may have, and patterns in all of them.
const ENTRIES: usize = 64;
const PATTERNS: usize = 1000;

/// Something that a token may allow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Right {
    /// `hst`: read the history.
    History,
    /// `prs`: see who is there.
    Presence,
    /// `pub`: publish.
    Publish,
    /// `sub`: subscribe.
    Subscribe,
}

impl Right {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "hst" => Some(Self::History),
            "prs" => Some(Self::Presence),
            "pub" => Some(Self::Publish),
            "sub" => Some(Self::Subscribe),
            _ => None,
        }
    }
}

/// What a token allows in which channels; parsed once.
#[derive(Clone, Debug, Default)]
pub struct Caps(Vec<Cap>);

#[derive(Clone, Debug)]
struct Cap {
    channels: Vec<Pattern>,
    rights: Vec<Right>,
}

impl Caps {
    /// Whether any entry allows this in that channel.
    #[must_use]
    pub fn allows(&self, channel: &str, right: Right) -> bool {
        let fits = |cap: &Cap| cap.rights.contains(&right) && cap.channels.iter().any(|one| one.matches(channel));
        self.0.iter().any(fits)
    }

    /// Reads the claim. A word that nobody knows here makes the token invalid, because whoever wrote it meant something.
    pub(super) fn parse(entries: Vec<RawCap<'_>>) -> Result<Self, TokenError> {
        if entries.len() > ENTRIES {
            return Err(TokenError::Invalid("its caps have more than 64 entries"));
        }
        if entries.iter().map(|entry| entry.channels.len()).sum::<usize>() > PATTERNS {
            return Err(TokenError::Invalid("its caps have more than 1000 channels"));
        }
        entries.into_iter().map(cap).collect::<Result<_, _>>().map(Self)
    }
}

/// An entry as it stands in a token.
#[derive(Deserialize)]
pub(super) struct RawCap<'a> {
    #[serde(borrow)]
    channels: Vec<Cow<'a, str>>,
    #[serde(borrow, default, rename = "match")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    allow: Vec<Cow<'a, str>>,
}

fn cap(raw: RawCap<'_>) -> Result<Cap, TokenError> {
    let pattern: fn(Box<str>) -> Result<Pattern, TokenError> = match &*raw.kind {
        "" | "exact" => |text| Ok(Pattern::Exact(text)),
        "wildcard" => |text| Ok(Pattern::Wildcard(text)),
        "regex" => |text| {
            Pattern::regex(&text).map_err(|_| TokenError::Invalid("its caps hold a regular expression that is none"))
        },
        _ => return Err(TokenError::Invalid("a match in its caps must be wildcard, regex or empty")),
    };
    let right = |word: &Cow<'_, str>| {
        Right::parse(word).ok_or(TokenError::Invalid("its caps may allow sub, pub, prs and hst only"))
    };
    Ok(Cap {
        channels: raw.channels.into_iter().map(|text| pattern(text.into())).collect::<Result<_, _>>()?,
        rights: raw.allow.iter().map(right).collect::<Result<_, _>>()?,
    })
}
