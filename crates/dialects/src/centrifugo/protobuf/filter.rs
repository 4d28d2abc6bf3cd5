//! Reads a subscriber's filter. What a node means, and how many there may be, is decided by who grants the subscription.

use jackfield_model::subscription::FilterNode;

use super::fields::Merged;
use crate::ProtobufError;
use crate::centrifugo::MAX_FILTER_NODES;
use crate::protobuf::Fields;

/// Nodes below each other that are read at all, as many as JSON has.
const MAX_DEPTH: usize = 64;

/// Merges a filter into what was read of it before.
pub(super) fn merge(root: &mut FilterNode, message: &[u8]) -> Merged {
    let mut left = MAX_FILTER_NODES;
    merge_node(root, message, MAX_DEPTH, &mut left)
}

/// `depth` and `left` say how many nodes may come below each other, and at all.
///
/// Why: a node takes two bytes on the wire and seventy times as many in memory.
fn merge_node(node: &mut FilterNode, message: &[u8], depth: usize, left: &mut usize) -> Merged {
    let too_large = || ProtobufError::LargeFilter { max_nodes: MAX_FILTER_NODES, max_depth: MAX_DEPTH };
    let depth = depth.checked_sub(1).ok_or_else(too_large)?;
    *left = left.checked_sub(1).ok_or_else(too_large)?;
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => field.text()?.clone_into(&mut node.op),
            2 => field.text()?.clone_into(&mut node.key),
            3 => field.text()?.clone_into(&mut node.cmp),
            4 => field.text()?.clone_into(&mut node.val),
            5 => node.vals.push(field.text()?.to_owned()),
            6 => {
                let mut below = FilterNode::default();
                merge_node(&mut below, field.bytes()?, depth, left)?;
                node.nodes.push(below);
            }
            _ => {}
        }
    }
    Ok(())
}
