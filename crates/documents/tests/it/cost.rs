//! What a document costs, beside yrs: `EDITS=26000 cargo test --release -p jackfield-documents cost -- --ignored --nocapture`.
//! Most of the time is spent before: a document of yrs looks for each place from its beginning.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use jackfield_documents::{Document, check, compact, diff, state_vector};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, GetString, ReadTxn, StateVector, Text, Transact, Update};

#[test]
#[ignore = "it measures, and asserts nothing of time"]
fn what_documents_cost() {
    let edits = std::env::var("EDITS").map_or(26_000, |edits| edits.parse().unwrap());
    let (doc, updates) = write(edits);
    let bytes: usize = updates.iter().map(Bytes::len).sum();
    println!("{edits} edits, {bytes} bytes in {} updates", updates.len());

    let per_byte = |name: &str, work: &dyn Fn()| {
        let start = Instant::now();
        work();
        let spent = start.elapsed();
        println!("{name:<34}{spent:>12.1?}{:>10.1} ns/byte", spent.as_secs_f64() * 1e9 / bytes as f64);
    };
    per_byte("check of each update", &|| updates.iter().for_each(|update| check(black_box(update)).unwrap()));
    per_byte("decode_v1 of yrs of each", &|| {
        updates.iter().for_each(|update| drop(Update::decode_v1(black_box(update)).unwrap()));
    });
    let start = Instant::now();
    let mut document = Document::open(Bytes::new(), usize::MAX).unwrap();
    updates.iter().for_each(|update| assert_eq!(document.push(update.clone()), Ok(true)));
    println!(
        "push of each, merged as it grows    {:>10.1?}, {} bytes merged",
        start.elapsed(),
        document.merged_bytes()
    );
    let timed = |name: &str, work: &mut dyn FnMut() -> Bytes| {
        let start = Instant::now();
        let made = work();
        println!("{name:<36}{:>10.1?}, {} bytes", start.elapsed(), made.len());
        made
    };
    let whole = timed("fold", &mut || document.fold().unwrap());
    timed("fold again", &mut || document.fold().unwrap());
    timed("check of the whole", &mut || check(&whole).map(|()| whole.clone()).unwrap());
    timed("decode_v1 of yrs of the whole", &mut || Update::decode_v1(&whole).map(|_| whole.clone()).unwrap());
    let known = timed("state vector", &mut || state_vector(&whole).unwrap().into());
    timed("difference to all of it", &mut || diff(&whole, &known).unwrap().into());
    timed("compact", &mut || compact(&whole).unwrap().into());
    timed("state of a document of yrs", &mut || {
        doc.transact().encode_state_as_update_v1(&StateVector::default()).into()
    });
    timed("state vector of a document of yrs", &mut || doc.transact().state_vector().encode_v1().into());
    let same = Doc::new();
    let start = Instant::now();
    same.transact_mut().apply_update(Update::decode_v1(&compact(&whole).unwrap()).unwrap()).unwrap();
    println!("a client loads it                   {:>10.1?}", start.elapsed());
    let text = |doc: &Doc| doc.get_or_insert_text("text").get_string(&doc.transact());
    assert_eq!(text(&same), text(&doc));
}

/// Somebody who writes, goes elsewhere now and then, and takes a tenth back.
fn write(edits: u32) -> (Doc, Vec<Bytes>) {
    let (doc, mut updates) = (Doc::with_client_id(7), Vec::new());
    let text = doc.get_or_insert_text("text");
    let (mut random, mut at) = (1_u64, 0);
    for edit in 0..edits {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut transaction = doc.transact_mut();
        let length = text.len(&transaction);
        if edit % 40 == 0 {
            at = u32::try_from(random >> 33).unwrap() % (length + 1);
        }
        if at > 0 && random >> 60 < 2 {
            at -= 1;
            text.remove_range(&mut transaction, at, 1);
        } else {
            text.insert(&mut transaction, at, "x");
            at += 1;
        }
        updates.push(transaction.encode_update_v1().into());
    }
    (doc, updates)
}
