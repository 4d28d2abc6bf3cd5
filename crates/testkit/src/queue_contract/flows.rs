//! The contract while everything works.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use jackfield_bridge::{Delivery, Queue, QueueError};
use jackfield_model::app::{EventKind, Hello};
use jackfield_model::{Payload, Uuid};

use super::{Bench, Fields, SentCommand, acknowledge, client_events, commands, event, receive, soon, text, until};

/// Every promise that needs no special queue and no server that fails. Leaves the queue empty but for dead letters.
pub async fn run(bench: &mut Bench<'_>) {
    commands_in_order(bench).await;
    unsettled(bench).await;
    events(bench).await;
    answers(bench).await;
    asks(bench).await;
    hostile_strings(bench).await;
    dead_letters(bench).await;
}

/// Commands come whole, and in order within a partition.
pub async fn commands_in_order(bench: &mut Bench<'_>) {
    let queue = (bench.open)("order");
    let sent = commands(0, 800);
    soon("send", bench.app.send(&sent)).await;
    let mut received = Vec::new();
    while received.len() < sent.len() {
        // A part at a time is settled, as the bridge does.
        let part = receive(&*queue, 1).await;
        acknowledge(&*queue, &part).await;
        received.extend(part);
    }
    assert_eq!(received.len(), sent.len());
    for partition in 0..8 {
        let ids = |wanted: Vec<(&String, &Bytes)>| -> Vec<(String, Bytes)> {
            wanted.into_iter().map(|(id, payload)| (id.clone(), payload.clone())).collect()
        };
        let of = received.iter().filter(|delivery| delivery.receipt.partition == partition);
        let came = ids(of.map(|delivery| (&delivery.id, &delivery.payload)).collect());
        let of = sent.iter().filter(|command| command.partition == partition);
        assert_eq!(came, ids(of.map(|command| (&command.id, &command.payload)).collect()));
    }
    assert!(received.iter().all(|delivery| delivery.method == "publish"));
    assert!(received.iter().all(|delivery| delivery.reply_to.is_empty()));
    empty(bench).await;
    soon("close", queue.close()).await;
}

/// What was received and not settled comes again to the next queue object, in order; what was settled does not.
pub async fn unsettled(bench: &mut Bench<'_>) {
    let sent = commands(1000, 40);
    soon("send", bench.app.send(&sent)).await;
    let queue = (bench.open)("first");
    let mut received = receive(&*queue, sent.len()).await;
    received.sort_by(|one, other| one.id.cmp(&other.id));
    let (done, open) = received.split_at(16);
    acknowledge(&*queue, done).await;
    drop(queue);
    let queue = (bench.open)("second");
    let mut again = receive(&*queue, open.len()).await;
    for partition in 0..8 {
        let of = again.iter().filter(|delivery| delivery.receipt.partition == partition);
        let ids: Vec<&String> = of.map(|delivery| &delivery.id).collect();
        assert!(ids.is_sorted(), "{ids:?}");
    }
    again.sort_by(|one, other| one.id.cmp(&other.id));
    let ids = |list: &[Delivery]| -> Vec<String> { list.iter().map(|delivery| delivery.id.clone()).collect() };
    assert_eq!(ids(&again), ids(open));
    acknowledge(&*queue, &again).await;
    empty(bench).await;
    soon("close", queue.close()).await;
}

/// A command that cannot be done lies among the dead letters with the reason, and nowhere else.
pub async fn dead_letters(bench: &mut Bench<'_>) {
    let queue = (bench.open)("dead");
    let before = soon("dead letters", bench.app.dead(0)).await.len();
    let mut command = commands(2000, 1).remove(0);
    command.payload = Bytes::from_static(b"no json");
    soon("send", bench.app.send(&[command.clone()])).await;
    let delivery = receive(&*queue, 1).await.remove(0);
    soon("bury", queue.bury(&delivery, "the payload is no JSON object")).await.unwrap();
    let letters = soon("dead letters", bench.app.dead(before + 1)).await;
    assert_eq!(letters.len(), before + 1);
    let letter = letters.iter().find(|letter| text(letter, "id") == command.id).unwrap();
    assert_eq!(text(letter, "reason"), "the payload is no JSON object");
    assert_eq!(text(letter, "method"), "publish");
    assert_eq!(text(letter, "payload"), "no json");
    empty(bench).await;
    soon("close", queue.close()).await;
}

/// Events arrive with all their fields; those of a client in order.
pub async fn events(bench: &mut Bench<'_>) {
    let queue = (bench.open)("events");
    let clients: Vec<Uuid> = (0..10).map(|_| Uuid::new_v4()).collect();
    let mut sent = Vec::new();
    for seq in 1..=20 {
        sent.extend(clients.iter().map(|client| event(*client, seq)));
    }
    for part in sent.chunks(33) {
        let results = soon("send", queue.send(part)).await;
        assert_eq!(results.len(), part.len());
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    let came = soon("events", bench.app.events(sent.len())).await;
    let mut last = BTreeMap::<String, u64>::new();
    for fields in &came {
        let seq = last.entry(text(fields, "client")).or_default();
        *seq += 1;
        assert_eq!(text(fields, "seq"), seq.to_string());
    }
    assert_eq!((last.len(), came.len()), (clients.len(), sent.len()));
    let id = sent[0].id.to_string();
    complete(came.iter().find(|fields| text(fields, "id") == id).unwrap());
    soon("close", queue.close()).await;
}

/// Whether the fields are those of the first event of a client.
fn complete(fields: &Fields) {
    let wanted = [
        ("v", "1"),
        ("type", "message"),
        ("node", "events"),
        ("user", "42"),
        ("channel", "room:1"),
        ("event", "message"),
        ("content", "json"),
        ("data", "{\"n\":1}"),
        ("seq", "1"),
        ("time", "1700000000000"),
        ("meta", "{\"plan\":\"pro\"}"),
        ("transport", "websocket"),
        ("protocol", "centrifugo-json"),
        ("remote", "127.0.0.1:50000"),
        ("listener", "/connection/websocket"),
    ];
    for (name, value) in wanted {
        assert_eq!(text(fields, name), value, "{name}");
    }
    // Beside these: id and client. Absent means empty, so there is nothing else.
    assert_eq!(fields.len(), wanted.len() + 2, "{fields:?}");
}

/// A call carries its deadline and an address, and its answer comes to the node that asked.
pub async fn answers(bench: &mut Bench<'_>) {
    let queue = (bench.open)("calls");
    let other = (bench.open)("idle");
    assert!(soon("answers", queue.answers()).await.unwrap().is_empty());
    let mut calls = client_events(Uuid::new_v4(), 1, 20);
    let kinds = [EventKind::Rpc, EventKind::Subscribe, EventKind::Publish, EventKind::Refresh, EventKind::SubRefresh];
    for (call, kind) in calls.iter_mut().zip(kinds.into_iter().cycle()) {
        call.kind = kind;
        call.name = if kind == EventKind::Rpc { "rooms.rename".to_owned() } else { String::new() };
        call.deadline = Some(1_700_000_005_000);
    }
    calls[0].kind = EventKind::Connect;
    calls[0].hello = Some(Box::new(Hello {
        token: "a token".to_owned(),
        name: "js".to_owned(),
        version: "1".to_owned(),
        channels: vec!["news".into(), "a,\"b".into()],
        // What came by HTTP is for HTTP: no queue carries cookies.
        headers: vec![("Cookie".into(), "sessionid=1".to_owned())],
    }));
    let results = soon("send", queue.send(&calls)).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let came = soon("events", bench.app.events(calls.len())).await;
    let hello = [
        ("type", "connect"),
        ("token", "a token"),
        ("name", "js"),
        ("version", "1"),
        ("channels", r#"["news","a,\"b"]"#),
        ("call", "1"),
    ];
    for (name, value) in hello {
        assert_eq!(text(&came[0], name), value);
    }
    for (call, sent) in came.iter().zip(&calls) {
        assert_eq!(text(call, "type"), sent.kind.name());
    }
    let mut wanted = Vec::new();
    for call in &came {
        assert_eq!(text(call, "deadline"), "1700000005000");
        assert!(!text(call, "reply_to").is_empty());
        let body = format!("{{\"v\":1,\"id\":\"{}\",\"result\":{{\"data\":1}}}}", text(call, "id"));
        soon("answer", bench.app.answer(call, &body)).await;
        wanted.push(Bytes::from(body));
    }
    let mut bodies = Vec::new();
    until("all answers", async || {
        bodies.extend(queue.answers().await.unwrap());
        bodies.len() >= wanted.len()
    })
    .await;
    assert_eq!(bodies, wanted);
    assert!(soon("answers", other.answers()).await.unwrap().is_empty());
    soon("close", queue.close()).await;
    soon("close", other.close()).await;
}

/// An ask has its reply, and a command cannot name any other place for it.
pub async fn asks(bench: &mut Bench<'_>) {
    let queue = (bench.open)("asks");
    soon("ask", bench.app.ask(&commands(3000, 1)[0])).await;
    let delivery = receive(&*queue, 1).await.remove(0);
    assert!(!delivery.reply_to.is_empty());
    let body = Bytes::from_static(b"{\"v\":1,\"id\":\"id-03000\",\"result\":{}}");
    soon("reply", queue.reply(&delivery, body.clone())).await.unwrap();
    assert_eq!(soon("reply", bench.app.reply()).await, body);
    acknowledge(&*queue, std::slice::from_ref(&delivery)).await;
    for elsewhere in ["", "secrets", "{jackfield:0}:events", "jackfield.events.0"] {
        let delivery = Delivery { reply_to: elsewhere.to_owned(), ..delivery.clone() };
        let error = soon("reply", queue.reply(&delivery, body.clone())).await.unwrap_err();
        assert!(matches!(error, QueueError::Refused(_)), "{error}");
    }
    empty(bench).await;
    soon("close", queue.close()).await;
}

/// Texts that mean something to a protocol, a shell or a pattern.
const HOSTILE: [&str; 8] =
    ["a\r\nQUIT\r\n", "\0", "\"';--", "*?[a]", "{x}:y", "$-1\r\n*3\r\n", "\u{1F600} é", "%2f #.*"];

/// No byte means anything to the queue.
pub async fn hostile_strings(bench: &mut Bench<'_>) {
    let queue = (bench.open)("hostile");
    hostile_commands(bench, &*queue).await;
    hostile_events(bench, &*queue).await;
    empty(bench).await;
    soon("close", queue.close()).await;
}

async fn hostile_commands(bench: &mut Bench<'_>, queue: &dyn Queue) {
    let mut sent = Vec::new();
    for (number, text) in HOSTILE.iter().enumerate() {
        sent.push(SentCommand {
            partition: 5,
            id: format!("{text}{number}"),
            method: (*text).to_owned(),
            payload: Bytes::from(text.as_bytes().to_vec()),
        });
    }
    sent.push(SentCommand { partition: 5, payload: large(), ..commands(4000, 1).remove(0) });
    soon("send", bench.app.send(&sent)).await;
    let received = receive(queue, sent.len()).await;
    for (delivery, command) in received.iter().zip(&sent) {
        assert_eq!((&delivery.id, &delivery.method), (&command.id, &command.method));
        assert_eq!(delivery.payload, command.payload);
    }
    let buried = soon("dead letters", bench.app.dead(0)).await.len();
    soon("bury", queue.bury(&received[0], "a\r\nreason\0")).await.unwrap();
    let letters = soon("dead letters", bench.app.dead(buried + 1)).await;
    assert!(letters.iter().any(|letter| text(letter, "reason") == "a\r\nreason\0"));
    acknowledge(queue, &received[1..]).await;
}

async fn hostile_events(bench: &mut Bench<'_>, queue: &dyn Queue) {
    let client = Uuid::new_v4();
    let mut events = client_events(client, 1, HOSTILE.len() as u64);
    for (event, text) in events.iter_mut().zip(HOSTILE) {
        event.channel = Some(text.into());
        event.origin.user = text.into();
        event.name = text.to_owned();
        event.data = Payload::binary(text.as_bytes().to_vec());
    }
    events.push(event(client, 99));
    events[HOSTILE.len()].data = Payload::binary(large());
    let results = soon("send", queue.send(&events)).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let came = soon("events", bench.app.events(events.len())).await;
    for (fields, wanted) in came.iter().zip(HOSTILE) {
        for name in ["channel", "user", "event", "data"] {
            assert_eq!(text(fields, name), wanted, "{name}");
        }
        assert_eq!(text(fields, "content"), "binary");
    }
    assert_eq!(came[HOSTILE.len()]["data"], large());
}

/// A payload of the largest size, with every byte in it but a few.
fn large() -> Bytes {
    let bytes: Vec<u8> = (0..1 << 20).map(|number: u32| (number % 251) as u8).collect();
    Bytes::from(bytes)
}

/// While the backlog is at its limit new events are refused; when the application has caught up they are taken. The
/// queue is one with a limit of 10 events, nearly.
pub async fn full(bench: &mut Bench<'_>) {
    let queue = (bench.open)("full");
    let client = Uuid::new_v4();
    let (mut taken, mut seq) = (0, 0);
    until("the queue is full", async || {
        seq += 1;
        match queue.send(&[event(client, seq)]).await.remove(0) {
            Ok(()) => taken += 1,
            Err(QueueError::Full(_)) => return true,
            // On a machine that has much to do, the first connection may take longer than a sender is made to wait.
            Err(QueueError::Unreachable(_)) if taken == 0 => {}
            Err(error) => panic!("{error}"),
        }
        assert!(taken < 1000, "there is no limit");
        false
    })
    .await;
    assert!(taken >= 10, "{taken}");
    assert_eq!(soon("events", bench.app.events(taken)).await.len(), taken);
    until("the queue takes events again", async || {
        seq += 1;
        queue.send(&[event(client, seq)]).await.remove(0).is_ok()
    })
    .await;
    let came = soon("events", bench.app.events(1)).await;
    assert_eq!(text(&came[0], "seq"), seq.to_string());
    soon("close", queue.close()).await;
}

/// Two nodes on one queue: each command is read once while both live, and all of them are read after one has gone.
pub async fn two_nodes(bench: &mut Bench<'_>) {
    let (one, two) = ((bench.open)("one"), (bench.open)("two"));
    let mut seen = HashSet::new();
    for round in 0..5 {
        let sent = commands(5000 + round * 100, 100);
        soon("send", bench.app.send(&sent)).await;
        let mut count = 0;
        until("both have read all", async || {
            let (first, second) = tokio::join!(take(&*one), take(&*two));
            for delivery in first.iter().chain(&second) {
                assert!(seen.insert(delivery.id.clone()), "{} came twice", delivery.id);
                count += 1;
            }
            count >= sent.len()
        })
        .await;
    }
    empty(bench).await;
    soon("close", one.close()).await;
    let sent = commands(6000, 100);
    soon("send", bench.app.send(&sent)).await;
    let received = receive(&*two, sent.len()).await;
    assert_eq!(received.len(), sent.len());
    acknowledge(&*two, &received).await;
    empty(bench).await;
    soon("close", two.close()).await;
}

async fn take(queue: &dyn Queue) -> Vec<Delivery> {
    let deliveries = queue.receive().await.unwrap_or_default();
    acknowledge(queue, &deliveries).await;
    deliveries
}

/// Waits until no command is left.
pub(super) async fn empty(bench: &mut Bench<'_>) {
    let app = &mut bench.app;
    until("all commands are gone", async || app.commands_left().await == 0).await;
}
