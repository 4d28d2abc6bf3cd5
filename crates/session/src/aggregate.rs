//! Figures instead of publications: what a client wants reckoned, read out of the data of its `subscribe`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use jackfield_hub::aggregate::Aggregate;
use jackfield_hub::namespace::Options;
use jackfield_model::ClientError;
use jackfield_model::client::Subscribe;
use jackfield_model::subscription::AggregateWish;
use serde::Deserialize;

use crate::session::bad;

/// Whatever else stands in the data is for the application.
#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    aggregate: Option<Fields>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    every: u64,
    figures: BTreeMap<String, String>,
    #[serde(default)]
    by: String,
    #[serde(default, rename = "where")]
    only: BTreeMap<String, String>,
}

const SHAPE: &str =
    "aggregate is {\"every\":1000,\"figures\":{\"n\":\"count\"},\"by\":\"path\",\"where\":{\"path\":\"value\"}}";

/// The same wish, with what it wants reckoned; kept when its data is left behind.
pub(crate) fn read<'a, 's>(wish: &'s Subscribe<'a>, options: &Options) -> Result<Cow<'s, Subscribe<'a>>, ClientError> {
    let (true, Some(data)) = (options.aggregates, wish.data) else { return Ok(Cow::Borrowed(wish)) };
    let given: Given = match serde_json::from_slice(data.bytes) {
        Ok(given) => given,
        // Data that is no object says nothing to the server.
        Err(error) if error.is_data() && !names_one(data.bytes) => return Ok(Cow::Borrowed(wish)),
        Err(error) => return Err(bad(&format!("{SHAPE}: {error}"))),
    };
    let Some(Fields { every, figures, by, only }) = given.aggregate else { return Ok(Cow::Borrowed(wish)) };
    let aggregate = Some(Box::new(AggregateWish { every, figures, by, only }));
    Ok(Cow::Owned(Subscribe { aggregate, ..wish.clone() }))
}

fn names_one(json: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(json).is_ok_and(|value| value.get("aggregate").is_some())
}

/// What it wants reckoned, if that can be.
pub(crate) fn of(wish: &Subscribe<'_>, options: &Options) -> Result<Option<Arc<Aggregate>>, ClientError> {
    let Some(AggregateWish { every, figures, by, only }) = wish.aggregate.as_deref() else { return Ok(None) };
    if !options.aggregates || options.is_map() {
        return Err(bad("the namespace has no allow_aggregates"));
    }
    let aggregate = Aggregate::new(*every, figures, by, only).map_err(|error| bad(&error.to_string()))?;
    Ok(Some(Arc::new(aggregate)))
}
