//! Whatever comes in and however little goes out: what the reader sees is what the policies promise.

use std::collections::HashMap;

use jackfield_hub::Note;
use jackfield_hub::namespace::Options;
use jackfield_model::Payload;

use super::*;

/// A linear congruential generator: the same sequence of numbers for the same seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A publication as the hub makes it, by way of the hub: only there it gets its origin.
struct Press {
    hub: jackfield_hub::Hub,
    mailbox: Arc<jackfield_hub::Mailbox>,
    channels: Vec<(Arc<str>, u64)>,
}

#[derive(Debug)]
struct Silent;

impl jackfield_hub::Wake for Silent {
    fn wake(&self) {}
}

impl Press {
    fn new(channels: usize) -> Self {
        let mailbox = Arc::new(jackfield_hub::Mailbox::new(Box::new(Silent)));
        let namespaces =
            jackfield_hub::Namespaces { without: Some(Arc::new(Options::default())), ..Default::default() };
        let hub = jackfield_hub::Hub::new(namespaces, vec![Arc::clone(&mailbox)], 10, 1);
        let info = Arc::default();
        let member = jackfield_hub::Membership { worker: 0, info: &info, counted: false, announced: false };
        let join = |n| {
            let joined = hub.subscribe(&format!("c{n}"), member, None, 1).unwrap();
            (joined.name, joined.key)
        };
        let channels = (0..channels).map(join).collect();
        Self { hub, mailbox, channels }
    }

    fn frame(&self, channel: usize, key: &str, delivery: Delivery, text: String) -> Frame {
        let more = jackfield_model::app::PublishMore { key: key.to_owned(), ..Default::default() };
        let publishing =
            jackfield_hub::Publishing { data: Payload::json("1"), more: Some(Box::new(more)), ..Default::default() };
        self.hub.publish_and_forget(&self.channels[channel].0, publishing, 1).unwrap();
        let mut mail = Vec::new();
        self.mailbox.take(&mut mail);
        let Some(jackfield_hub::Mail::Channel { parcel, .. }) = mail.pop() else { panic!("a publication") };
        let bytes = Bytes::from(text);
        let (origin, publication) = (parcel.origin().unwrap(), parcel.content().unwrap());
        let note = Note {
            channel: origin.channel,
            key: publication.key().cloned(),
            gauges: Arc::clone(&origin.options.gauges),
            delivery,
            whole: bytes.clone(),
        };
        Frame { bytes, note: Some(Arc::new(note)), is_answer: false }
    }

    fn gauges(&self) -> &Gauges {
        &self.hub.namespaces().of("c0").unwrap().gauges
    }
}

fn kept(text: &str) -> Frame {
    Frame { bytes: Bytes::copy_from_slice(text.as_bytes()), note: None, is_answer: false }
}

/// Lets up to `most` bytes out.
fn write(backlog: &mut Backlog, most: usize, out: &mut Vec<u8>) {
    let mut cork = Vec::new();
    backlog.fill(&mut cork, most.max(1));
    let taken = cork.len().min(most);
    out.extend_from_slice(&cork[..taken]);
    backlog.advance(taken, 0);
}

fn drain(backlog: &mut Backlog, out: &mut Vec<u8>) {
    while !backlog.is_empty() {
        write(backlog, 1 << 16, out);
    }
}

#[test]
fn what_comes_out_is_what_went_in() {
    let frames: Vec<Frame> = (1..=50u8).map(|n| kept(&"x".repeat(n.into()))).collect();
    let all: Vec<u8> = frames.iter().flat_map(|frame| frame.bytes.to_vec()).collect();
    for skip in 0..all.len() {
        let mut backlog = Backlog::default();
        backlog.extend(frames.iter(), skip, 0);
        assert_eq!(backlog.bytes(), all.len() - skip);
        let (mut out, mut cork) = (Vec::new(), Vec::new());
        while !backlog.is_empty() {
            backlog.fill(&mut cork, 37);
            let taken = (cork.len() / 2).max(1);
            out.extend_from_slice(&cork[..taken]);
            backlog.advance(taken, 0);
        }
        assert_eq!(out, all[skip..]);
    }
}

#[test]
fn cutting_short_keeps_a_frame_that_is_half_out() {
    let press = Press::new(1);
    let frames = [kept("abcd"), kept("efgh"), press.frame(0, "k", Delivery::Latest, "ijkl".to_owned())];
    for (skip, left) in [(2, 2), (4, 0), (9, 3)] {
        let mut backlog = Backlog::default();
        backlog.extend(frames.iter(), skip, 0);
        backlog.cut_short();
        assert_eq!((backlog.bytes(), backlog.is_empty()), (left, left == 0));
    }
}

#[test]
fn an_answer_does_not_make_its_reader_slow() {
    let answer = |length| Frame { is_answer: true, ..kept(&"x".repeat(length)) };
    let mut backlog = Backlog::default();
    backlog.extend([answer(1000), kept(&"x".repeat(100))].iter(), 10, 0);
    assert_eq!((backlog.bytes(), backlog.answers(), backlog.is_over(100)), (1090, 990, false));
    backlog.extend([kept("x")].iter(), 0, 0);
    assert!(backlog.is_over(100), "what is pushed counts");
    let mut out = Vec::new();
    write(&mut backlog, 500, &mut out);
    assert_eq!((backlog.bytes(), backlog.answers(), backlog.is_over(100)), (591, 490, true));
    backlog.cut_short();
    assert_eq!((backlog.bytes(), backlog.answers(), backlog.is_over(100)), (490, 490, false));
    backlog.extend([answer(1110)].iter(), 0, 0);
    assert!(!backlog.is_over(100));
    backlog.extend([answer(1)].iter(), 0, 0);
    assert!(backlog.is_over(100), "there is an end to asking, too");
}

#[test]
fn a_reply_overtakes_and_the_last_words_do_not() {
    let press = Press::new(1);
    let gentle = |key: &str| press.frame(0, key, Delivery::Latest, format!("<{key}>"));
    let mut backlog = Backlog::default();
    backlog.extend([gentle("a"), gentle("b"), kept("[reply]")].iter(), 1, 0);
    backlog.close();
    backlog.extend([kept("[bye]")].iter(), 0, 0);
    let mut out = Vec::new();
    drain(&mut backlog, &mut out);
    assert_eq!(out, b"a>[reply]<b>[bye]");
}

/// One text: what it is, its key, its number, and a tail that makes lengths differ.
struct Word {
    kind: char,
    key: u64,
    number: u64,
}

fn parse(out: &[u8]) -> Vec<Word> {
    let text = std::str::from_utf8(out).unwrap();
    let line = |line: &str| {
        let mut parts = line.split(' ');
        let kind = parts.next().unwrap().chars().next().unwrap();
        let key = parts.next().unwrap().parse().unwrap();
        let number = parts.next().unwrap().parse().unwrap();
        assert!(parts.next().unwrap().bytes().all(|byte| byte == b'.'), "{line}");
        Word { kind, key, number }
    };
    text.lines().map(line).collect()
}

/// A reader of channel 0 (latest), 1 (drop_oldest) and of what is kept, against what it was sent.
#[test]
fn promises_hold_in_any_order() {
    let press = Press::new(2);
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let mut backlog = Backlog::default();
        let (mut out, mut latest, mut sent, mut replies) = (Vec::new(), HashMap::new(), HashMap::new(), 0);
        let keys = 1 + dice.roll(40);
        for number in 1..=400 {
            let kind = ["L", "D", "K"][dice.roll(3) as usize];
            let key = dice.roll(keys);
            let text = format!("{kind} {key} {number} {}\n", ".".repeat(dice.roll(30) as usize));
            let (channel, delivery) = if kind == "L" { (0, Delivery::Latest) } else { (1, Delivery::DropOldest) };
            let frame = match kind {
                "K" => Frame { is_answer: dice.roll(2) == 0, ..kept(&text) },
                _ => press.frame(channel, &key.to_string(), delivery, text),
            };
            *sent.entry(kind).or_insert(0) += 1;
            match kind {
                "L" => drop(latest.insert(key, number)),
                "K" => replies += 1,
                _ => {}
            }
            backlog.extend([frame].iter(), 0, 0);
            let mut cork = Vec::new();
            backlog.fill(&mut cork, usize::MAX / 2);
            assert_eq!(cork.len(), backlog.bytes(), "the bytes are counted");
            match dice.roll(6) {
                0 => write(&mut backlog, dice.roll(200) as usize, &mut out),
                1 => backlog.give_way(400),
                _ => {}
            }
        }
        drain(&mut backlog, &mut out);
        assert_eq!((backlog.bytes(), backlog.answers()), (0, 0));
        let words = parse(&out);
        let numbers = |kind: char| words.iter().filter(move |word| word.kind == kind).map(|word| word.number);
        assert!(numbers('K').is_sorted() && numbers('K').count() == replies, "seed {seed}: none is lost or overtaken");
        assert!(numbers('D').is_sorted(), "seed {seed}");
        assert_eq!(
            numbers('D').count() + backlog.dropped as usize,
            sent["D"],
            "seed {seed}: what is missing was counted"
        );
        assert_eq!(numbers('L').count() + backlog.conflated as usize, sent["L"], "seed {seed}");
        let mut seen = HashMap::new();
        for word in words.iter().filter(|word| word.kind == 'L') {
            assert!(seen.insert(word.key, word.number) < Some(word.number), "seed {seed}: key {} went back", word.key);
        }
        assert_eq!(seen, latest, "seed {seed}: the last of every key");
    }
    assert!(press.gauges().conflated.load(Ordering::Relaxed) > 0 && press.gauges().dropped.load(Ordering::Relaxed) > 0);
}

#[test]
fn nothing_of_a_channel_follows_its_end() {
    let press = Press::new(2);
    for seed in 0..20 {
        let mut dice = Dice(seed);
        let mut backlog = Backlog::default();
        for number in 0..200 {
            let channel = dice.roll(2) as usize;
            let delivery = [Delivery::Latest, Delivery::DropOldest][dice.roll(2) as usize];
            let text = format!("{} {channel} {number} \n", if channel == 0 { 'A' } else { 'B' });
            let key = format!("{delivery:?}{}", dice.roll(50));
            backlog.extend([press.frame(channel, &key, delivery, text)].iter(), 0, 0);
        }
        let mut out = Vec::new();
        write(&mut backlog, 3, &mut out);
        backlog.forget(press.channels[0].1);
        // What comes now belongs to another subscription, and its index is whole.
        for number in 200..400 {
            let text = format!("C 0 {number} \n");
            backlog.extend([press.frame(0, "one", Delivery::Latest, text)].iter(), 0, 0);
        }
        let kinds = |words: &[Word]| words.iter().map(|word| word.kind).collect::<String>();
        drain(&mut backlog, &mut out);
        let words = parse(&out);
        assert!(!kinds(&words[1..]).contains('A'), "{}", kinds(&words));
        assert!(kinds(&words).contains('B'));
        assert_eq!(kinds(&words).matches('C').count(), 1);
        assert_eq!(words.last().map(|word| word.number), Some(399));
    }
}

/// What a slow reader of a thousand keys costs beyond the frames, which it shares: places, index, the backlog itself.
#[test]
fn a_slow_reader_of_a_thousand_keys_is_small() {
    let press = Press::new(1);
    let mut backlog = Backlog::default();
    for round in 0..3 {
        for key in 0..1000 {
            let frame = press.frame(0, &key.to_string(), Delivery::Latest, format!("{round}"));
            backlog.extend([frame].iter(), 0, 0);
        }
    }
    let bytes = size_of::<Backlog>() + backlog.gentle.as_ref().unwrap().room();
    assert!(bytes < 40 * 1024, "{bytes}");
    assert_eq!(backlog.conflated, 2000);
    assert!(backlog.is_over(1000 * PLACE - 1) && !backlog.is_over(1000 * PLACE), "and counts as small");
    let long = press.frame(0, "0", Delivery::Latest, "x".repeat(100_000));
    backlog.extend([long].iter(), 0, 0);
    assert!(!backlog.is_over(1000 * PLACE), "whatever the frames are, which are everybody's");
    backlog.extend([press.frame(0, "0", Delivery::DropOldest, "x".to_owned())].iter(), 0, 0);
    assert!(backlog.is_over(1000 * PLACE));
    backlog.give_way(1000 * PLACE);
    assert_eq!((backlog.is_over(1000 * PLACE), backlog.dropped), (false, 1));
    drain(&mut backlog, &mut Vec::new());
    assert!(!backlog.is_over(0));
}
