//! Names with blanks that each message fills in: `ticks:{routing_key}`.

use std::fmt;

/// Longest that what fills a blank may be.
const LONGEST: usize = 128;

/// What a blank stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Blank {
    /// The channel: of PUB/SUB for a source, ours for a sink.
    Channel,
    /// A field of an entry of a stream, or a member of a JSON object.
    Field(String),
    /// A header of a message.
    Header(String),
    /// The routing key of a message.
    RoutingKey,
    /// The stream that an entry is in.
    Stream,
    /// The subject of a message.
    Subject,
}

impl fmt::Display for Blank {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel => formatter.write_str("{channel}"),
            Self::Field(name) => write!(formatter, "{{field:{name}}}"),
            Self::Header(name) => write!(formatter, "{{header:{name}}}"),
            Self::RoutingKey => formatter.write_str("{routing_key}"),
            Self::Stream => formatter.write_str("{stream}"),
            Self::Subject => formatter.write_str("{subject}"),
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Blank(Blank),
    Text(String),
}

/// A name with blanks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

/// What a message has in place of a blank, and why that does not do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Unfit(pub(crate) String);

impl Template {
    /// Reads a template; the error continues the text.
    ///
    /// # Errors
    ///
    /// A bracket without its partner, or a blank that nobody knows.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(at);
            if after.starts_with('}') {
                return Err("has a `}` that closes nothing".to_owned());
            }
            let Some((name, after)) = after[1..].split_once('}') else {
                return Err("has a `{` that nothing closes".to_owned());
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Blank(blank(name)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The blanks.
    pub fn blanks(&self) -> impl Iterator<Item = &Blank> {
        self.parts.iter().filter_map(|part| match part {
            Part::Blank(blank) => Some(blank),
            Part::Text(_) => None,
        })
    }

    /// What every name begins with.
    #[must_use]
    pub fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Blank(_)) | None => "",
        }
    }

    /// The name of a channel. What others send fills the blanks, so only harmless characters come through; a colon, which
    /// many systems have in their names, only where the namespace stands before it.
    pub(crate) fn channel<'m>(
        &self,
        boundary: &str,
        value: impl Fn(&Blank) -> Option<&'m str>,
    ) -> Result<String, Unfit> {
        self.fill(value, |before, value| {
            let has_namespace = !boundary.is_empty() && before.contains(boundary);
            let fits =
                |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte) || (byte == b':' && has_namespace);
            (1..=LONGEST).contains(&value.len()) && value.bytes().all(fits)
        })
    }

    /// A name that is nothing to us: the key of a value, or a name in another system.
    pub(crate) fn name<'m>(&self, value: impl Fn(&Blank) -> Option<&'m str>) -> Result<String, Unfit> {
        let name = self.fill(value, |_, value| !value.chars().any(char::is_control))?;
        if (1..=255).contains(&name.len()) { Ok(name) } else { Err(Unfit(format!("{} bytes are no name", name.len()))) }
    }

    fn fill<'m>(
        &self,
        value: impl Fn(&Blank) -> Option<&'m str>,
        fits: impl Fn(&str, &str) -> bool,
    ) -> Result<String, Unfit> {
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Blank(blank) => {
                    let value = value(blank).ok_or_else(|| Unfit(format!("there is no {blank}")))?;
                    if !fits(&name, value) {
                        let shown: String = value.chars().take(64).collect();
                        return Err(Unfit(format!("{blank} is {shown:?}, which cannot stand in a name")));
                    }
                    name.push_str(value);
                }
            }
        }
        Ok(name)
    }
}

fn blank(name: &str) -> Result<Blank, String> {
    let named = |prefix| name.strip_prefix(prefix).filter(|rest: &&str| !rest.is_empty()).map(str::to_owned);
    match name {
        "channel" => return Ok(Blank::Channel),
        "routing_key" => return Ok(Blank::RoutingKey),
        "stream" => return Ok(Blank::Stream),
        "subject" => return Ok(Blank::Subject),
        _ => {}
    }
    let known = named("field:").map(Blank::Field).or_else(|| named("header:").map(Blank::Header));
    known.ok_or_else(|| {
        format!(
            "has the unknown variable {{{name}}}; known are {{routing_key}}, {{stream}}, {{channel}}, {{subject}}, \
             {{header:NAME}} and {{field:NAME}}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, value: &str) -> Result<String, Unfit> {
        Template::parse(template).unwrap().channel(":", |_| Some(value))
    }

    #[test]
    fn blanks_are_filled() {
        let template = Template::parse("a:{routing_key}/{header:x}-{field:y}").unwrap();
        assert_eq!(template.start(), "a:");
        let name = template.channel(":", |blank| match blank {
            Blank::RoutingKey => Some("eu.1"),
            Blank::Header(name) if name == "x" => Some("h"),
            Blank::Field(name) if name == "y" => Some("f"),
            _ => None,
        });
        assert_eq!(name.unwrap(), "a:eu.1/h-f");
        let shown: Vec<String> = template.blanks().map(ToString::to_string).collect();
        assert_eq!(shown, ["{routing_key}", "{header:x}", "{field:y}"]);
    }

    #[test]
    fn nobody_chooses_a_namespace_by_what_it_sends() {
        assert_eq!(filled("ticks:{channel}", "eu:1").unwrap(), "ticks:eu:1");
        assert_eq!(filled("{channel}", "ticks").unwrap(), "ticks");
        for value in ["secret:1", "$private", "", "a b", "a\nb", "*", "#1", "ä", &"x".repeat(129)] {
            assert!(filled("{channel}", value).is_err(), "{value}");
        }
        for value in ["", "a b", "\0", "#1", &"x".repeat(129)] {
            assert!(filled("ticks:{channel}", value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_message_without_the_value_is_told_what_it_lacks() {
        let template = Template::parse("a:{header:room}").unwrap();
        assert_eq!(template.channel(":", |_| None).unwrap_err(), Unfit("there is no {header:room}".to_owned()));
    }

    #[test]
    fn keys_take_more_than_channels() {
        let template = Template::parse("{header:key}").unwrap();
        assert_eq!(template.name(|_| Some("a b/ä")).unwrap(), "a b/ä");
        for value in ["", "a\0", &"x".repeat(256)] {
            assert!(template.name(|_| Some(value)).is_err(), "{value}");
        }
    }

    #[test]
    fn faults_are_named() {
        for (text, has) in [
            ("a{", "nothing closes"),
            ("a}", "closes nothing"),
            ("{user}", "unknown variable {user}"),
            ("{header:}", "unknown"),
        ] {
            let fault = Template::parse(text).unwrap_err();
            assert!(fault.contains(has), "{fault}");
        }
    }
}
