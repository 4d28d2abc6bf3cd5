//! A command as the flat fields of a stream entry: read on arrival, written into the dead letters.

use bytes::Bytes;
use jackfield_bridge::{Delivery, Receipt};

/// Makes a delivery of an entry's fields. Unknown ones are left out and nothing is checked: the bridge judges.
pub(crate) fn read(receipt: Receipt, fields: impl Iterator<Item = (impl AsRef<[u8]>, Bytes)>) -> Delivery {
    let mut delivery = Delivery { receipt, ..Delivery::default() };
    for (name, value) in fields {
        match name.as_ref() {
            b"id" => delivery.id = text(value),
            b"method" => delivery.method = text(value),
            b"payload" => delivery.payload = value,
            b"reply_to" => delivery.reply_to = text(value),
            _ => {}
        }
    }
    delivery
}

/// The fields of a dead letter.
pub(crate) fn dead<'a>(delivery: &'a Delivery, reason: &'a str) -> [&'a [u8]; 8] {
    [
        b"reason",
        reason.as_bytes(),
        b"id",
        delivery.id.as_bytes(),
        b"method",
        delivery.method.as_bytes(),
        b"payload",
        &delivery.payload,
    ]
}

/// Without a copy, where nobody else has the bytes and they are a text.
fn text(value: Bytes) -> String {
    String::from_utf8(value.into()).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_empty_and_what_is_unknown_is_left_out() {
        let fields = [("v", "1"), ("id", "7"), ("payload", "{}"), ("new", "x")];
        let fields = fields.map(|(name, value)| (name.as_bytes(), Bytes::from(value)));
        let receipt = Receipt { partition: 3, ..Receipt::default() };
        let delivery = read(receipt, fields.into_iter());
        assert_eq!((delivery.id.as_str(), delivery.method.as_str()), ("7", ""));
        assert_eq!((delivery.payload.as_ref(), delivery.receipt.partition), (&b"{}"[..], 3));
        assert_eq!(dead(&delivery, "no method")[1], b"no method");
    }
}
