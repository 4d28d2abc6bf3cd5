//! Channel names with blanks that a connection fills in: `chat:{query.room}`.

/// What a blank stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Variable {
    /// The id of the connection.
    Client,
    /// The name of the listener, or the path of the endpoint.
    Listener,
    /// A parameter of the URL the client asked for.
    Query(String),
    /// The address of the other end.
    Remote,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

/// A channel name with blanks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Reads a template; the error is a fragment that names what is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
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
            parts.push(Part::Variable(variable(name)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The channel name of one connection; `fill` appends what a blank stands for.
    ///
    /// Why: what clients send fills the blanks, so the result is to be checked like any channel a client names.
    pub(crate) fn expand(&self, mut fill: impl FnMut(&Variable, &mut String)) -> String {
        let mut channel = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => channel.push_str(text),
                Part::Variable(variable) => fill(variable, &mut channel),
            }
        }
        channel
    }

    /// The blanks.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable(variable) => Some(variable),
        })
    }

    /// What every name begins with.
    pub(super) fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Variable(_)) | None => "",
        }
    }
}

fn variable(name: &str) -> Result<Variable, String> {
    match name {
        "client" => Ok(Variable::Client),
        "listener" => Ok(Variable::Listener),
        "remote" => Ok(Variable::Remote),
        _ => match name.strip_prefix("query.") {
            Some(parameter) if !parameter.is_empty() => Ok(Variable::Query(parameter.to_owned())),
            _ => Err(format!(
                "has the unknown variable {{{name}}}; known are {{client}}, {{remote}}, {{listener}} and {{query.NAME}}"
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_filled() {
        let template = Template::parse("chat:{query.room}/{client}-{remote}@{listener}").unwrap();
        let channel = template.expand(|variable, channel| match variable {
            Variable::Client => channel.push('c'),
            Variable::Listener => channel.push('l'),
            Variable::Query(name) => channel.push_str(name),
            Variable::Remote => channel.push('r'),
        });
        assert_eq!(channel, "chat:room/c-r@l");
        assert_eq!(template.start(), "chat:");
        assert_eq!(template.variables().count(), 4);
    }

    #[test]
    fn a_plain_name_has_no_blanks() {
        let template = Template::parse("ws").unwrap();
        assert_eq!(template.expand(|_, _| unreachable!()), "ws");
        assert_eq!(Template::parse("").unwrap(), Template::default());
    }

    #[test]
    fn faults_are_named() {
        let known = "known are {client}, {remote}, {listener} and {query.NAME}";
        let cases = [
            ("a{", "has a `{` that nothing closes".to_owned()),
            ("a}", "has a `}` that closes nothing".to_owned()),
            ("{user}", format!("has the unknown variable {{user}}; {known}")),
            ("{query.}", format!("has the unknown variable {{query.}}; {known}")),
            ("{}", format!("has the unknown variable {{}}; {known}")),
        ];
        for (text, fault) in cases {
            assert_eq!(Template::parse(text), Err(fault), "{text}");
        }
    }
}
