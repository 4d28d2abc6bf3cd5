//! Drops the content of what was deleted and keeps its place, so that those who still have it agree on the order.

use std::cmp::Reverse;

use crate::Malformed;
use crate::merge::{Deleted, Elements, Fate, Piece};
use crate::update::{DELETED, Id, Parent};

/// About what a struct takes beside its content: two neighbours and two small numbers.
const STRUCT_BYTES: usize = 20;

/// The same document in fewer bytes: of deleted elements only the places are left, of those in deleted types only the
/// numbers. What is shorter as it is stays: letters taken back one by one do not make a document long. It is what a client of Yjs keeps after it has collected its garbage, so old states go on to merge with it.
///
/// # Errors
///
/// [`Malformed`] if `update` does not pass [`check`](crate::check()).
pub fn compact(update: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut elements = Elements::read(update)?;
    mark_deleted(&mut elements);
    mark_orphans(&mut elements.inserted);
    Ok(elements.write())
}

/// Leaves only the places of what is deleted. Where it is a part of a struct, this takes a struct more or two, so a short
/// part is shorter as it is.
fn mark_deleted(elements: &mut Elements<'_>) {
    let mut split = Vec::with_capacity(elements.inserted.len());
    let mut ranges = elements.deleted.iter().peekable();
    for mut piece in elements.inserted.drain(..) {
        while let Some(Deleted { client, from, to }) = ranges.peek()
            && *client >= piece.client
        {
            if *client == piece.client {
                if *from >= piece.end() {
                    break;
                }
                let cuts = usize::from(*from > piece.clock()) + usize::from(*to < piece.end());
                if *to > piece.clock() && piece.weight(*from, *to) >= cuts * STRUCT_BYTES {
                    split.extend(piece.split_to(*from));
                    if let Some(mut dead) = piece.split_to(*to) {
                        dead.fate = Fate::Place;
                        split.push(dead);
                    }
                }
                if piece.is_empty() || *to >= piece.end() {
                    break;
                }
            }
            ranges.next();
        }
        if !piece.is_empty() {
            split.push(piece);
        }
    }
    elements.inserted = split;
}

/// What is known about the type that a piece is in.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Home {
    Deleted,
    Lives,
    Unknown,
    /// It is on the path that is being followed.
    Walked,
}

/// Marks all that is in a deleted type. An item tells its type or a neighbour, and that one the same again.
fn mark_orphans(pieces: &mut [Piece<'_>]) {
    let mut homes = vec![Home::Unknown; pieces.len()];
    let mut path = Vec::new();
    for start in 0..pieces.len() {
        let mut at = start;
        let home = loop {
            match homes.get_mut(at) {
                Some(home @ Home::Unknown) => *home = Home::Walked,
                Some(Home::Deleted) => break Home::Deleted,
                // Who tells each other in a circle is in no type.
                Some(Home::Lives | Home::Walked) | None => break Home::Lives,
            }
            path.push(at);
            match next(pieces, at) {
                Ok(next) => at = next,
                Err(home) => break home,
            }
        };
        for at in path.drain(..) {
            if let Some(known) = homes.get_mut(at) {
                *known = home;
            }
            if let Some(piece) = pieces.get_mut(at).filter(|_| home == Home::Deleted) {
                piece.fate = Fate::Number;
            }
        }
    }
}

/// Who knows where a piece is, unless that is known here.
fn next(pieces: &[Piece<'_>], at: usize) -> Result<usize, Home> {
    let piece = pieces.get(at).ok_or(Home::Lives)?;
    let item = piece.item().ok_or(Home::Deleted)?;
    if let Some(near) = piece.origin(&item).or(item.right) {
        return find(pieces, near).ok_or(Home::Lives);
    }
    let Parent::Item(parent, _) = item.parent else { return Err(Home::Lives) };
    let at = find(pieces, parent).ok_or(Home::Lives)?;
    let lives = pieces
        .get(at)
        .is_some_and(|parent| parent.fate == Fate::Content && parent.item().is_some_and(|item| item.kind() != DELETED));
    if lives { Ok(at) } else { Err(Home::Deleted) }
}

fn find(pieces: &[Piece<'_>], id: Id) -> Option<usize> {
    let at = pieces.partition_point(|piece| (Reverse(piece.client), piece.end()) <= (Reverse(id.client), id.clock));
    pieces.get(at).filter(|piece| piece.client == id.client && piece.clock() <= id.clock).map(|_| at)
}
