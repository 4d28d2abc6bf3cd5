//! Deltas and slow readers: whatever blocks when, nobody is sent a delta against what it does not have.

use std::collections::HashMap;

use jackfield_hub::namespace::{Kind, MapOptions, Options};
use jackfield_hub::{Encoder, EncodingId, Hub, Mail, Mailbox, Membership, Namespaces, Outbox, Publishing, Seat, Shard};
use jackfield_hub::{Wake, fossil};
use jackfield_model::app::PublishMore;
use jackfield_model::client::{Form, Push};
use jackfield_model::{Millis, Payload};

use super::tests::Dice;
use super::*;

#[derive(Debug)]
struct Silent;

impl Wake for Silent {
    fn wake(&self) {}
}

/// Kind, key, length, payload.
#[derive(Debug)]
struct Plain;

impl Encoder for Plain {
    fn encode(&self, _: EncodingId, push: &Push) -> Option<Bytes> {
        let (kind, publication, payload) = match push {
            Push::Publication(_, publication) => (b'F', publication, &publication.data.bytes),
            Push::Delta(_, publication, Form::Whole) => (b'F', publication, &publication.data.bytes),
            Push::Delta(_, publication, Form::Patch(patch)) => (b'P', publication, patch),
            _ => return None,
        };
        let key = publication.key().map_or("", |key| key);
        let mut out = vec![kind, key.len() as u8];
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        out.extend_from_slice(payload);
        Some(out.into())
    }
}

/// One reader: its socket's bytes, and what it makes of them.
struct Reader {
    backlog: Option<Backlog>,
    bytes: Vec<u8>,
    at: usize,
    /// What it had last, of the channel or of every key.
    values: HashMap<String, Vec<u8>>,
    heard: Vec<(String, u64)>,
    patches: usize,
}

impl Reader {
    /// Reads whole frames; panics where a delta does not fit.
    fn read(&mut self, is_map: bool) {
        loop {
            let rest = &self.bytes[self.at..];
            let Some(&[kind, key_length]) = rest.first_chunk::<2>() else { return };
            let head = 2 + usize::from(key_length);
            let Some(length) = rest.get(head..head + 4) else { return };
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
            let Some(payload) = rest.get(head + 4..head + 4 + length) else { return };
            let key = String::from_utf8(rest[2..head].to_vec()).unwrap();
            let slot = if is_map { key.clone() } else { String::new() };
            let value = match kind {
                b'F' => payload.to_vec(),
                _ => {
                    self.patches += 1;
                    fossil::apply(&self.values[&slot], payload).unwrap()
                }
            };
            let text = String::from_utf8(value.clone()).unwrap();
            let number = text.split('|').next().unwrap().parse().unwrap();
            assert_eq!(text, payload_of(number), "a delta was read against something else");
            self.values.insert(slot, value);
            self.heard.push((key, number));
            self.at += head + 4 + length;
        }
    }
}

/// Differs a little from the one before.
fn payload_of(number: u64) -> String {
    let mut dice = Dice(number);
    let tail: String = (0..4).map(|_| char::from(b'a' + dice.roll(26) as u8)).collect();
    format!(
        "{number}|{}|{tail}",
        "the same long text that all of them have in common, so that a delta is worth it ".repeat(2)
    )
}

struct Scene {
    hub: Hub,
    mailbox: Arc<Mailbox>,
    shard: Shard,
    outbox: Outbox,
    readers: Vec<Reader>,
    now: Millis,
    is_map: bool,
    last: HashMap<String, u64>,
    published: u64,
}

const DELIVERIES: [Delivery; 6] = [
    Delivery::All,
    Delivery::Latest,
    Delivery::DropOldest,
    Delivery::Sampled(100),
    Delivery::Latest,
    Delivery::DropOldest,
];

impl Scene {
    fn new(is_map: bool) -> Self {
        let kind = if is_map { Kind::Map } else { Kind::Stream };
        let options =
            Options { kind, delta: true, delta_publish: true, map: MapOptions::default(), ..Options::default() };
        let namespaces = Namespaces { without: Some(Arc::new(options)), ..Namespaces::default() };
        let mailbox = Arc::new(Mailbox::new(Box::new(Silent)));
        let hub = Hub::new(namespaces, vec![Arc::clone(&mailbox)], 10, 1);
        let (mut shard, mut outbox) = (Shard::default(), Outbox::default());
        let info = Arc::default();
        let member = Membership { worker: 0, info: &info, counted: false, announced: false };
        let mut readers = Vec::new();
        for (slot, delivery) in DELIVERIES.into_iter().enumerate() {
            outbox.open(slot as u32);
            let joined = hub.subscribe("c", member, None, 1).unwrap();
            let seat = Seat { slot: slot as u32, delivery, delta: true, has_values: is_map, ..Seat::default() };
            shard.join(&joined, seat);
            readers.push(Reader {
                backlog: None,
                bytes: Vec::new(),
                at: 0,
                values: HashMap::new(),
                heard: Vec::new(),
                patches: 0,
            });
        }
        Self { hub, mailbox, shard, outbox, readers, now: 1, is_map, last: HashMap::new(), published: 0 }
    }

    fn publish(&mut self, key: String) {
        self.published += 1;
        let more = PublishMore { key: key.clone(), ..PublishMore::default() };
        let publishing = Publishing {
            data: Payload::text(payload_of(self.published)),
            is_for_map: self.is_map,
            more: Some(Box::new(more)),
            ..Publishing::default()
        };
        self.hub.publish_and_forget("c", publishing, self.now).unwrap();
        self.last.insert(key, self.published);
    }

    /// The round of a worker; a socket takes all, nothing, or a part.
    fn round(&mut self, dice: &mut Dice, calm: bool) {
        let mut mail = Vec::new();
        self.mailbox.take(&mut mail);
        for letter in mail {
            let Mail::Channel { key, sequence, parcel } = letter else { panic!("{letter:?}") };
            self.shard.deliver(key, sequence, &parcel, self.now, (&mut self.outbox, &Plain));
        }
        self.shard.keep_time(self.now, (&mut self.outbox, &Plain));
        while let Some(slot) = self.outbox.next_dirty() {
            let lane = self.outbox.take(slot);
            let reader = &mut self.readers[slot as usize];
            if let Some(backlog) = &mut reader.backlog {
                backlog.extend(self.outbox.frames(lane), 0, 0);
                if DELIVERIES[slot as usize] == Delivery::DropOldest {
                    backlog.give_way(600);
                }
                continue;
            }
            let all: Vec<u8> = self.outbox.frames(lane).flat_map(|frame| frame.bytes.to_vec()).collect();
            let taken = match dice.roll(6) {
                _ if calm => all.len(),
                0 => dice.roll(all.len() as u64 + 1) as usize,
                1 => 0,
                _ => all.len(),
            };
            reader.bytes.extend_from_slice(&all[..taken]);
            if taken < all.len() {
                let mut backlog = Backlog::default();
                backlog.extend(self.outbox.frames(lane), taken, 0);
                reader.backlog = Some(backlog);
                self.outbox.block(slot);
            }
        }
        self.outbox.finish();
    }

    /// The sockets of some take bytes again.
    fn drain(&mut self, dice: &mut Dice, calm: bool) {
        for (slot, reader) in self.readers.iter_mut().enumerate() {
            let Some(backlog) = &mut reader.backlog else { continue };
            let most = match dice.roll(4) {
                _ if calm => 1 << 20,
                0 => 1 << 20,
                1 => dice.roll(300) as usize,
                _ => continue,
            };
            let mut cork = Vec::new();
            backlog.fill(&mut cork, most.max(1));
            let taken = cork.len().min(most);
            reader.bytes.extend_from_slice(&cork[..taken]);
            backlog.advance(taken, 0);
            if backlog.is_empty() {
                reader.backlog = None;
                self.outbox.unblock(slot as u32);
            }
        }
    }
}

#[test]
fn every_delta_fits() {
    let mut patches = [0; DELIVERIES.len()];
    for seed in 0..100 {
        let mut dice = Dice(seed);
        let mut scene = Scene::new(seed % 2 == 1);
        for step in 0..300 {
            // In the last step nothing is published: what waits for its moment finds it.
            let calm = step == 299;
            scene.now += dice.roll(8) + if calm { 1_000 } else { 0 };
            for _ in 0..if calm { 0 } else { dice.roll(4) } {
                let key = format!("k{}", dice.roll(5));
                scene.publish(key);
            }
            scene.drain(&mut dice, calm);
            scene.round(&mut dice, calm);
            for reader in &mut scene.readers {
                reader.read(scene.is_map);
            }
        }
        for (slot, reader) in scene.readers.iter().enumerate() {
            patches[slot] += reader.patches;
            assert_eq!(reader.at, reader.bytes.len(), "seed {seed}: the end of a frame is missing");
            let numbers: Vec<u64> = reader.heard.iter().map(|(_, number)| *number).collect();
            let last: HashMap<String, u64> = reader.heard.iter().cloned().collect();
            match DELIVERIES[slot] {
                Delivery::All => assert_eq!(numbers, (1..=scene.published).collect::<Vec<_>>(), "seed {seed}"),
                Delivery::DropOldest => assert!(numbers.is_sorted(), "seed {seed}"),
                Delivery::Latest | Delivery::Sampled(_) => assert_eq!(last, scene.last, "seed {seed}: reader {slot}"),
            }
        }
    }
    assert!(patches[0] > 1000 && patches[1] > 100, "deltas are sent: {patches:?}");
    assert!(patches[2] > 100 && patches[3] == 0, "{patches:?}");
}
