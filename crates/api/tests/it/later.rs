//! Commands whose answer comes later, because a log has to have them first; and what becomes of them if it never does.

use std::sync::{Arc, Mutex};

use jackfield_api::{ApiOptions, Handover, router};
use jackfield_hub::{Forgetting, Hub, Journal, Mailbox, Namespaces, Options, Order, Wake};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, yield_now};

use crate::server::parts;

#[derive(Debug)]
struct Asleep;

impl Wake for Asleep {
    fn wake(&self) {}
}

/// Takes orders, and leaves it to the test to write them.
#[derive(Debug, Default)]
struct Slow(Mutex<Vec<Order>>);

impl Journal for Slow {
    fn take(&self, order: Order) -> Result<(), Order> {
        self.0.lock().unwrap().push(order);
        Ok(())
    }

    fn forget(&self, channel: &str, what: Forgetting) {
        panic!("nobody forgets {channel:?} here: {what:?}");
    }
}

struct House {
    hub: Arc<Hub>,
    journal: Arc<Slow>,
    door: Handover,
}

impl House {
    fn new() -> Self {
        let mut namespaces = Namespaces::default();
        let kept = Options { history_size: 10, history_ttl: 60_000, durable: true, ..Options::default() };
        namespaces.named.insert("safe".to_owned(), Arc::new(kept));
        let mut hub = Hub::new(namespaces, vec![Arc::new(Mailbox::new(Box::new(Asleep)))], 100, 1);
        let journal = Arc::new(Slow::default());
        hub.set_journal(Arc::clone(&journal) as Arc<dyn Journal>);
        let hub = Arc::new(hub);
        let options = ApiOptions { insecure: true, ..ApiOptions::default() };
        let door = Handover::new(router(Arc::clone(&hub), options), Handle::current());
        Self { hub, journal, door }
    }

    fn post(&self, method: &str, body: &Value) -> JoinHandle<(u16, Value)> {
        let (mut far, near) = duplex(1 << 16);
        self.door.take(near);
        let body = body.to_string();
        let head = format!("POST /api/{method} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
        tokio::spawn(async move {
            far.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            far.read_to_end(&mut answer).await.unwrap();
            let (status, _, body) = parts(answer);
            (status, serde_json::from_str(&body).unwrap())
        })
    }

    /// Waits for this many orders that are not written, and writes them.
    async fn write(&self, count: usize) {
        while self.journal.0.lock().unwrap().len() < count {
            yield_now().await;
        }
        let orders = std::mem::take(&mut *self.journal.0.lock().unwrap());
        assert_eq!(orders.len(), count, "more were under way than may be");
        for order in orders {
            let numbered = self.hub.number(order, 1).unwrap();
            self.hub.reveal(numbered);
        }
    }
}

fn publish(n: usize) -> Value {
    json!({"publish": {"channel": "safe:1", "data": n}})
}

fn offsets(reply: &Value) -> Vec<u64> {
    let replies = reply["replies"].as_array().unwrap();
    replies.iter().map(|reply| reply["publish"]["offset"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_publication_is_answered_when_the_log_has_it() {
    let house = House::new();
    let answer = house.post("publish", &json!({"channel": "safe:1", "data": 1}));
    house.write(1).await;
    let (status, reply) = answer.await.unwrap();
    assert_eq!((status, &reply["result"]["offset"]), (200, &json!(1)));
}

#[tokio::test]
async fn only_a_parallel_batch_has_several_under_way() {
    let house = House::new();
    let commands = [publish(1), publish(2), publish(3)];
    let answer = house.post("batch", &json!({"commands": commands, "parallel": true}));
    house.write(3).await;
    assert_eq!(offsets(&answer.await.unwrap().1), [1, 2, 3]);
    let answer = house.post("batch", &json!({"commands": commands}));
    for _ in 0..3 {
        house.write(1).await;
    }
    assert_eq!(offsets(&answer.await.unwrap().1), [4, 5, 6]);
}

/// The clock of this test runs by itself while nothing happens.
#[tokio::test(start_paused = true)]
async fn a_log_that_never_answers_is_an_error_that_says_how_to_try_again() {
    let house = House::new();
    let (status, reply) = house.post("publish", &json!({"channel": "safe:1", "data": 1})).await.unwrap();
    assert_eq!((status, &reply["error"]["code"]), (200, &json!(100)));
    assert!(reply["error"]["message"].as_str().unwrap().contains("idempotency key"), "{reply}");
    assert_eq!(house.journal.0.lock().unwrap().len(), 1);
}
