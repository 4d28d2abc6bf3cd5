//! `Forwarded` (RFC 7239) and `X-Forwarded-For`: the client's address as trusted proxies tell it.
//!
//! Each proxy adds the address it was called from at the end of a list. Whoever is no trusted proxy
//! may have written anything in front of that, so the list is read from its end, and only as far
//! as the one who wrote an entry is trusted.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::http::{Head, is_token};

#[cfg(test)]
mod tests;

/// The header that the trusted proxies write. Why one of the two: a proxy passes on the one that it
/// does not know as the client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `Forwarded: for=192.0.2.1;proto=https`, of RFC 7239.
    Forwarded,
    /// `X-Forwarded-For: 192.0.2.1, 192.0.2.2`.
    XForwardedFor,
}

/// Whether an address is in one of the networks, in IPv4 or IPv6 form.
#[must_use]
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// The client's address: of the entries from the end of the list the first that is not trusted,
/// or the last one if all are.
///
/// An entry that says no address ends the walk at the one behind it, because nobody knows who was
/// there. An IPv4 address in IPv6 form is given as IPv4, so that a client has one name.
#[must_use]
pub fn client_address(head: &Head<'_>, peer: IpAddr, header: ForwardedHeader, trusted: &[IpNet]) -> IpAddr {
    let (name, cut): (_, fn(&str) -> Option<Entry<'_>>) = match header {
        ForwardedHeader::Forwarded => ("forwarded", cut_element),
        ForwardedHeader::XForwardedFor => ("x-forwarded-for", cut_address),
    };
    let mut client = peer.to_canonical();
    let lists: Vec<&str> = head.values(name).collect();
    for list in lists.into_iter().rev() {
        let mut rest = trim(list);
        while !rest.is_empty() {
            if !is_trusted(client, trusted) {
                return client;
            }
            let Some(entry) = cut(rest) else { return client };
            client = entry.address;
            rest = entry.before;
        }
    }
    client
}

/// The last entry of a list.
struct Entry<'a> {
    address: IpAddr,
    /// The list in front of it.
    before: &'a str,
}

/// Removes blanks and empty entries at the end, as RFC 9110 (5.6.1) allows both.
fn trim(list: &str) -> &str {
    list.trim_end_matches([' ', '\t', ','])
}

/// The last entry of `X-Forwarded-For`.
fn cut_address(list: &str) -> Option<Entry<'_>> {
    let (before, entry) = list.rsplit_once(',').unwrap_or(("", list));
    let entry = entry.trim_matches([' ', '\t']);
    let entry = entry.strip_prefix('"').and_then(|entry| entry.strip_suffix('"')).unwrap_or(entry);
    Some(Entry { address: read_node(entry)?, before: trim(before) })
}

/// The last element of `Forwarded`: the shortest text behind a comma that is one.
///
/// Why not from the front: a client that sends half a quoted string would swallow what the proxy
/// adds behind it. From the end a proxy's element is always found whole: what follows a comma
/// within its quoted string has one quote too many, or a backslash outside of quotes.
fn cut_element(list: &str) -> Option<Entry<'_>> {
    let commas = list.rmatch_indices(',').map(|(at, _)| (&list[..at], &list[at + 1..]));
    for (before, element) in commas.chain([("", list)]) {
        if let Some(node) = read_element(element.trim_matches([' ', '\t'])) {
            return Some(Entry { address: read_node(&node?)?, before: trim(before) });
        }
    }
    None
}

/// The `for` of an element, if it has one; the outer `None` is for what is no element.
fn read_element(mut rest: &str) -> Option<Option<Cow<'_, str>>> {
    let mut node = None;
    loop {
        // Why not the next `=` anywhere: behind each comma of a long list the rest would be searched.
        let (name, value) = rest.split_at(rest.find(['=', ',', ';', '"'])?);
        if !is_token(name) {
            return None;
        }
        let (value, after) = read_value(value.strip_prefix('=')?)?;
        if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
            return None;
        }
        let after = after.trim_start_matches([' ', '\t']);
        if after.is_empty() {
            return Some(node);
        }
        rest = after.strip_prefix(';')?.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Some(node);
        }
    }
}

/// A value and what follows it: a quoted string, or a token. Why colons and brackets in a token:
/// many forget that they need quotes, and nothing else can be meant.
fn read_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        let is_plain = is_token(&value.replace([':', '[', ']'], "-"));
        return is_plain.then_some((Cow::Borrowed(value), after));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((Cow::Owned(value), &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            letter => value.push(letter),
        }
    }
    None
}

/// An address as proxies write it: with or without brackets and port. `unknown` and names that
/// hide an address are none.
fn read_node(node: &str) -> Option<IpAddr> {
    if let Ok(address) = node.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let (address, port) = match node.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
        }
        None => {
            let (address, port) = node.split_at(node.find(':')?);
            (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), port)
        }
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    is_port.then(|| address.to_canonical())
}

/// Whether `text` is a number of a port, or a name that hides one.
fn is_port(text: &str) -> bool {
    let is_hidden = |name: &str| is_token(name) && !name.contains(|letter: char| "!#$%&'*+^`|~".contains(letter));
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
    is_number || text.strip_prefix('_').is_some_and(is_hidden)
}
