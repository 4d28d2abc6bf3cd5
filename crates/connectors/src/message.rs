//! A message of another system, whichever engine it came by.

use bytes::Bytes;

use crate::template::Blank;

/// What came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// Its routing key, stream or channel of PUB/SUB.
    pub(crate) origin: String,
    /// Its headers or fields, as far as they are text.
    pub(crate) fields: Vec<(String, String)>,
    /// Its body; `None` where it has none that could be published.
    pub(crate) body: Option<Bytes>,
    /// What tells it from all others; empty where nothing does.
    pub(crate) id: String,
    /// Nothing else ever has this id.
    pub(crate) is_unique: bool,
    /// It was handed out before: it may have been published already.
    pub(crate) again: bool,
}

impl Message {
    /// What it has in place of a blank.
    pub(crate) fn value(&self, blank: &Blank) -> Option<&str> {
        match blank {
            Blank::Channel | Blank::RoutingKey | Blank::Stream | Blank::Subject => Some(&self.origin),
            Blank::Field(name) | Blank::Header(name) => {
                self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
            }
        }
    }
}
