//! Holds sessions against `spec/transcripts/session-*.json`, in JSON and in Protobuf, and writes `docs/protocol.md`.
//!
//! `UPDATE_TRANSCRIPTS=1` takes what is heard into the transcripts; what changed must then be read by somebody.
//! `UPDATE_DOCS=1` writes the page anew.

mod application;
mod bag;
mod book;
mod codes;
mod config;
mod page;
mod schema;
mod stage;

use book::{Act, Step, Transcript};
use schema::Messages;
use serde_json::Value;
use stage::Words;

fn messages() -> Messages {
    Messages::new(&book::load("messages"))
}

#[test]
fn clients_of_json_hear_what_the_transcripts_say() {
    let messages = messages();
    let is_update = std::env::var_os("UPDATE_TRANSCRIPTS").is_some();
    for mut chapter in book::chapters() {
        for transcript in &mut chapter.transcripts {
            let played = stage::play(transcript, Words::Json, &messages);
            if is_update {
                transcript.steps = renewed(&transcript.steps, played);
            } else {
                compare(transcript, &transcript.steps, &played);
            }
        }
        if is_update {
            book::save(&chapter);
        }
    }
}

#[test]
fn clients_of_protobuf_hear_the_same() {
    let messages = messages();
    let mut count = 0;
    for chapter in book::chapters() {
        for transcript in chapter.transcripts.iter().filter(|transcript| speaks_both(transcript)) {
            let asks_for_deltas = |step: &Step| matches!(&step.act, Act::In(frame) if frame.contains("\"delta\""));
            *messages.has_deltas.borrow_mut() = transcript.steps.iter().any(asks_for_deltas);
            let expected: Vec<Step> = transcript.steps.iter().map(|step| in_protobuf(step, &messages)).collect();
            let played = stage::play(transcript, Words::Protobuf, &messages);
            compare(transcript, &expected, &played);
            count += 1;
        }
    }
    assert!(count > 100, "only {count} transcripts are spoken in Protobuf");
}

/// Whether a transcript can be spoken in Protobuf.
fn speaks_both(transcript: &Transcript) -> bool {
    transcript.json_only.is_empty() && !transcript.steps.iter().any(|step| transcript.is_unidirectional(&step.who))
}

fn in_protobuf(step: &Step, messages: &Messages) -> Step {
    let Act::Out(line) = &step.act else { return step.clone() };
    let line = serde_json::from_str(line.as_str().unwrap()).unwrap();
    Step { act: Act::Out(messages.canonical("Reply", &line)), who: step.who.clone() }
}

fn compare(transcript: &Transcript, expected: &[Step], played: &[Step]) {
    let title = &transcript.title;
    for (nth, step) in expected.iter().enumerate() {
        let heard = played.get(nth);
        let is_same = heard.is_some_and(|heard| is_same(heard, step));
        let remedy = "UPDATE_TRANSCRIPTS=1 takes what is heard";
        assert!(is_same, "{title}, step {}: not\n  {step:?}\nbut\n  {heard:?}\n{remedy}", nth + 1);
    }
    assert_eq!(played.get(expected.len()), None, "{title}: it goes on");
}

/// Members come in no order, so a line with them is compared by what it means.
fn is_same(one: &Step, other: &Step) -> bool {
    let read = |line: &Value| serde_json::from_str::<Value>(line.as_str()?).ok();
    match (&one.act, &other.act) {
        (Act::Out(one_line), Act::Out(other_line)) if one.who == other.who => {
            let has_members = read(other_line).is_some_and(|line| line["presence"].is_object());
            one_line == other_line || (has_members && read(one_line) == read(other_line))
        }
        _ => one == other,
    }
}

/// What was played, with the lines that say the same left as they were.
fn renewed(old: &[Step], played: Vec<Step>) -> Vec<Step> {
    let keep = |step: Step| old.iter().find(|old| is_same(&step, old)).cloned().unwrap_or(step);
    played.into_iter().map(keep).collect()
}

/// Every field of every message is said in some transcript: what the page tells of them was seen. And nothing is said
/// that the page does not tell.
#[test]
fn every_field_is_said_somewhere_and_no_other() {
    let messages = messages();
    for chapter in book::chapters() {
        for transcript in &chapter.transcripts {
            for step in &transcript.steps {
                note(&messages, transcript, step);
            }
        }
    }
    let unseen = messages.unseen();
    assert!(unseen.is_empty(), "no transcript says {unseen:?}");
}

fn note(messages: &Messages, transcript: &Transcript, step: &Step) {
    let is_uni = transcript.is_unidirectional(&step.who);
    let (message, text) = match &step.act {
        // What is no command is there to be refused.
        Act::In(frame) if speaks_both(transcript) || is_uni => {
            (if is_uni { "ConnectRequest" } else { "Command" }, frame.as_str())
        }
        Act::Out(line) => (if is_uni { "Push" } else { "Reply" }, line.as_str().unwrap()),
        _ => return,
    };
    for line in text.lines() {
        messages.canonical(message, &serde_json::from_str(line).unwrap());
    }
}
