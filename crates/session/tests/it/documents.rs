//! Clients of y-websocket: into a document, what they say there, and what becomes of their rights.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jackfield_documents::Document;
use jackfield_documents::wire::Message;
use jackfield_hub::documents::{Keeper, Wish};
use jackfield_hub::{Options, SessionOrder};
use jackfield_model::app::{Answer, Subscribe, Target, Unsubscribe};
use jackfield_model::client::Unsubscribed;
use jackfield_model::{ClientError, Disconnect};
use jackfield_session::{Dialect, Endpoint, Framing, Hold, Settings};
use yrs::{Doc, GetString, ReadTxn, Text, Transact, Update, updates::decoder::Decode};

use crate::client::{ANY, Client, House, anonymous, deliver, hex, token, with_tokens};

/// Writes down what somebody must do.
#[derive(Debug, Default)]
struct Desk(Mutex<Vec<String>>);

impl Keeper for Desk {
    fn wish(&self, wish: Wish) {
        let word = match wish {
            Wish::Answered(..) => "answered",
            Wish::Left(_) => "left",
            Wish::Load(_) => "load",
            Wish::Save(_) => "save",
            Wish::Share(..) => "share",
        };
        self.0.lock().unwrap().push(word.to_owned());
    }
}

impl Desk {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

const NAME: &str = "doc";

fn house_of(settings: Settings, limit: usize) -> (House, Arc<Desk>) {
    let options = Options { document: Some(limit), subscribe: ANY, publish: ANY, ..Options::default() };
    let house = House::new(settings, vec![("", options)]);
    let desk = Arc::new(Desk::default());
    assert!(house.hub.documents().set_keeper(Arc::clone(&desk) as Arc<dyn Keeper>));
    (house, desk)
}

fn house() -> (House, Arc<Desk>) {
    house_of(anonymous(), 1 << 20)
}

/// A client that has said who it is.
fn visit(house: &mut House, first: &str) -> Client {
    let mut client = house.visit(&Arc::new(Endpoint::new("/yjs", Dialect::Yjs, Framing::WEBSOCKET)), Some(NAME));
    client.say(house, first);
    client
}

/// What was stored is there; whoever waits hears of it.
fn load(house: &mut House, stored: Result<&[u8], ClientError>, waiting: &mut [&mut Client]) {
    let answer = stored.clone().map_or_else(Answer::Error, |_| Answer::Published);
    let stored = stored.map(|stored| Document::open(Bytes::copy_from_slice(stored), usize::MAX).unwrap());
    let told = house.hub.documents().loaded(NAME, stored);
    assert_eq!(told.len(), waiting.len());
    for ((_, call), client) in told.into_iter().zip(waiting) {
        client.answer(house, call, answer.clone());
    }
}

/// A client that has opened an empty document.
fn editor(house: &mut House, desk: &Desk) -> Client {
    let mut client = visit(house, "{}");
    let wishes = desk.take();
    if wishes == ["load"] {
        assert_eq!(client.hold(house), Hold::UntilAnswer, "nothing is read before the document is there");
        load(house, Ok(&[]), &mut [&mut client]);
    }
    assert!(client.take().lines[0].starts_with("0000"), "it is asked what it has");
    client
}

/// The text of a document with these updates.
fn text_of(updates: &[&[u8]]) -> String {
    let doc = Doc::new();
    let text = doc.get_or_insert_text("t");
    for update in updates {
        doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }
    text.get_string(&doc.transact())
}

/// Somebody writes at the front; the update that says so.
fn written(doc: &Doc, words: &str) -> Vec<u8> {
    let text = doc.get_or_insert_text("t");
    let before = doc.transact().state_vector();
    text.insert(&mut doc.transact_mut(), 0, words);
    let update = doc.transact().encode_state_as_update_v1(&before);
    assert_ne!(before, doc.transact().state_vector());
    update
}

fn frame(message: Message<'_>) -> Vec<u8> {
    message.to_vec()
}

/// What a client is told that asks for all.
fn asks(client: &mut Client, house: &mut House) -> String {
    client.say_bytes(house, &frame(Message::Step1(&[0])));
    let lines = client.take().lines;
    assert_eq!(lines.len(), 1);
    match jackfield_documents::wire::read(&bytes(&lines[0])) {
        Ok(Message::Step2(update)) => text_of(&[update]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn edits_go_to_all_and_who_comes_later_gets_them() {
    let (mut house, desk) = house();
    let mut ann = editor(&mut house, &desk);
    let bob = editor(&mut house, &desk);
    let doc = Doc::new();
    let edit = frame(Message::Update(&written(&doc, "one ")));
    ann.say_bytes(&mut house, &edit);
    assert_eq!(deliver(&mut house, &bob), [hex(&edit)]);
    assert_eq!(desk.take(), ["save"]);
    // What is an answer to the server's question is an edit for the others.
    let update = written(&doc, "two ");
    ann.say_bytes(&mut house, &frame(Message::Step2(&update)));
    assert_eq!(deliver(&mut house, &bob), [hex(&frame(Message::Update(&update)))]);
    assert!(desk.take().is_empty(), "it is told already that there is something to save");
    // Nothing new is nothing.
    ann.say_bytes(&mut house, &frame(Message::Step2(&[0, 0])));
    assert!(deliver(&mut house, &bob).is_empty());
    let mut eve = visit(&mut house, "{}");
    assert!(desk.take().is_empty(), "it is there");
    eve.take();
    assert_eq!(asks(&mut eve, &mut house), "two one ");
    let unsaved = house.hub.documents().unsaved(NAME).unwrap();
    assert_eq!(text_of(&[&unsaved]), "two one ");
    assert!(house.hub.documents().unsaved(NAME).is_none());
}

#[test]
fn what_is_not_saved_is_not_let_go() {
    let (mut house, desk) = house();
    let mut ann = editor(&mut house, &desk);
    ann.say_bytes(&mut house, &frame(Message::Update(&written(&Doc::new(), "words"))));
    ann.end(&mut house);
    assert_eq!(desk.take(), ["save", "left"]);
    let documents = house.hub.documents();
    assert!(!documents.let_go(NAME));
    let unsaved = documents.unsaved(NAME).unwrap();
    documents.put_back(NAME, unsaved.clone());
    assert!(!documents.let_go(NAME), "it could not be saved");
    assert_eq!(documents.unsaved(NAME), Some(unsaved));
    assert!(documents.bytes() > 0);
    assert!(documents.let_go(NAME));
    assert_eq!((documents.count(), documents.bytes(), house.hub.channels()), (0, 0, 0));
}

#[test]
fn who_may_only_read_is_told_once_and_changes_nothing() {
    let (mut house, desk) = house();
    let mut ann = editor(&mut house, &desk);
    let mut bob = editor(&mut house, &desk);
    let target = Target { client: Some(ann.session.id()), ..Target::default() };
    let mut order = Subscribe { target, channel: NAME.into(), ..Subscribe::default() };
    order.grant.overrides.publish = Some(false);
    ann.obey(&mut house, &SessionOrder::Subscribe(order.clone()));
    let doc = Doc::new();
    let edit = frame(Message::Update(&written(&doc, "graffiti")));
    ann.say_bytes(&mut house, &edit);
    ann.say_bytes(&mut house, &edit);
    let heard = ann.take();
    assert_eq!(heard.lines, [hex(&frame(Message::Denied("this document is read-only for you")))]);
    assert!(heard.closed.is_none() && deliver(&mut house, &bob).is_empty());
    assert_eq!(asks(&mut bob, &mut house), "");
    // What others write it reads, and its cursor is seen.
    let cursor = frame(Message::Awareness(&[1, 7, 1, 2, b'{', b'}']));
    ann.say_bytes(&mut house, &cursor);
    assert_eq!(deliver(&mut house, &bob), [hex(&cursor)]);
    order.grant.overrides.publish = Some(true);
    ann.obey(&mut house, &SessionOrder::Subscribe(order));
    ann.say_bytes(&mut house, &edit);
    assert_eq!(deliver(&mut house, &bob), [hex(&edit)]);
}

#[test]
fn cursors_are_shown_to_who_comes_and_go_with_their_client() {
    let (mut house, desk) = house();
    let mut ann = editor(&mut house, &desk);
    let cursor = frame(Message::Awareness(&[1, 7, 1, 2, b'{', b'}']));
    ann.say_bytes(&mut house, &cursor);
    assert_eq!(deliver(&mut house, &ann), [hex(&cursor)], "it hears of itself, or it would take the server for dead");
    let mut bob = visit(&mut house, "{}");
    assert_eq!(bob.take().lines[1], hex(&cursor));
    bob.say_bytes(&mut house, &frame(Message::QueryAwareness));
    assert_eq!(bob.take().lines, [hex(&cursor)]);
    ann.end(&mut house);
    let gone = frame(Message::Awareness(&[1, 7, 2, 4, b'n', b'u', b'l', b'l']));
    assert_eq!(deliver(&mut house, &bob), [hex(&gone)]);
}

#[test]
fn who_is_put_out_must_come_again_and_be_asked() {
    for (unsubscribed, code) in [(Unsubscribed::SERVER, 3507), (Unsubscribed::EXPIRED, 3014)] {
        let (mut house, desk) = house();
        let mut ann = editor(&mut house, &desk);
        let target = Target { client: Some(ann.session.id()), ..Target::default() };
        let order = Unsubscribe { target, channel: NAME.into(), unsubscribed };
        ann.obey(&mut house, &SessionOrder::Unsubscribe(order));
        assert_eq!(ann.take().closed.unwrap().code, code);
        assert_eq!(desk.take(), ["left"]);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let (mut house, desk) = house_of(anonymous(), 40);
    let fails = |house: &mut House, frame: &[u8]| {
        let mut client = editor(house, &desk);
        client.say_bytes(house, frame);
        let Disconnect { code, reason } = client.take().closed.unwrap();
        assert_eq!(code, 3501, "{reason}");
        desk.take();
        reason.into_owned()
    };
    assert!(fails(&mut house, b"").starts_with("bad request: "));
    assert!(fails(&mut house, b"{}").contains("kind of message"));
    assert!(fails(&mut house, &frame(Message::Update(b"no update"))).starts_with("bad request: "));
    assert!(fails(&mut house, &frame(Message::Step1(b"\xff"))).starts_with("bad request: "));
    assert!(fails(&mut house, &frame(Message::Awareness(&[1, 7]))).starts_with("bad request: "));
    let mut client = editor(&mut house, &desk);
    client.say_bytes(&mut house, &frame(Message::Update(&written(&Doc::new(), &"long ".repeat(20)))));
    let heard = client.take();
    assert!(heard.closed.is_none(), "what others write it goes on to read");
    let denied = String::from_utf8_lossy(&bytes(&heard.lines[0])).into_owned();
    assert!(denied.contains("larger than 40 bytes"), "{denied}");
    assert_eq!(asks(&mut client, &mut house), "");
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[n * 2..][..2], 16).unwrap()).collect()
}

#[test]
fn a_document_that_cannot_be_loaded_sends_away_who_waits_and_is_asked_for_again() {
    let (mut house, desk) = house();
    let (mut ann, mut bob) = (visit(&mut house, "{}"), visit(&mut house, "{}"));
    assert_eq!(desk.take(), ["load"], "once for both");
    let error = ClientError::new(404, "there is no such document");
    load(&mut house, Err(error), &mut [&mut ann, &mut bob]);
    for client in [&mut ann, &mut bob] {
        let heard = client.take();
        assert_eq!(heard.lines, [hex(&frame(Message::Denied("there is no such document")))]);
        assert_eq!(heard.closed.unwrap().code, 3507);
    }
    assert_eq!(desk.take(), ["left"]);
    let mut eve = visit(&mut house, "{}");
    assert_eq!(desk.take(), ["load"]);
    let update = written(&Doc::new(), "stored");
    load(&mut house, Ok(&update), &mut [&mut eve]);
    eve.take();
    assert_eq!(asks(&mut eve, &mut house), "stored");
}

#[test]
fn tokens_and_namespaces_decide_here_too() {
    let (mut house, desk) = house_of(with_tokens(), 1 << 20);
    let token = token(&serde_json::json!({"sub": "ann"}));
    let mut ann = visit(&mut house, &format!("{{\"token\":\"{token}\"}}"));
    assert_eq!(desk.take(), ["load"]);
    assert_eq!(ann.session.user(), "ann");
    load(&mut house, Ok(&[]), &mut [&mut ann]);
    for (first, code) in [("{\"token\":\"x\"}", 3500), ("{}", 3501), ("nonsense", 3501)] {
        let mut client = visit(&mut house, first);
        assert_eq!(client.take().closed.unwrap().code, code, "{first}");
    }
    assert!(desk.take().is_empty());

    // Without the right to come in, in a channel that is no document, and where nobody stores any.
    let closed = |options: Options| {
        let mut house = House::new(anonymous(), vec![("", options)]);
        visit(&mut house, "{}").take().closed.unwrap()
    };
    assert_eq!(closed(Options { document: Some(1), ..Options::default() }).code, 3507);
    let plain = closed(Options { subscribe: ANY, ..Options::default() });
    assert_eq!(plain.code, 3501);
    assert!(plain.reason.contains("needs document = \"yjs\""), "{}", plain.reason);
    let lonely = closed(Options { document: Some(1), subscribe: ANY, ..Options::default() });
    assert_eq!(lonely.code, 3508);
    assert!(lonely.reason.contains("app_link.driver"), "{}", lonely.reason);
}

#[test]
fn who_speaks_another_dialect_reads_and_does_not_write() {
    let (mut house, _desk) = house();
    let mut member = house.member();
    assert!(member.ask(&mut house, r#"{"id":2,"subscribe":{"channel":"doc"}}"#).contains("subscribe"));
    let refused = member.ask(&mut house, r#"{"id":3,"publish":{"channel":"doc","data":1}}"#);
    assert!(refused.contains(r#""code":108"#) && refused.contains("y-websocket"), "{refused}");
    let refused = member.ask(&mut house, r#"{"id":4,"rpc":{"method":"jackfield.document.save","data":{}}}"#);
    assert!(refused.contains("error"), "{refused}");
}
