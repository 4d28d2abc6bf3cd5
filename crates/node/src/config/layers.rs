//! Lays file, environment and flags over the defaults, the later over the earlier.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Config;
use super::check::{Check, unknown};
use super::fault::{ConfigError, Fault, Place, Warning, nearest};
use super::schema::{Kind, ROOT, paths, variable};
use super::tree::{Item, Tree, from_json, from_toml};

/// What the names of our environment variables begin with.
const PREFIX: &str = "JACKFIELD_";

/// The variable that names the file.
const FILE: &str = "JACKFIELD_CONFIG";

impl Config {
    /// Reads the configuration and holds it against the rules.
    ///
    /// Overrides are pairs of a dotted path and a value as it would stand in an environment variable. Without a `file`
    /// the variable `JACKFIELD_CONFIG` may name one. The later layer wins; a list is replaced as a whole.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        overrides: &[(String, String)],
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let mut variables: Vec<_> = environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
        variables.sort();
        let named = variables.iter().find(|(name, path)| name == FILE && !path.is_empty());
        let file = file.map(Path::to_owned).or_else(|| named.map(|(_, path)| PathBuf::from(path)));

        let mut layers = Layers::default();
        if let Some(path) = file {
            layers.file(&path);
        }
        for (name, text) in variables.iter().filter(|(name, _)| name != FILE) {
            layers.variable(name, text);
        }
        for (path, text) in overrides {
            layers.flag(path, text);
        }
        layers.finish()
    }
}

/// The layers laid so far.
#[derive(Debug, Default)]
struct Layers {
    check: Check,
    values: Map<String, Value>,
    warnings: Vec<Warning>,
}

impl Layers {
    fn file(&mut self, path: &Path) {
        let shown: Arc<str> = path.display().to_string().into();
        match read(path, &shown) {
            Ok(tree) if matches!(tree.item, Item::Table(_)) => {
                let read = self.check.table(tree, ROOT, "");
                lay(&mut self.values, read);
            }
            Ok(tree) => {
                self.check.faults.push(Fault::new("", "holds no table").at(&tree.place));
            }
            Err(fault) => self.check.faults.push(fault),
        }
    }

    fn variable(&mut self, name: &str, text: &str) {
        let known = paths();
        if let Some((path, kind)) = known.iter().find(|(path, _)| variable(path) == name) {
            self.set(path, *kind, text, Place::Variable(name.to_owned()));
            return;
        }
        let names: Vec<_> = known.iter().map(|(path, _)| variable(path)).collect();
        let hint = match nearest(name, names.iter().map(String::as_str)) {
            Some(meant) => format!("; did you mean {meant}?"),
            None => String::new(),
        };
        self.warnings.push(Warning::new(format!(
            "environment variable {} sets no known key and is ignored{hint}",
            name.escape_debug()
        )));
    }

    fn flag(&mut self, path: &str, text: &str) {
        let known = paths();
        if let Some((path, kind)) = known.iter().find(|(known, _)| known == path) {
            self.set(path, *kind, text, Place::Flag);
            return;
        }
        let fault = match nearest(path, known.iter().map(|(path, _)| path.as_str())) {
            _ if known.iter().any(|(known, _)| known.starts_with(&format!("{path}."))) => {
                "is a section; name one of its keys".to_owned()
            }
            Some(meant) => format!("is no known key; did you mean `{meant}`?"),
            None => unknown(path, ROOT, ""),
        };
        let path = path.escape_debug().to_string();
        self.check.faults.push(Fault::new(path, fault).at(&Place::Flag));
    }

    /// Sets one key to what a text says.
    fn set(&mut self, path: &str, kind: Kind, text: &str, place: Place) {
        let tree = match from_text(text, kind, &place) {
            Ok(tree) => tree,
            Err(fault) => {
                self.check.faults.push(Fault { key: path.to_owned(), ..fault });
                return;
            }
        };
        if let Some(value) = self.check.value(tree, kind, path) {
            let nest = |value, name: &str| Value::Object(Map::from_iter([(name.to_owned(), value)]));
            lay(&mut self.values, path.rsplit('.').fold(value, nest));
        }
    }

    /// Lays everything over the defaults.
    ///
    /// Why the rules come last: held against half a configuration they would complain of what is not there.
    fn finish(mut self) -> Result<(Config, Vec<Warning>), ConfigError> {
        if !self.check.faults.is_empty() {
            return Err(ConfigError::new(self.check.faults));
        }
        let dev = self.values.get("dev") == Some(&Value::Bool(true));
        let base = if dev { Config::dev() } else { Config::default() };
        let whole = serde_json::to_value(base).and_then(|mut whole| {
            if let Value::Object(base) = &mut whole {
                lay(base, Value::Object(self.values));
            }
            serde_json::from_value::<Config>(whole)
        });
        let config = whole.map_err(|error| ConfigError::new(vec![Fault::new("", format!("is refused: {error}"))]))?;
        match config.validate() {
            Ok(()) => {
                self.warnings.extend(config.warnings());
                Ok((config, self.warnings))
            }
            Err(mut faults) => {
                for fault in &mut faults {
                    fault.place = place(&self.check, &fault.key).cloned();
                }
                Err(ConfigError::new(faults))
            }
        }
    }
}

/// Reads a file by the end of its name.
fn read(path: &Path, shown: &Arc<str>) -> Result<Tree, Fault> {
    let place = Place::File(Arc::clone(shown), 0);
    let fault = |text: String| Fault::new("", text).at(&place);
    let extension = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    let text = || fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")));
    match extension.to_lowercase().as_str() {
        "toml" => from_toml(shown, &text()?),
        "json" => from_json(&place, &text()?),
        "yaml" | "yml" => Err(fault("is YAML; write TOML or JSON".to_owned())),
        _ => Err(fault("is of unknown form; name it .toml or .json".to_owned())),
    }
}

/// What the text of a variable or a flag says, given what the key takes.
///
/// What does not fit stays a text, so that the check tells what would.
fn from_text(text: &str, kind: Kind, place: &Place) -> Result<Tree, Fault> {
    let word = |item| Tree { place: place.clone(), item };
    let trimmed = text.trim();
    let item = match kind {
        Kind::Bool => match trimmed {
            "true" | "1" => Item::Bool(true),
            "false" | "0" => Item::Bool(false),
            _ => Item::Text(text.to_owned()),
        },
        Kind::Integer | Kind::Port => match trimmed.parse() {
            Ok(number) => Item::Integer(number),
            Err(_) => Item::Text(text.to_owned()),
        },
        Kind::Choices(_) | Kind::Texts if !trimmed.starts_with('[') => {
            let words = trimmed.split([' ', ',']).filter(|part| !part.is_empty());
            Item::List(words.map(|part| word(Item::Text(part.to_owned()))).collect())
        }
        Kind::Sections(..) if !trimmed.starts_with('[') => {
            let text = r#"is no JSON array; write [{"KEY": "value"}]"#;
            return Err(Fault::new("", text).at(place));
        }
        Kind::Pairs if !trimmed.starts_with('{') => {
            return Err(Fault::new("", r#"is no JSON object; write {"NAME": "value"}"#).at(place));
        }
        Kind::Choices(_) | Kind::Pairs | Kind::Texts | Kind::Sections(..) => return from_json(place, trimmed),
        Kind::Choice(_) | Kind::Duration | Kind::Secret | Kind::Section(..) | Kind::Text => Item::Text(text.to_owned()),
    };
    Ok(word(item))
}

/// Lays one table over another; tables are joined, all else is replaced.
fn lay(below: &mut Map<String, Value>, above: Value) {
    let Value::Object(above) = above else { return };
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(Value::Object(below)), value @ Value::Object(_)) => lay(below, value),
            (_, value) => _ = below.insert(name, value),
        }
    }
}

/// Where a key was given, or else what holds it.
fn place<'a>(check: &'a Check, key: &str) -> Option<&'a Place> {
    let mut path = key;
    loop {
        if let Some(place) = check.places.get(path) {
            return Some(place);
        }
        // Only a table in a list stands for its keys; a section says nothing of what was left out.
        path = &path[..path.rfind('.')?];
        if !path.ends_with(']') {
            return None;
        }
    }
}
