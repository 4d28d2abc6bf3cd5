//! Reads a subscriber's filter. What a node means, and how many there may be, is decided by who grants the subscription.

use jackfield_model::subscription::FilterNode;
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

use super::fields::Strict;
use crate::centrifugo::MAX_FILTER_NODES;

/// Reads a filter, or `null`.
///
/// Why in two steps: a node takes three bytes on the wire and fifty times as many in memory, so they are counted before.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<FilterNode>>, D::Error> {
    let Some(raw) = Option::<&RawValue>::deserialize(deserializer)? else {
        return Ok(None);
    };
    if memchr::memchr_iter(b'{', raw.get().as_bytes()).nth(MAX_FILTER_NODES).is_some() {
        return Err(D::Error::custom(format_args!("tf may have {MAX_FILTER_NODES} nodes, not more")));
    }
    let Strict(fields) = serde_json::from_str::<Strict<FilterFields>>(raw.get()).map_err(D::Error::custom)?;
    Ok(Some(Box::new(fields.into())))
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct FilterFields {
    op: Option<String>,
    key: Option<String>,
    cmp: Option<String>,
    val: Option<String>,
    vals: Option<Vec<String>>,
    nodes: Option<Vec<Strict<Self>>>,
}

impl From<FilterFields> for FilterNode {
    fn from(fields: FilterFields) -> Self {
        let FilterFields { op, key, cmp, val, vals, nodes } = fields;
        Self {
            op: op.unwrap_or_default(),
            key: key.unwrap_or_default(),
            cmp: cmp.unwrap_or_default(),
            val: val.unwrap_or_default(),
            vals: vals.unwrap_or_default(),
            nodes: nodes.into_iter().flatten().map(|Strict(node)| node.into()).collect(),
        }
    }
}
