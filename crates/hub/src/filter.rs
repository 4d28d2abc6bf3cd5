//! Tells which publications a subscriber wants, by their tags.
//!
//! A tag that is missing equals nothing, not even the empty string, but for the lists of `in` and `nin`, where it counts as
//! empty. Numbers are decimals of any length, compared exactly; what is no number is neither less nor more than anything.

mod decimal;

use std::cmp::Ordering;
use std::collections::BTreeMap;

use decimal::Decimal;
use jackfield_model::subscription::FilterNode;

/// How many nodes may stand below each other.
pub const MAX_DEPTH: usize = 8;
/// How many nodes a filter may have.
pub const MAX_NODES: usize = 100;

/// A filter that is in order. Equal ones match the same publications, so one answer may serve all who have one.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Filter(Node);

/// What is wrong with a filter. The texts fit after "failed to".
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// A comparison that there is not.
    #[error(
        "read the filter: it compares with {0:?}; \
         one of eq, neq, in, nin, ex, nex, sw, ew, ct, lt, lte, gt, gte is needed"
    )]
    Comparison(String),
    /// Nodes below nodes below nodes.
    #[error("read the filter: its nodes stand more than {MAX_DEPTH} deep")]
    Deep,
    /// A comparison without a key.
    #[error("read the filter: {0} needs a key, the name of a tag")]
    NoKey(String),
    /// Nodes beside nodes beside nodes.
    #[error("read the filter: it has more than {MAX_NODES} nodes")]
    Large,
    /// `and` or `or` of nothing, `not` of anything but one.
    #[error("read the filter: {op} has {found} nodes; {needed}")]
    Nodes {
        /// The operator.
        op: String,
        /// How many nodes it has.
        found: usize,
        /// How many it needs.
        needed: &'static str,
    },
    /// An operator that there is not.
    #[error("read the filter: its op is {0:?}; and, or, not are, and none for a comparison")]
    Op(String),
    /// `val` or `vals` that are missing, or that the comparison has no use for.
    #[error("read the filter: {comparison} needs {needed}")]
    Values {
        /// The comparison.
        comparison: String,
        /// What it needs.
        needed: &'static str,
    },
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Node {
    And(Box<[Self]>),
    Leaf(Box<str>, Test),
    Not(Box<Self>),
    Or(Box<[Self]>),
}

/// What a leaf asks of its tag.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Test {
    Contains(Box<str>),
    EndsWith(Box<str>),
    Equal(Box<str>),
    Exists,
    In(Box<[String]>),
    Missing,
    NotEqual(Box<str>),
    NotIn(Box<[String]>),
    Number { relation: Relation, bound: Box<str> },
    StartsWith(Box<str>),
}

/// How a number must stand to another.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Relation {
    Less,
    LessOrEqual,
    More,
    MoreOrEqual,
}

impl Filter {
    /// Checks a filter and makes it ready for use.
    ///
    /// # Errors
    ///
    /// What is wrong with it; error 107 to the client that brought it.
    pub fn new(node: &FilterNode) -> Result<Self, FilterError> {
        let mut left = MAX_NODES;
        Node::new(node, MAX_DEPTH, &mut left).map(Self)
    }

    /// Whether a publication with these tags is wanted.
    #[must_use]
    pub fn matches(&self, tags: &BTreeMap<String, String>) -> bool {
        self.0.matches(tags)
    }
}

impl Node {
    /// `depth`: how many nodes may stand below each other from here on. `left`: how many more there may be.
    fn new(node: &FilterNode, depth: usize, left: &mut usize) -> Result<Self, FilterError> {
        let depth = depth.checked_sub(1).ok_or(FilterError::Deep)?;
        *left = left.checked_sub(1).ok_or(FilterError::Large)?;
        let mut nodes = || node.nodes.iter().map(|node| Self::new(node, depth, left)).collect::<Result<Box<[_]>, _>>();
        let wrong = |needed| Err(FilterError::Nodes { op: node.op.clone(), found: node.nodes.len(), needed });
        match node.op.as_str() {
            "" => leaf(node),
            "and" | "or" if node.nodes.is_empty() => wrong("at least one is needed"),
            "and" => nodes().map(Self::And),
            "not" => match &*node.nodes {
                [only] => Self::new(only, depth, left).map(|only| Self::Not(Box::new(only))),
                _ => wrong("exactly one is needed"),
            },
            "or" => nodes().map(Self::Or),
            other => Err(FilterError::Op(other.to_owned())),
        }
    }

    fn matches(&self, tags: &BTreeMap<String, String>) -> bool {
        match self {
            Self::And(nodes) => nodes.iter().all(|node| node.matches(tags)),
            Self::Leaf(key, test) => test.passes(tags.get(&**key).map(String::as_str)),
            Self::Not(node) => !node.matches(tags),
            Self::Or(nodes) => nodes.iter().any(|node| node.matches(tags)),
        }
    }
}

fn leaf(node: &FilterNode) -> Result<Node, FilterError> {
    let value = || Box::from(node.val.as_str());
    let values = || Box::from(node.vals.as_slice());
    let number = |relation| Test::Number { relation, bound: value() };
    let test = match node.cmp.as_str() {
        "ct" => Test::Contains(value()),
        "eq" => Test::Equal(value()),
        "ew" => Test::EndsWith(value()),
        "ex" => Test::Exists,
        "gt" => number(Relation::More),
        "gte" => number(Relation::MoreOrEqual),
        "in" => Test::In(values()),
        "lt" => number(Relation::Less),
        "lte" => number(Relation::LessOrEqual),
        "neq" => Test::NotEqual(value()),
        "nex" => Test::Missing,
        "nin" => Test::NotIn(values()),
        "sw" => Test::StartsWith(value()),
        other => return Err(FilterError::Comparison(other.to_owned())),
    };
    let (needed, has_value, has_values) = match test {
        Test::Exists | Test::Missing => ("neither val nor vals", false, false),
        Test::In(_) | Test::NotIn(_) => ("vals, at least one, and no val", false, true),
        Test::Contains(_)
        | Test::EndsWith(_)
        | Test::Equal(_)
        | Test::NotEqual(_)
        | Test::Number { .. }
        | Test::StartsWith(_) => ("a val that is not empty, and no vals", true, false),
    };
    if (has_value, has_values) != (!node.val.is_empty(), !node.vals.is_empty()) {
        return Err(FilterError::Values { comparison: node.cmp.clone(), needed });
    }
    if node.key.is_empty() && (has_value || has_values) {
        return Err(FilterError::NoKey(node.cmp.clone()));
    }
    Ok(Node::Leaf(node.key.as_str().into(), test))
}

impl Test {
    fn passes(&self, tag: Option<&str>) -> bool {
        let is_in = |values: &[String]| values.iter().any(|value| *value == tag.unwrap_or_default());
        match self {
            Self::Contains(value) => tag.is_some_and(|tag| tag.contains(&**value)),
            Self::EndsWith(value) => tag.is_some_and(|tag| tag.ends_with(&**value)),
            Self::Equal(value) => tag == Some(value),
            Self::Exists => tag.is_some(),
            Self::In(values) => is_in(values),
            Self::Missing => tag.is_none(),
            Self::NotEqual(value) => tag != Some(value),
            Self::NotIn(values) => !is_in(values),
            Self::Number { relation, bound } => {
                let number = tag.and_then(Decimal::parse);
                number.zip(Decimal::parse(bound)).is_some_and(|(number, bound)| relation.holds(number.cmp(&bound)))
            }
            Self::StartsWith(value) => tag.is_some_and(|tag| tag.starts_with(&**value)),
        }
    }
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::More => ordering.is_gt(),
            Self::MoreOrEqual => ordering.is_ge(),
        }
    }
}

#[cfg(test)]
mod tests;
