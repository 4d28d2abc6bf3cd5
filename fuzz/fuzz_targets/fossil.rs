//! Deltas: the first two bytes say where the old payload ends and the new one begins; the same bytes are also taken for a
//! delta that somebody sent.
#![no_main]

use jackfield_hub::fossil::{apply, delta};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((at, payloads)) = bytes.split_first_chunk() else {
        return;
    };
    let at = usize::from(u16::from_le_bytes(*at)) % (payloads.len() + 1);
    let (old, new) = payloads.split_at(at);
    check(old, new);
    // One that has much of the other, in another order.
    let middle = old.len() / 2;
    check(old, &[&old[middle..], new, &old[..middle]].concat());
    if let Ok(made) = apply(old, new) {
        check(old, &made);
    }
});

fn check(old: &[u8], new: &[u8]) {
    let Some(delta) = delta(old, new) else {
        return;
    };
    assert!(delta.len() < new.len());
    assert_eq!(apply(old, &delta).as_deref(), Ok(new));
    if std::str::from_utf8(new).is_ok() {
        assert!(std::str::from_utf8(&delta).is_ok());
    }
}
