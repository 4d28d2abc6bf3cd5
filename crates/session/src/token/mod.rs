//! Who a client is and what it may do, as a JSON Web Token (RFC 7519) says.
//!
//! A [`Verifier`] holds keys and what tokens must claim besides. Each [`Key`] is for the algorithms of one family, so no
//! token chooses how its signature is read. Keys that an identity provider exchanges by itself lie in [`Keys`], which
//! the control plane fills. The signature is checked before a single claim is believed.

mod caps;
mod claims;
mod error;
mod fields;
mod key;
mod key_set;
mod pattern;
mod subscription;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_keys;
mod verifier;

pub use caps::{Caps, Right};
pub use claims::{Claims, MoreClaims};
pub use error::TokenError;
pub use key::{Key, KeyError};
pub use key_set::{KeySet, KeySetError, Keys};
pub use pattern::{Pattern, PatternError};
pub use subscription::{Subscriber, SubscriptionClaims};
pub use verifier::Verifier;
