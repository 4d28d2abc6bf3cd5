//! Writes messages straight into the buffer that goes out.
//!
//! A message stands behind its length. Each is described once ([`Message`]) and walked twice: first into a [`Size`], which
//! only adds up, then into the buffer. So nothing is built aside, and a payload is copied once.

/// Something with fields.
pub(crate) trait Message {
    /// Puts the fields in the order of their numbers.
    fn put<S: Sink>(&self, sink: &mut S);
}

impl<M: Message + ?Sized> Message for &M {
    fn put<S: Sink>(&self, sink: &mut S) {
        (**self).put(sink);
    }
}

/// Where fields go. Values that are zero are left out, as proto3 has it, but for those of [`Sink::message`] and
/// [`Sink::pair`].
pub(crate) trait Sink: Sized {
    fn raw(&mut self, bytes: &[u8]);

    fn varint(&mut self, value: u64);

    /// A message, even an empty one: that it stands there says something.
    fn message(&mut self, number: u32, message: &impl Message);

    fn tag(&mut self, number: u32, wire_type: u64) {
        self.varint(u64::from(number) << 3 | wire_type);
    }

    fn number(&mut self, number: u32, value: u64) {
        if value != 0 {
            self.tag(number, 0);
            self.varint(value);
        }
    }

    /// A number that may be below zero, as `sint64`: small ones are short on both sides.
    fn signed(&mut self, number: u32, value: i64) {
        self.number(number, (value << 1 ^ value >> 63) as u64);
    }

    fn flag(&mut self, number: u32, value: bool) {
        self.number(number, value.into());
    }

    fn bytes(&mut self, number: u32, value: &[u8]) {
        if !value.is_empty() {
            self.some_bytes(number, value);
        }
    }

    /// As [`Sink::bytes`], even if there are none.
    fn some_bytes(&mut self, number: u32, value: &[u8]) {
        self.tag(number, 2);
        self.varint(value.len() as u64);
        self.raw(value);
    }

    fn text(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }

    /// One entry of a map.
    fn pair(&mut self, number: u32, key: &str, value: &impl Entry) {
        self.message(number, &Pair(key, value));
    }
}

/// What can be the value of a map's entry.
pub(crate) trait Entry {
    fn put_value<S: Sink>(&self, number: u32, sink: &mut S);
}

impl Entry for String {
    fn put_value<S: Sink>(&self, number: u32, sink: &mut S) {
        sink.some_bytes(number, self.as_bytes());
    }
}

impl<M: Message> Entry for M {
    fn put_value<S: Sink>(&self, number: u32, sink: &mut S) {
        sink.message(number, self);
    }
}

struct Pair<'m, V>(&'m str, &'m V);

impl<V: Entry> Message for Pair<'_, V> {
    fn put<S: Sink>(&self, sink: &mut S) {
        sink.some_bytes(1, self.0.as_bytes());
        self.1.put_value(2, sink);
    }
}

/// Only counts.
#[derive(Debug, Default)]
struct Size(usize);

impl Size {
    fn of(message: &impl Message) -> usize {
        let mut size = Self::default();
        message.put(&mut size);
        size.0
    }
}

impl Sink for Size {
    fn raw(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }

    fn varint(&mut self, value: u64) {
        let bits = u64::BITS - (value | 1).leading_zeros();
        self.0 += bits.div_ceil(7) as usize;
    }

    fn message(&mut self, number: u32, message: &impl Message) {
        let size = Self::of(message);
        self.tag(number, 2);
        self.varint(size as u64);
        self.0 += size;
    }
}

impl Sink for Vec<u8> {
    fn raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn message(&mut self, number: u32, message: &impl Message) {
        self.tag(number, 2);
        self.varint(Size::of(message) as u64);
        message.put(self);
    }
}

/// Writes a message behind its length.
pub(crate) fn write_prefixed(message: &impl Message, out: &mut Vec<u8>) {
    let size = Size::of(message);
    out.reserve(size + 10);
    out.varint(size as u64);
    message.put(out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_varint_is_its_size() {
        for shift in 0..64 {
            for value in [1 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let (mut size, mut out) = (Size::default(), Vec::new());
                size.varint(value);
                Sink::varint(&mut out, value);
                assert_eq!(size.0, out.len(), "{value}");
            }
        }
    }
}
