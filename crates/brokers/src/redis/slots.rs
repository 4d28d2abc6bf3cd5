//! The slots of a cluster: which slot a key has, and which member serves it.

use redis::Value;

use super::place::Address;

/// How many slots every cluster has.
const SLOTS: u16 = 16_384;

/// Which member serves what.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Slots {
    members: Vec<Address>,
    /// First and last slot, and whose they are; in order.
    ranges: Vec<(u16, u16, usize)>,
}

impl Slots {
    /// Reads the reply of CLUSTER SLOTS; none where it names no member. `asked` is who said so: a member that does
    /// not know its own address leaves it out.
    pub(super) fn read(reply: &Value, asked: &str) -> Option<Self> {
        let Value::Array(ranges) = reply else { return None };
        let mut slots = Self::default();
        for range in ranges {
            if let Value::Array(range) = range
                && let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..]
                && let [host, Value::Int(port), ..] = &master[..]
            {
                let host = text(host).filter(|host| !matches!(*host, "" | "?")).unwrap_or(asked);
                let address = Address { host: host.to_owned(), port: u16::try_from(*port).ok()? };
                let member = slots.member(address);
                slots.ranges.push((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, member));
            }
        }
        slots.ranges.sort_unstable();
        (!slots.ranges.is_empty()).then_some(slots)
    }

    /// Who serves a slot; none where nobody does.
    #[must_use]
    pub fn of(&self, slot: u16) -> Option<&Address> {
        let after = self.ranges.partition_point(|(first, ..)| *first <= slot);
        let (_, last, member) = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= *last).then(|| self.members.get(*member)).flatten()
    }

    /// All members that serve anything.
    #[must_use]
    pub fn members(&self) -> &[Address] {
        &self.members
    }

    fn member(&mut self, address: Address) -> usize {
        let known = self.members.iter().position(|member| *member == address);
        known.unwrap_or_else(|| {
            self.members.push(address);
            self.members.len() - 1
        })
    }
}

/// The slot of a key: of what is in its first braces, if there is something.
pub(super) fn slot(key: &[u8]) -> u16 {
    let open = key.iter().position(|byte| *byte == b'{').map(|open| open + 1);
    let tag = open.and_then(|open| {
        let length = key[open..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[open..open + length])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0_u16;
    for byte in bytes {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_of_a_key_is_that_of_its_braces() {
        // The check value of the algorithm, and slots that a server named.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo"), 12_182);
        assert_eq!(slot(b"{jackfield:3}:commands"), slot(b"jackfield:3"));
        assert_eq!(slot(b"{foo}{bar}"), slot(b"foo"));
        assert_ne!(slot(b"{}foo"), slot(b"foo"));
        assert_eq!(slot(b"a{foo"), crc16(b"a{foo") % SLOTS);
    }

    #[test]
    fn who_serves_what() {
        let range = |first: i64, last: i64, host: &str, port: i64| {
            let master = vec![Value::BulkString(host.as_bytes().to_vec()), Value::Int(port)];
            Value::Array(vec![Value::Int(first), Value::Int(last), Value::Array(master)])
        };
        let reply = Value::Array(vec![range(100, 200, "b", 2), range(0, 99, "", 1), range(300, 300, "b", 2)]);
        let slots = Slots::read(&reply, "asked").unwrap();
        let host = |slot| slots.of(slot).map(|address| address.host.as_str());
        assert_eq!((host(0), host(99), host(100), host(200)), (Some("asked"), Some("asked"), Some("b"), Some("b")));
        assert_eq!((host(201), host(300), host(301)), (None, Some("b"), None));
        assert_eq!(slots.members().len(), 2);
        assert_eq!(Slots::read(&Value::Array(Vec::new()), "x"), None);
    }
}
