//! Frames and updates of Yjs: whatever is let in can be merged, cut and compacted, and says the same after it.
#![no_main]

use jackfield_documents::wire::{Message, read};
use jackfield_documents::{AwarenessLimits, AwarenessTable, Document, check, compact, diff, merge, state_vector};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = read(bytes) {
        assert_eq!(message.to_vec(), bytes);
        let mut table = AwarenessTable::new(AwarenessLimits { clients: 4, state_bytes: 64 });
        if let Message::Awareness(update) = message
            && table.apply(update, 1).is_ok()
        {
            assert!(table.len() <= 4);
            let there = table.len();
            assert_eq!(table.all().is_some(), there > 0);
            assert_eq!(table.leave(1).is_some(), there > 0);
            assert!(table.is_empty());
        }
    }
    let [cut, bytes @ ..] = bytes else { return };
    let (one, two) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    let _ = diff(two, one);
    let Ok(mut document) = Document::open(Default::default(), 300) else { return };
    let pushed = [one, two].map(|update| document.push(update.to_vec().into()).is_ok());
    assert!(!pushed[0] || check(one).is_ok());
    let Ok(whole) = document.fold() else { unreachable!("what was let in can be merged") };
    assert_eq!(check(&whole), Ok(()));
    assert_eq!(merge([&whole[..], &whole]).as_deref(), Ok(&whole[..]));
    let (Ok(compacted), Ok(known)) = (compact(&whole), state_vector(&whole)) else { unreachable!("it was checked") };
    assert_eq!(state_vector(&compacted).as_ref(), Ok(&known));
    assert!(diff(&compacted, &known).is_ok_and(|rest| check(&rest).is_ok()));
});
