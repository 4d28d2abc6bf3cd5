//! Channels that come into use and go out of it, and what is meant for users that are not there.

use std::sync::{Arc, Mutex};

use jackfield_hub::control::apply_named;
use jackfield_hub::{Hub, Membership, Namespaces, Occupancy, Options, Undelivered};
use jackfield_model::app::{Broadcast, Command, Publish, Send};
use jackfield_model::{ClientInfo, Payload, Uuid};

use crate::mailboxes;

#[derive(Default)]
struct Book(Mutex<Vec<(bool, String)>>);

impl Occupancy for Book {
    fn occupied(&self, channel: &Arc<str>) {
        self.0.lock().unwrap().push((true, channel.to_string()));
    }

    fn vacated(&self, channel: &Arc<str>) {
        self.0.lock().unwrap().push((false, channel.to_string()));
    }
}

fn hub() -> (Arc<Hub>, Arc<Book>) {
    let silent = Options { occupancy_events: false, ..Options::default() };
    let named = [("a".to_owned(), Arc::default()), ("silent".to_owned(), Arc::new(silent))];
    let namespaces = Namespaces { named: named.into_iter().collect(), ..Namespaces::default() };
    let hub = Arc::new(Hub::new(namespaces, mailboxes(4), 1, 1));
    let book = Arc::new(Book::default());
    assert!(hub.watch_occupancy(Arc::clone(&book) as Arc<dyn Occupancy>));
    assert!(!hub.watch_occupancy(Arc::clone(&book) as Arc<dyn Occupancy>));
    (hub, book)
}

fn member(info: &Arc<ClientInfo>, worker: u16) -> Membership<'_> {
    Membership { worker, info, counted: false, announced: false }
}

#[test]
fn the_first_and_the_last_are_told_of() {
    let (hub, book) = hub();
    let info = Arc::new(ClientInfo::default());
    for channel in ["a:1", "silent:1"] {
        for worker in 0..2 {
            hub.subscribe(channel, member(&info, worker), None, 1).unwrap();
        }
        for worker in 0..2 {
            hub.unsubscribe(channel, member(&info, worker), true, 1);
        }
        // Who was not there does not go away.
        hub.unsubscribe(channel, member(&info, 0), true, 1);
    }
    assert_eq!(*book.0.lock().unwrap(), [(true, "a:1".to_owned()), (false, "a:1".to_owned())]);
}

#[test]
fn they_alternate_however_many_come_and_go_at_once() {
    let (hub, book) = hub();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let hub = &hub;
            scope.spawn(move || {
                let info =
                    Arc::new(ClientInfo { client: Uuid::from_u128(u128::from(worker)), ..ClientInfo::default() });
                for _ in 0..2_000 {
                    hub.subscribe("a:1", member(&info, worker), None, 1).unwrap();
                    hub.unsubscribe("a:1", member(&info, worker), true, 1);
                }
            });
        }
    });
    let book = book.0.lock().unwrap();
    assert!(book.len() >= 2);
    let alternates = book.iter().enumerate().all(|(nth, (occupied, _))| *occupied == (nth % 2 == 0));
    assert!(alternates && !book.last().unwrap().0);
}

/// The same with a teller, applied to one command.
fn missed(hub: &Hub, command: &Command) {
    apply_named(hub, ("id-1", command), 1, Box::new(drop));
}

#[test]
fn what_finds_nobody_is_told_of() {
    let namespaces = Namespaces {
        named: [("me".to_owned(), Arc::default()), ("a".to_owned(), Arc::default())].into_iter().collect(),
        user_boundary: "#".to_owned(),
        user_separator: ",".to_owned(),
        ..Namespaces::default()
    };
    let hub = Hub::new(namespaces, mailboxes(1), 1, 1);
    let told: Arc<Mutex<Vec<Undelivered>>> = Arc::default();
    let teller = Arc::clone(&told);
    let teller = Arc::new(move |word| teller.lock().unwrap().push(word));
    assert!(hub.regret(Some("me:#".to_owned()), teller));
    let ann = ClientInfo { user: "ann".into(), client: Uuid::from_u128(1), ..ClientInfo::default() };
    assert!(hub.arrive(&ann, jackfield_hub::Address::default(), 0));
    let data = Payload::json("1");
    let send = |user: &str| Command::Send(Send { user: user.into(), data: data.clone() });
    let publish = |channel: &str| Publish { channel: channel.into(), data: data.clone(), ..Publish::default() };
    for command in [
        send("ann"),
        send("bob"),
        Command::Publish(publish("me:#ann")),
        Command::Publish(publish("me:#bob")),
        Command::Publish(publish("me:#bob,eve")),
        Command::Publish(publish("nowhere:#bob")),
        Command::Publish(publish("a:1")),
        Command::Broadcast(Broadcast {
            channels: ["a:1", "me:#ann", "me:#eve", "me:#"].map(Into::into).to_vec(),
            publish: publish(""),
        }),
    ] {
        missed(&hub, &command);
    }
    let told = told.lock().unwrap();
    let told: Vec<_> =
        told.iter().map(|word| (&*word.command, &*word.user, word.channel.as_deref(), word.data.bytes.len())).collect();
    assert_eq!(
        told,
        [("id-1", "bob", None, 1), ("id-1", "bob", Some("me:#bob"), 1), ("id-1", "eve", Some("me:#eve"), 1)]
    );
}
