//! What is wrong with a configuration, told so that it can be put right: place, key, value and remedy.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Likeness from which a word counts as a slip of another.
const LIKENESS: f64 = 0.8;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// In the file, on this line; 0 stands for the whole file.
    File(Arc<str>, usize),
    /// On the command line.
    Flag,
    /// In this environment variable.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, 0) => write!(formatter, "{path}"),
            Self::File(path, line) => write!(formatter, "{path}:{line}"),
            Self::Flag => write!(formatter, "command line"),
            Self::Variable(name) => write!(formatter, "environment variable {name}"),
        }
    }
}

/// One thing that must be put right before the server starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where the value was given; `None` for a default, or for what was left out.
    pub(crate) place: Option<Place>,
    /// Path of the key, such as `client.ping_interval` or `raw[0].path`; empty for a whole file.
    pub(crate) key: String,
    /// What is wrong and what to do.
    pub(crate) text: String,
}

impl Fault {
    /// A fault in what a key says.
    pub(super) fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: None, key: key.into(), text: text.into() }
    }

    /// The same, with the place.
    pub(super) fn at(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(formatter, "{place}: ")?;
        }
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.text)
    }
}

/// One thing worth telling that does not stop the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    /// What was noticed and what to do.
    pub(crate) text: String,
}

impl Warning {
    /// A warning.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A configuration the server does not start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// All that is wrong, in the order of the file; never empty.
    pub(crate) faults: Vec<Fault>,
}

impl ConfigError {
    /// The faults in the order in which a reader finds them.
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|one, other| one.place.cmp(&other.place));
        Self { faults }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "read the configuration")?;
        for fault in &self.faults {
            write!(formatter, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl Error for ConfigError {}

/// The known word that was most likely meant.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    known
        .map(|name| (strsim::jaro_winkler(&word, &name.to_lowercase().replace('-', "_")), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_tells_place_key_and_text() {
        let fault = Fault::new("client.insecure", "is wrong");
        assert_eq!(fault.to_string(), "client.insecure: is wrong");
        let file = Place::File("jackfield.toml".into(), 3);
        assert_eq!(fault.at(&file).to_string(), "jackfield.toml:3: client.insecure: is wrong");
        let whole = Fault::new("", "cannot be read").at(&Place::File("a.toml".into(), 0));
        assert_eq!(whole.to_string(), "a.toml: cannot be read");
        let flag = Fault::new("dev", "x").at(&Place::Flag);
        assert_eq!(flag.to_string(), "command line: dev: x");
        let variable = Fault::new("dev", "x").at(&Place::Variable("JACKFIELD_DEV".to_owned()));
        assert_eq!(variable.to_string(), "environment variable JACKFIELD_DEV: dev: x");
    }

    #[test]
    fn an_error_tells_all_faults_line_by_line() {
        let later = Fault::new("b", "second").at(&Place::File("f".into(), 9));
        let sooner = Fault::new("a", "first").at(&Place::File("f".into(), 2));
        let error = ConfigError::new(vec![later, sooner]);
        let text = "read the configuration\n  f:2: a: first\n  f:9: b: second";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn slips_are_recognised() {
        let known = ["ping_interval", "pong_timeout", "insecure", "warn"];
        let cases = [
            ("ping_intervall", Some("ping_interval")),
            ("ping-interval", Some("ping_interval")),
            ("Insecure", Some("insecure")),
            ("warning", Some("warn")),
            ("xyz", None),
        ];
        for (word, meant) in cases {
            assert_eq!(nearest(word, known.into_iter()), meant, "{word}");
        }
    }
}
