//! The words of a method's table: what its payload may have, what its result has, of which kind, and what it means.
//!
//! The parser reads by these tables and the documents are written from them, so the two cannot differ.

/// One field of a JSON object that comes in.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether the object makes no sense without it.
    pub required: bool,
    /// What it means, in one sentence or two.
    pub about: &'static str,
}

/// The fields of an object, in groups that several methods share.
pub type Table = &'static [&'static [Field]];

/// What a field takes. `null` is the same as leaving an optional field out, except where any value is taken.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Any JSON value, which stays as it was written.
    Any,
    /// Bytes in standard base64.
    Base64,
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number, 0 or more.
    Count,
    /// A whole number.
    Integer,
    /// An object with these fields.
    Object(Table),
    /// An object of texts.
    Tags,
    /// A text.
    Text,
    /// A list of texts.
    Texts,
    /// The id of a connection or of a session.
    Uuid,
    /// A list of such ids.
    Uuids,
}

impl Field {
    pub(super) const fn needed(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, required: true, about }
    }

    pub(super) const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self { name, kind, required: false, about }
    }
}

/// One field of a result.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Its key.
    pub name: &'static str,
    /// What it is.
    pub shape: Shape,
    /// Whether it is there always.
    pub always: bool,
    /// What it means.
    pub about: &'static str,
}

/// What a field of a result is.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A list of objects.
    List(&'static [Told]),
    /// An object whose keys are names, each with such an object.
    Named(&'static [Told]),
    /// An object.
    Object(&'static [Told]),
    /// A plain value.
    Plain(Kind),
}

impl Told {
    pub(super) const fn always(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self { name, shape, always: true, about }
    }

    pub(super) const fn maybe(name: &'static str, shape: Shape, about: &'static str) -> Self {
        Self { name, shape, always: false, about }
    }
}
