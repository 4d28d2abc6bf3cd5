//! Who hears whole channels: each publication once, in order, wherever nobody listens and nothing is kept too.

use std::sync::{Arc, Mutex};

use jackfield_hub::namespace::{Namespaces, Options};
use jackfield_hub::{Broker, Forgetting, Hub, Order, PublishError, Published, Publishing, Receipt, Tap, Ticket};
use jackfield_model::app::PublishMore;
use jackfield_model::client::Push;
use jackfield_model::{Payload, Position, Publication};

use crate::mailboxes;

#[derive(Debug, Default)]
struct Ear {
    heard: Mutex<Vec<(String, String, u64)>>,
    asked: Mutex<Vec<String>>,
}

impl Tap for Ear {
    fn wants(&self, channel: &str) -> bool {
        self.asked.lock().unwrap().push(channel.to_owned());
        !channel.ends_with("quiet")
    }

    fn heard(&self, channel: &Arc<str>, publication: &Arc<Publication>, position: Option<Position>) {
        assert_eq!(position.as_ref().map_or(0, |position| position.offset), publication.offset);
        let data = String::from_utf8_lossy(&publication.data.bytes).into_owned();
        self.heard.lock().unwrap().push((channel.to_string(), data, publication.offset));
    }
}

#[test]
fn a_tap_hears_what_it_wants_once() {
    let ear = Arc::new(Ear::default());
    let full = Options { history_size: 3, history_ttl: 10_000, ..Options::default() };
    let named = [("full".to_owned(), Arc::new(full))].into_iter().collect();
    let mut hub = Hub::new(Namespaces { named, ..Namespaces::default() }, mailboxes(2), 300, 7);
    hub.set_tap(Arc::clone(&ear) as _);
    let publish = |channel: &str, data: &str, id: &str| {
        let more = PublishMore { idempotency_key: id.to_owned(), ..PublishMore::default() };
        let data = Payload::json(data.to_owned());
        let publishing = Publishing { data, more: Some(Box::new(more)), ..Publishing::default() };
        hub.publish_and_forget(channel, publishing, 1_000).unwrap();
    };
    publish("full:a", "1", "x");
    publish("full:a", "1 again", "x");
    publish("full:a", "2", "y");
    publish("plain", "3", "");
    publish("plain", "4", "");
    publish("full:quiet", "5", "");
    let wanted = [("full:a", "1", 1), ("full:a", "2", 2), ("plain", "3", 0), ("plain", "4", 0)];
    let wanted: Vec<_> = wanted.map(|(channel, data, offset)| (channel.to_owned(), data.to_owned(), offset)).into();
    assert_eq!(*ear.heard.lock().unwrap(), wanted);
    let asked = ear.asked.lock().unwrap().iter().filter(|channel| *channel == "full:a").count();
    assert_eq!(asked, 1, "who hears a channel is not asked with each publication");
}

/// A broker that keeps what it is given until the test says what came of it.
#[derive(Debug, Default)]
struct Post(Mutex<Vec<Order>>);

impl Broker for Post {
    fn publish(&self, order: Order) -> Result<(), Order> {
        self.0.lock().unwrap().push(order);
        Ok(())
    }

    fn spread(&self, _: &Arc<str>, _: &Push) {}

    fn open(&self, _: &Arc<str>) {}

    fn repair(&self, _: &Arc<str>) {}

    fn close(&self, _: &Arc<str>) {}

    fn forget(&self, _: &Arc<str>, _: Forgetting, _: Option<Ticket>) {}
}

#[test]
fn with_a_broker_the_node_that_sends_it_tells_the_tap_when_the_broker_has_it() {
    let (ear, post) = (Arc::new(Ear::default()), Arc::new(Post::default()));
    let mut hub = Hub::new(Namespaces::default(), mailboxes(1), 300, 7);
    hub.set_tap(Arc::clone(&ear) as _);
    let hub = Arc::new(hub);
    assert!(hub.set_broker(Arc::clone(&post) as _));
    let settled = Arc::new(Mutex::new(Vec::new()));
    for data in ["1", "2"] {
        let told = Arc::clone(&settled);
        let ticket = Ticket::Then(Box::new(move |outcome| told.lock().unwrap().push(outcome.is_ok())));
        let publishing = Publishing { data: Payload::json(data), ..Publishing::default() };
        assert_eq!(hub.publish("news", publishing, Some(ticket), 1_000), Ok(Receipt::Later));
    }
    assert!(ear.heard.lock().unwrap().is_empty(), "the broker may not take it");
    let position = Some(Position { offset: 7, epoch: "abcd".into() });
    let outcomes = [Err(PublishError::NotWritten), Ok(Published { position, suppressed: None })];
    for (order, outcome) in post.0.lock().unwrap().drain(..).zip(outcomes) {
        hub.settle(order.ticket, outcome);
    }
    assert_eq!(*ear.heard.lock().unwrap(), [("news".to_owned(), "2".to_owned(), 7)]);
    assert_eq!(*settled.lock().unwrap(), [false, true]);
}
