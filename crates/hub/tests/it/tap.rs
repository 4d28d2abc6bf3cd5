//! Who hears whole channels: each publication once, in order, wherever nobody listens and nothing is kept too.

use std::sync::{Arc, Mutex};

use jackfield_hub::namespace::{Namespaces, Options};
use jackfield_hub::{Hub, Publishing, Tap};
use jackfield_model::app::PublishMore;
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
