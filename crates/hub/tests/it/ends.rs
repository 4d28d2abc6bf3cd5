//! Values that run out in a map whose publications wait for a log: each goes once, however the log fares, and none that came later.

use std::sync::{Arc, Mutex};

use jackfield_hub::namespace::{Kind, MapMode, MapOptions};
use jackfield_hub::{Forgetting, Hub, Journal, Namespaces, Options, Order, Publishing};
use jackfield_model::app::PublishMore;
use jackfield_model::{Millis, Payload};

use crate::mailboxes;

/// A log that is written when the test says so.
#[derive(Debug, Default)]
struct Log {
    orders: Mutex<Vec<Order>>,
    is_full: Mutex<bool>,
}

impl Journal for Log {
    fn take(&self, order: Order) -> Result<(), Order> {
        if *self.is_full.lock().unwrap() {
            return Err(order);
        }
        self.orders.lock().unwrap().push(order);
        Ok(())
    }

    fn forget(&self, _: &str, _: Forgetting) {}
}

impl Log {
    /// Writes what waits, or fails to; returns how much it was.
    fn write(&self, hub: &Hub, now: Millis, works: bool) -> usize {
        let orders = std::mem::take(&mut *self.orders.lock().unwrap());
        let count = orders.len();
        for order in orders {
            let numbered = hub.number(order, now).unwrap();
            if works {
                hub.reveal(numbered);
            } else {
                hub.take_back(std::iter::once(numbered));
            }
        }
        count
    }
}

fn hub() -> (Hub, Arc<Log>) {
    let map = MapOptions {
        mode: MapMode::Recoverable,
        key_ttl: 1_000,
        stream_size: 9,
        stream_ttl: 60_000,
        ..MapOptions::default()
    };
    let options = Options { kind: Kind::Map, durable: true, map, ..Options::default() };
    let namespaces = Namespaces { without: Some(Arc::new(options)), ..Namespaces::default() };
    let mut hub = Hub::new(namespaces, mailboxes(1), 100, 1);
    let log = Arc::new(Log::default());
    hub.set_journal(Arc::clone(&log) as Arc<dyn Journal>);
    (hub, log)
}

fn put(hub: &Hub, now: Millis) {
    let more = PublishMore { key: "k".to_owned(), ..PublishMore::default() };
    let data = Payload::json("1");
    let publishing = Publishing { data, is_for_map: true, more: Some(Box::new(more)), ..Publishing::default() };
    hub.publish_and_forget("m", publishing, now).unwrap();
}

#[test]
fn a_value_that_ran_out_goes_though_the_log_was_full_and_failed() {
    let (hub, log) = hub();
    put(&hub, 1);
    assert_eq!(log.write(&hub, 1, true), 1);
    hub.expire_values(1_000);
    assert_eq!((log.write(&hub, 1_000, true), hub.map_keys("m")), (0, Ok(1)), "its time is not up");
    *log.is_full.lock().unwrap() = true;
    hub.expire_values(1_001);
    *log.is_full.lock().unwrap() = false;
    assert_eq!((log.write(&hub, 1_001, true), hub.map_keys("m")), (0, Ok(1)));
    hub.expire_values(1_002);
    assert_eq!((log.write(&hub, 1_002, false), hub.map_keys("m")), (1, Ok(1)));
    hub.expire_values(1_003);
    assert_eq!((log.write(&hub, 1_003, true), hub.map_keys("m")), (1, Ok(0)));
    hub.expire_values(5_000);
    assert_eq!(log.write(&hub, 5_000, true), 0);
}

#[test]
fn a_value_that_came_in_time_stays() {
    let (hub, log) = hub();
    put(&hub, 1);
    log.write(&hub, 1, true);
    // It waits for the log when the time of the one before is up.
    put(&hub, 1_000);
    hub.expire_values(1_001);
    assert_eq!(log.write(&hub, 1_002, true), 2);
    assert_eq!(hub.map_keys("m"), Ok(1));
    hub.expire_values(2_002);
    assert_eq!((log.write(&hub, 2_002, true), hub.map_keys("m")), (1, Ok(0)));
}

#[test]
fn the_history_of_a_map_is_not_removed_under_its_readers() {
    let (hub, _) = hub();
    let error = hub.forget_history("m").unwrap_err();
    assert!(error.code == 107 && error.message.ends_with("empty a map with map_clear"), "{error:?}");
}
