//! What few sessions have, kept out of the many that do not.

use std::sync::Arc;

use bytes::Bytes;
use jackfield_model::app::Header;
use jackfield_model::client::Subscribe;
use jackfield_model::{Grant, Position, Uuid};

use crate::document::OpenDocument;
use crate::limits::Rate;
use crate::token::{Caps, Right};
use crate::turn::Tick;

/// What few sessions have.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// JSON of the application, handed to every event.
    pub(crate) meta: Option<Bytes>,
    /// Commands that wait until the client is connected.
    pub(crate) held: Vec<u8>,
    /// Channels that it named when it connected, while the application is asked.
    pub(crate) wanted: Vec<Subscribe<'static>>,
    /// The secret by which its requests find it, where it has no uplink of its own.
    pub(crate) uplink: Option<Uuid>,
    /// The name in its certificate.
    pub(crate) identity: Option<Arc<str>>,
    pub(crate) rare: Option<Box<Rare>>,
}

/// What fewer still have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// What its token allows beyond the options of namespaces.
    pub(crate) caps: Option<Caps>,
    /// The name of its token, or of what the application let it in by.
    pub(crate) token_id: Option<Arc<str>>,
    /// Headers of its request, until it is in.
    pub(crate) headers: Vec<Header>,
    /// Maps that it reads page by page, before it is in.
    pub(crate) flows: Vec<Flow>,
    /// How fast it subscribes, where a namespace limits that.
    pub(crate) subscribes: Rates,
    /// How fast it publishes, where a namespace limits that.
    pub(crate) publishes: Rates,
    /// The document that it has open.
    pub(crate) document: Option<OpenDocument>,
}

/// How fast a client does something in each namespace that limits it.
#[derive(Debug, Default)]
pub(crate) struct Rates(Vec<(Arc<str>, Rate)>);

impl Rates {
    /// That of a namespace.
    pub(crate) fn of(&mut self, namespace: &Arc<str>) -> &mut Rate {
        let place = self.0.iter().position(|(name, _)| name == namespace).unwrap_or_else(|| {
            self.0.push((Arc::clone(namespace), Rate::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}

/// A map on its way to a client, page by page.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// What was asked first; its options count for all pages.
    pub(crate) wish: Subscribe<'static>,
    /// By whose leave.
    pub(crate) grant: Grant,
    /// The client renews it by a token of its own.
    pub(crate) is_by_token: bool,
    /// Where the map stood at the first page.
    pub(crate) first: Position,
    /// Until when the client must be in.
    pub(crate) until: Tick,
}

impl Extras {
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

/// Whether the token that a client came by allows something.
pub(crate) fn allows(extras: Option<&Extras>, channel: &str, right: Right) -> bool {
    let caps = extras.and_then(|extras| extras.rare.as_ref()).and_then(|rare| rare.caps.as_ref());
    caps.is_some_and(|caps| caps.allows(channel, right))
}
