//! What the hub publishes, as what an engine takes.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jackfield_hub::{Heard, Kept, Options, Order, Publishing};
use jackfield_model::{Millis, Publication, Rare, Uuid};

use crate::engine::{Keep, Outgoing, Place, Snapshot};
use crate::frame::{Body, FrameError, decode, encode};

/// Milliseconds since 1970.
pub(crate) fn millis() -> Millis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    Millis::try_from(now).unwrap_or(Millis::MAX)
}

/// What an engine keeps of channels with these options.
pub(crate) fn keep(options: &Options) -> Option<Keep> {
    let has_history = options.has_history();
    let keys = if options.has_state() { options.max_keys() } else { 0 };
    (has_history || keys > 0).then(|| Keep {
        size: if has_history { options.history_size() } else { 0 },
        ttl: options.history_ttl(),
        meta_ttl: options.meta_ttl(),
        keys,
        epoch: fresh_epoch(),
    })
}

/// Eight letters that nobody had before.
fn fresh_epoch() -> Arc<str> {
    let random = Uuid::new_v4().into_bytes();
    random[8..].iter().map(|byte| char::from(b'a' + byte % 26)).collect::<String>().into()
}

/// A publication on its way out.
pub(crate) fn outgoing(order: &Order, options: &Options) -> Outgoing {
    let Publishing { data, info, tags, skip_history, removes, more, stamp, .. } = &order.publishing;
    let more = more.as_deref();
    let key = more.map(|more| more.key.as_str()).filter(|key| !key.is_empty()).map(Arc::from);
    let rare = Rare { key, removed: *removes, score: more.map_or(0, |more| more.score), ..Rare::default() };
    let key = rare.key.clone();
    let publication = Publication {
        offset: 0,
        data: data.clone(),
        info: info.clone(),
        tags: tags.clone(),
        time: millis(),
        rare: (rare != Rare::default()).then(|| Box::new(rare)),
    };
    let stamp = stamp.unwrap_or_default();
    let id = if stamp.id == 0 { Uuid::new_v4().as_u128() } else { stamp.id };
    let delta = more.is_some_and(|more| more.delta);
    let keep = keep(options).map(|keep| Keep { size: if *skip_history { 0 } else { keep.size }, ..keep });
    Outgoing {
        channel: Arc::clone(&order.channel),
        body: encode(&Body::Publication(Box::new(publication), delta), id),
        id,
        again: stamp.again,
        fresh_for: None,
        keep: keep.filter(|keep| keep.size > 0 || keep.keys > 0),
        key,
        removes: *removes,
        idempotency_key: more.map(|more| more.idempotency_key.clone()).unwrap_or_default(),
        version: more.filter(|more| more.version > 0).map(|more| (more.version, more.version_epoch.as_str().into())),
    }
}

/// A publication that came, with its place.
pub(crate) fn heard(mut publication: Publication, place: Option<Place>, delta: bool) -> Heard {
    let Place { offset, previous, epoch } = place.unwrap_or_default();
    settle(&mut publication, offset, (previous == 0 && offset > 0).then_some(&epoch));
    Heard { publication: Arc::new(publication), epoch, previous, delta }
}

/// Gives a publication its number. The first one of a life tells its epoch to who subscribed before it.
fn settle(publication: &mut Publication, offset: u64, first_of: Option<&Arc<str>>) {
    publication.offset = offset;
    if let Some(epoch) = first_of {
        publication.rare.get_or_insert_default().epoch = Some(Arc::clone(epoch));
    }
}

/// What an engine keeps, as the hub takes it. What is of a newer node is left out.
pub(crate) fn kept(snapshot: Snapshot) -> Kept {
    let Snapshot { position, bodies, floor, values } = snapshot;
    let publications = |bodies: Vec<(u64, bytes::Bytes)>| {
        bodies.into_iter().filter_map(|(offset, body)| match decode(&body) {
            Ok(Body::Publication(mut publication, _)) => {
                settle(&mut publication, offset, None);
                Some(Arc::new(*publication))
            }
            Ok(_) => None,
            Err(error) => {
                unread(error);
                None
            }
        })
    };
    let (publications, values) = (publications(bodies).collect(), publications(values).collect());
    Kept { position, publications, floor, values }
}

/// Says that something could not be read.
pub(crate) fn unread(error: FrameError) {
    tracing::warn!(%error, "a publication of another node cannot be read");
}
