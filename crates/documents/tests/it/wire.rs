//! Frames as y-protocols writes them.

use jackfield_documents::wire::{Message, read};

use crate::fixtures::{bytes, list};

#[test]
fn frames_of_the_libraries() {
    let (state, state_vector) = (bytes("wire/state"), bytes("wire/state_vector"));
    let states = list("awareness/states");
    for (name, message) in [
        ("step1", Message::Step1(&state_vector)),
        ("step2", Message::Step2(&state)),
        ("update", Message::Update(&state)),
        ("awareness", Message::Awareness(&states[1])),
        ("denied", Message::Denied("read only")),
        ("query", Message::QueryAwareness),
    ] {
        let frame = bytes(&format!("wire/{name}"));
        assert_eq!(read(&frame), Ok(message), "{name}");
        assert_eq!(message.to_vec(), frame, "{name}");
    }
}
