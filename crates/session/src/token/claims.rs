//! What a good connection token says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_model::{Grant, Millis, Overrides};
use serde::Deserialize;

use super::caps::{Caps, RawCap};
use super::error::TokenError;
use super::fields::Fields;

/// What a good token says.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// The user; empty for an anonymous one.
    pub user: Arc<str>,
    /// JSON for presence and publications.
    pub info: Option<Bytes>,
    /// JSON for the application.
    pub meta: Option<Bytes>,
    /// Seconds since 1970 after which the connection must have a new token.
    pub expire_at: Option<u64>,
    /// `iat`, in milliseconds: when it was made, for who revokes all that were made before.
    pub issued_at: Option<Millis>,
    /// What few tokens have.
    pub more: Option<Box<MoreClaims>>,
}

/// What few tokens have.
#[derive(Clone, Debug, Default)]
pub struct MoreClaims {
    /// `jti`: its name, for who revokes just this one.
    pub token_id: Option<Arc<str>>,
    /// `channels` and `subs`: what the client is put into; each channel once, in order.
    pub subs: Vec<(Arc<str>, Grant)>,
    /// `caps`: what it may do beyond the options of namespaces.
    pub caps: Option<Caps>,
}

impl Claims {
    /// Reads claims whose signature, audience, issuer and times are good.
    pub(super) fn read(fields: &Fields<'_>, user_claim: &str) -> Result<Self, TokenError> {
        let more = MoreClaims {
            token_id: token_id(fields)?,
            subs: subs(fields)?,
            caps: fields
                .typed::<Vec<RawCap<'_>>>("caps", "its caps must be a list of {channels, match, allow}")?
                .map(Caps::parse)
                .transpose()?,
        };
        let is_plain = more.token_id.is_none() && more.subs.is_empty() && more.caps.is_none();
        Ok(Self {
            user: user(fields, user_claim)?.into(),
            info: fields.info()?,
            meta: fields.json("meta"),
            expire_at: expire_at(fields)?,
            issued_at: fields.millis("iat")?,
            more: (!is_plain).then(|| Box::new(more)),
        })
    }
}

/// The user; empty where none is named.
pub(super) fn user<'a>(fields: &Fields<'a>, claim: &str) -> Result<Cow<'a, str>, TokenError> {
    Ok(fields.typed::<Text<'a>>(claim, "its user id must be a string")?.unwrap_or_default().0)
}

/// Its name among all tokens; an empty one is none.
pub(super) fn token_id(fields: &Fields<'_>) -> Result<Option<Arc<str>>, TokenError> {
    let id = fields.typed::<Text<'_>>("jti", "its jti must be a string")?;
    Ok(id.filter(|id| !id.0.is_empty()).map(|id| id.0.into()))
}

/// The end of what the token opens: `expire_at`, where 0 is never, else the end of the token itself.
pub(super) fn expire_at(fields: &Fields<'_>) -> Result<Option<u64>, TokenError> {
    match fields.seconds("expire_at")? {
        Some(0) => Ok(None),
        Some(at) => Ok(Some(at)),
        None => fields.seconds("exp"),
    }
}

/// What a token grants in one channel: `info`, `data` and `override`.
pub(super) fn grant(fields: &Fields<'_>) -> Result<Grant, TokenError> {
    let overrides = fields.typed::<RawOverrides>("override", "an override must hold options as {\"value\": true}")?;
    Ok(Grant {
        info: fields.info()?,
        data: fields.data()?,
        expire_at: None,
        overrides: overrides.unwrap_or_default().into(),
    })
}

/// The channels that the token puts its client into, `subs` before what `channels` has besides.
fn subs(fields: &Fields<'_>) -> Result<Vec<(Arc<str>, Grant)>, TokenError> {
    let mut all = BTreeMap::new();
    let subs =
        fields.typed::<BTreeMap<Text<'_>, Option<Fields<'_>>>>("subs", "its subs must map channels to options")?;
    for (channel, options) in subs.unwrap_or_default() {
        all.insert(channel.0, grant(&options.unwrap_or_default())?);
    }
    let channels = fields.typed::<Vec<Text<'_>>>("channels", "its channels must be a list of strings")?;
    for channel in channels.unwrap_or_default() {
        all.entry(channel.0).or_default();
    }
    if all.keys().any(|channel| channel.is_empty()) {
        return Err(TokenError::Invalid("it names an empty channel"));
    }
    Ok(all.into_iter().map(|(channel, grant)| (channel.into(), grant)).collect())
}

/// A string, borrowed where it holds no escapes.
#[derive(Default, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// `override` as it stands in a token; an option nobody knows here is passed over, since it came from a newer sender.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawOverrides {
    presence: Option<Switch>,
    join_leave: Option<Switch>,
    force_recovery: Option<Switch>,
    force_positioning: Option<Switch>,
    force_push_join_leave: Option<Switch>,
    publish: Option<Switch>,
}

/// The protocol writes a switch as an object, so that off differs from not given.
#[derive(Deserialize)]
struct Switch {
    #[serde(default)]
    value: bool,
}

impl From<RawOverrides> for Overrides {
    fn from(raw: RawOverrides) -> Self {
        let value = |switch: Option<Switch>| switch.map(|switch| switch.value);
        Self {
            presence: value(raw.presence),
            join_leave: value(raw.join_leave),
            force_recovery: value(raw.force_recovery),
            force_positioning: value(raw.force_positioning),
            force_push_join_leave: value(raw.force_push_join_leave),
            publish: value(raw.publish),
        }
    }
}
