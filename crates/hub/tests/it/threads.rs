//! Real threads: what the simulation, which has one, cannot see.

use std::sync::Arc;
use std::thread;

use jackfield_hub::{Hub, Mail, Membership, Namespaces, Options, Publishing, Since};
use jackfield_model::{ClientInfo, Payload, Position, Uuid};

use crate::mailboxes;

const EACH: u64 = 5_000;

/// Whoever publishes: the subscriber hears every offset, in order, and the history is whole.
#[test]
fn publishers_at_the_same_time_keep_one_order() {
    let options = Options { history_size: 100_000, history_ttl: 60_000, snapshot: true, ..Options::default() };
    let namespaces = Namespaces { without: Some(Arc::new(options)), ..Namespaces::default() };
    let boxes = mailboxes(1);
    let hub = Hub::new(namespaces, boxes.clone(), 100_000, 7);
    let info = Arc::new(ClientInfo { client: Uuid::from_u128(1), ..ClientInfo::default() });
    let member = Membership { worker: 0, info: &info, counted: false, announced: false };
    let joined = hub.subscribe("c", member, None, 1).unwrap();
    let mut heard = Vec::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..EACH {
                    let data = Payload::json(n.to_string());
                    hub.publish_and_forget("c", Publishing { data, ..Publishing::default() }, 1).unwrap();
                }
            });
        }
        let mut mail = Vec::new();
        while heard.len() < 4 * EACH as usize {
            boxes[0].take(&mut mail);
            for letter in mail.drain(..) {
                let Mail::Channel { sequence, parcel, .. } = letter else { panic!("{letter:?}") };
                heard.push((sequence, parcel.content().unwrap().offset));
            }
        }
    });
    assert!(heard.iter().enumerate().all(|(n, (_, offset))| *offset == n as u64 + 1), "offsets rise by one");
    assert!(heard.windows(2).all(|two| two[0].0 < two[1].0) && heard[0].0 > joined.sequence);
    let position = Position { offset: EACH, epoch: joined.position.unwrap().epoch };
    let since = Since { position: &position, or_nothing: true, latest: false };
    let cap = jackfield_hub::Cap { count: 100_000, bytes: usize::MAX };
    let mut hub = hub;
    hub.set_recovery_cap(cap);
    let back = hub.subscribe("c", member, Some(since), 1).unwrap().recovery.unwrap();
    let offsets: Vec<u64> = back.publications.iter().map(|publication| publication.offset).collect();
    assert!(back.recovered && offsets.into_iter().eq(EACH + 1..=4 * EACH));
}
