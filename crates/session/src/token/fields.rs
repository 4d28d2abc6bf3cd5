//! The members of a claims object, each as raw JSON until somebody asks for it.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jackfield_model::Payload;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::TokenError;

/// The members of a JSON object. A name that stands twice makes the object invalid: two readers could believe different
/// ones.
#[derive(Debug, Default)]
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads an object.
    pub(super) fn parse(json: &'a [u8]) -> Result<Self, TokenError> {
        serde_json::from_slice(json).map_err(|_| TokenError::Invalid("its claims are no JSON object with unique names"))
    }

    /// A member; `null` counts as absent.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    /// A member of a type, or the fault if it is of another.
    pub(super) fn typed<T: Deserialize<'a>>(&self, name: &str, fault: &'static str) -> Result<Option<T>, TokenError> {
        let read = |value: &'a RawValue| serde_json::from_str(value.get()).map_err(|_| TokenError::Invalid(fault));
        self.raw(name).map(read).transpose()
    }

    /// A point in time, in seconds since 1970; fractions are dropped, as they are by who writes whole seconds.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<u64>, TokenError> {
        const FAULT: &str = "its times must be seconds since 1970";
        match self.typed::<f64>(name, FAULT)? {
            None => Ok(None),
            // Exact up to 2^53 seconds.
            Some(seconds) if seconds >= 0.0 => Ok(Some(seconds as u64)),
            Some(_) => Err(TokenError::Invalid(FAULT)),
        }
    }

    /// A point in time as milliseconds, where a fraction of a second counts.
    pub(super) fn millis(&self, name: &str) -> Result<Option<u64>, TokenError> {
        const FAULT: &str = "its times must be seconds since 1970";
        match self.typed::<f64>(name, FAULT)? {
            None => Ok(None),
            Some(seconds) if seconds >= 0.0 => Ok(Some((seconds * 1000.0).round() as u64)),
            Some(_) => Err(TokenError::Invalid(FAULT)),
        }
    }

    /// A member as the JSON that it is.
    pub(super) fn json(&self, name: &str) -> Option<Bytes> {
        self.raw(name).map(|value| one_line(value.get()))
    }

    /// Info about a client: JSON, as `info` or in base64 as `b64info`.
    pub(super) fn info(&self) -> Result<Option<Bytes>, TokenError> {
        let Some(bytes) = self.base64("b64info", "its b64info is not base64")? else { return Ok(self.json("info")) };
        match serde_json::from_slice::<&RawValue>(&bytes) {
            Ok(value) => Ok(Some(one_line(value.get()))),
            Err(_) => Err(TokenError::Invalid("its b64info is not JSON")),
        }
    }

    /// Data for a client: JSON as `data`, or any bytes in base64 as `b64data`.
    pub(super) fn data(&self) -> Result<Option<Payload>, TokenError> {
        let Some(bytes) = self.base64("b64data", "its b64data is not base64")? else {
            return Ok(self.json("data").map(Payload::json));
        };
        Ok(Some(match serde_json::from_slice::<&RawValue>(&bytes) {
            Ok(value) => Payload::json(one_line(value.get())),
            Err(_) => Payload::binary(bytes),
        }))
    }

    fn base64(&self, name: &str, fault: &'static str) -> Result<Option<Vec<u8>>, TokenError> {
        let encoded = self.typed::<Cow<'a, str>>(name, fault)?.filter(|text| !text.is_empty());
        encoded.map(|text| STANDARD.decode(&*text)).transpose().map_err(|_| TokenError::Invalid(fault))
    }
}

/// JSON without line breaks, which end a message in some framings; outside of strings, where alone they stand, a space
/// means the same.
fn one_line(json: &str) -> Bytes {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ").into() } else { json.to_owned().into() }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut members: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
                names.sort_unstable();
                if names.windows(2).any(|pair| pair[0] == pair[1]) {
                    return Err(A::Error::custom("a name stands twice"));
                }
                Ok(Fields(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// A name, borrowed where it holds no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
