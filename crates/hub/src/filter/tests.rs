//! Each comparison with what it lets pass, numbers of any length, faults by name, and trees against a second reading.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn leaf(key: &str, cmp: &str, val: &str, vals: &[&str]) -> FilterNode {
    let vals = vals.iter().map(|&value| value.to_owned()).collect();
    FilterNode { key: key.to_owned(), cmp: cmp.to_owned(), val: val.to_owned(), vals, ..FilterNode::default() }
}

fn combined(op: &str, nodes: Vec<FilterNode>) -> FilterNode {
    FilterNode { op: op.to_owned(), nodes, ..FilterNode::default() }
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn matches(node: &FilterNode, pairs: &[(&str, &str)]) -> bool {
    Filter::new(node).unwrap().matches(&tags(pairs))
}

#[test]
fn each_comparison_is_true_and_false_and_knows_what_is_missing() {
    // What passes, what does not, and whether a missing tag does.
    for (cmp, val, vals, passing, failing, missing) in [
        ("eq", "b", &[][..], "b", "bb", false),
        ("neq", "b", &[], "a", "b", true),
        ("in", "", &["a", "b"], "b", "c", false),
        ("in", "", &["a", ""], "", "c", true),
        ("nin", "", &["a", "b"], "c", "a", true),
        ("nin", "", &["a", ""], "c", "", false),
        ("sw", "ab", &[], "abc", "cab", false),
        ("ew", "ab", &[], "cab", "abc", false),
        ("ct", "ab", &[], "cabc", "acb", false),
        ("lt", "10", &[], "9.99", "10.0", false),
        ("lte", "10", &[], "10.0", "10.01", false),
        ("gt", "-1", &[], "-0.5", "-1.0", false),
        ("gte", "-1", &[], "-1.00", "-1.5", false),
    ] {
        let filter = leaf("k", cmp, val, vals);
        assert!(matches(&filter, &[("a", ""), ("k", passing)]), "{cmp} {passing}");
        assert!(!matches(&filter, &[("k", failing)]), "{cmp} {failing}");
        assert_eq!(matches(&filter, &[("l", passing)]), missing, "{cmp}");
    }
    for (cmp, expected) in [("ex", true), ("nex", false)] {
        assert_eq!(matches(&leaf("k", cmp, "", &[]), &[("k", "")]), expected);
        assert_eq!(matches(&leaf("k", cmp, "", &[]), &[("l", "")]), !expected);
        assert_eq!(matches(&leaf("", cmp, "", &[]), &[("", "x")]), expected);
    }
}

#[test]
fn nodes_are_combined() {
    let (yes, no) = (leaf("k", "ex", "", &[]), leaf("k", "nex", "", &[]));
    let k = [("k", "v")];
    for (op, nodes, expected) in [
        ("and", vec![&yes, &yes], true),
        ("and", vec![&yes, &no], false),
        ("and", vec![&no], false),
        ("or", vec![&no, &yes], true),
        ("or", vec![&no, &no], false),
        ("not", vec![&no], true),
        ("not", vec![&yes], false),
    ] {
        let node = combined(op, nodes.into_iter().cloned().collect());
        assert_eq!(matches(&node, &k), expected, "{op}");
        assert_eq!(matches(&combined("not", vec![node]), &k), !expected, "not {op}");
    }
}

#[test]
fn what_is_no_number_is_neither_less_nor_more() {
    for text in ["", "+", "-", ".", "1.", ".5", "-.5", "1.2.3", "1e3", "0x1", " 1", "1 ", "1_0", "--1", "NaN", "１"] {
        for cmp in ["lt", "lte", "gt", "gte"] {
            assert!(!matches(&leaf("k", cmp, "1", &[]), &[("k", text)]), "{text:?}");
            if !text.is_empty() {
                assert!(!matches(&leaf("k", cmp, text, &[]), &[("k", "1")]), "{text:?}");
            }
        }
    }
}

#[test]
fn numbers_are_compared_exactly() {
    let rising = [
        "-100000000000000000000000000000000000000000000000001",
        "-100000000000000000000000000000000000000000000000000.5",
        "-2",
        "-1.01",
        "-1.001",
        "-1",
        "0",
        "0.00000000000000000000000000000000000001",
        "0.1",
        "0.10000000000000000000000000000000000000000001",
        "9",
        "10",
        "9007199254740992",
        "9007199254740993",
    ];
    for (index, small) in rising.iter().enumerate() {
        assert_eq!(Decimal::parse(small).cmp(&Decimal::parse(small)), Ordering::Equal);
        for large in &rising[index + 1..] {
            assert!(matches(&leaf("k", "lt", large, &[]), &[("k", small)]), "{small} < {large}");
            assert!(matches(&leaf("k", "gt", small, &[]), &[("k", large)]), "{large} > {small}");
        }
    }
    for (one, two) in [("0", "-0.00"), ("+1", "1"), ("007.50", "7.5"), ("-0", "+0"), ("1", "1.0")] {
        assert_eq!(Decimal::parse(one), Decimal::parse(two), "{one} {two}");
    }
}

#[test]
fn faults_are_named() {
    let some = || leaf("k", "ex", "", &[]);
    for (node, fault) in [
        (FilterNode::default(), "compares with \"\""),
        (leaf("k", "like", "v", &[]), "compares with \"like\""),
        (leaf("", "eq", "v", &[]), "eq needs a key"),
        (leaf("", "nin", "", &["v"]), "nin needs a key"),
        (leaf("k", "eq", "", &[]), "eq needs a val"),
        (leaf("k", "lt", "1", &["v"]), "lt needs a val"),
        (leaf("k", "in", "", &[]), "in needs vals"),
        (leaf("k", "nin", "v", &["v"]), "nin needs vals"),
        (leaf("k", "ex", "v", &[]), "ex needs neither"),
        (leaf("k", "nex", "", &["v"]), "nex needs neither"),
        (combined("xor", vec![some()]), "its op is \"xor\""),
        (combined("and", vec![]), "and has 0 nodes"),
        (combined("or", vec![]), "or has 0 nodes"),
        (combined("not", vec![]), "not has 0 nodes"),
        (combined("not", vec![some(), some()]), "not has 2 nodes"),
        (combined("and", vec![some(), leaf("k", "gt", "", &[])]), "gt needs a val"),
    ] {
        let error = Filter::new(&node).unwrap_err().to_string();
        assert!(error.contains(fault), "{node:?}: {error}");
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = |depth| (1..depth).fold(leaf("k", "ex", "", &[]), |node, _| combined("not", vec![node]));
    assert!(Filter::new(&deep(MAX_DEPTH)).is_ok());
    assert_eq!(Filter::new(&deep(MAX_DEPTH + 1)), Err(FilterError::Deep));
    let wide = |nodes| combined("or", vec![leaf("k", "ex", "", &[]); nodes - 1]);
    assert!(Filter::new(&wide(MAX_NODES)).is_ok());
    assert_eq!(Filter::new(&wide(MAX_NODES + 1)), Err(FilterError::Large));
    let towers = combined("and", vec![deep(MAX_DEPTH - 1); 14]);
    assert!(Filter::new(&towers).is_ok(), "14 towers of 7 and one above them");
    assert_eq!(Filter::new(&combined("and", vec![deep(MAX_DEPTH - 1); 15])), Err(FilterError::Large));
}

/// Filters that are in order, of few keys and values.
fn filter() -> impl Strategy<Value = FilterNode> {
    let value = || proptest::sample::select(vec!["a", "b", "ab", "1", "1.0", "-2"]);
    let key = || proptest::sample::select(vec!["k", "l"]);
    let single =
        (key(), proptest::sample::select(vec!["eq", "neq", "sw", "ew", "ct", "lt", "lte", "gt", "gte"]), value())
            .prop_map(|(key, cmp, value)| leaf(key, cmp, value, &[]));
    let several = (key(), any::<bool>(), vec(value(), 1..3))
        .prop_map(|(key, is_in, values)| leaf(key, if is_in { "in" } else { "nin" }, "", &values));
    let none = (key(), any::<bool>()).prop_map(|(key, exists)| leaf(key, if exists { "ex" } else { "nex" }, "", &[]));
    prop_oneof![3 => single, 1 => several, 1 => none].prop_recursive(4, 20, 3, |inner| {
        (proptest::sample::select(vec!["and", "or", "not"]), vec(inner, 1..4)).prop_map(|(op, mut nodes)| {
            nodes.truncate(if op == "not" { 1 } else { 3 });
            combined(op, nodes)
        })
    })
}

/// What the protocol says of a filter, read off the tree itself.
fn wanted(node: &FilterNode, tags: &BTreeMap<String, String>) -> bool {
    let tag = tags.get(&node.key);
    let text = tag.cloned().unwrap_or_default();
    let numbers = text.parse::<f64>().ok().zip(node.val.parse::<f64>().ok());
    let is_number =
        |holds: fn(f64, f64) -> bool| tag.is_some() && numbers.is_some_and(|(tag, value)| holds(tag, value));
    match (node.op.as_str(), node.cmp.as_str()) {
        ("and", _) => node.nodes.iter().all(|node| wanted(node, tags)),
        ("or", _) => node.nodes.iter().any(|node| wanted(node, tags)),
        ("not", _) => !wanted(&node.nodes[0], tags),
        (_, "eq") => tag == Some(&node.val),
        (_, "neq") => tag != Some(&node.val),
        (_, "in") => node.vals.contains(&text),
        (_, "nin") => !node.vals.contains(&text),
        (_, "ex") => tag.is_some(),
        (_, "nex") => tag.is_none(),
        (_, "sw") => tag.is_some() && text.starts_with(&node.val),
        (_, "ew") => tag.is_some() && text.ends_with(&node.val),
        (_, "ct") => tag.is_some() && text.contains(&node.val),
        (_, "lt") => is_number(|tag, value| tag < value),
        (_, "lte") => is_number(|tag, value| tag <= value),
        (_, "gt") => is_number(|tag, value| tag > value),
        (_, "gte") => is_number(|tag, value| tag >= value),
        (op, cmp) => panic!("{op} {cmp}"),
    }
}

proptest! {
    #[test]
    fn a_filter_wants_what_its_tree_says(
        node in filter(),
        tags in btree_map("[kl]", proptest::sample::select(vec!["a", "b", "ab", "", "1", "-2.5", "3"]), 0..3),
    ) {
        let tags = tags.into_iter().map(|(key, value)| (key, value.to_owned())).collect();
        prop_assert_eq!(Filter::new(&node).unwrap().matches(&tags), wanted(&node, &tags));
    }
}
