//! The log, as a disk may hand it back. The input is frames of records, or any bytes at all: opening never panics, and a
//! log that opens can be written, closed, and opened again with all that it had.
//!
//! Checksums and numbers are filled in as the log itself does, since no fuzzer would ever guess one.
#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use jackfield_log::{Disk, Kept, Log, LogOptions, Opening, Retention, Sync, Tape};
use jackfield_model::{Payload, Publication};
use libfuzzer_sys::fuzz_target;

const RETENTION: Retention = Retention { size: 8, ttl: 1_000, meta_ttl: 10_000, keys: 4 };
const FIRST: &str = "0000000001.log";

#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Memory {
    fn change<T>(&self, name: &str, change: impl FnOnce(&mut Vec<u8>) -> T) -> io::Result<T> {
        let mut files = self.0.lock().unwrap();
        files.get_mut(name).map(change).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for Memory {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.change(name, |file| file.clone())
    }

    fn create(&self, name: &str, head: &[u8]) -> io::Result<Box<dyn Tape>> {
        self.0.lock().unwrap().insert(name.to_owned(), head.to_vec());
        Ok(Box::new(End(self.clone(), name.to_owned())))
    }

    fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        self.change(name, |file| file.truncate(length as usize))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// The end of a file.
#[derive(Debug)]
struct End(Memory, String);

impl Tape for End {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.change(&self.1, |file| file.extend_from_slice(bytes))
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.cut(&self.1, length)
    }

    fn sync(&self) -> io::Result<Sync> {
        Ok(Box::new(|| Ok(())))
    }
}

fn open(disk: &Memory) -> Option<(Log, Opening)> {
    let options = LogOptions { is_careful: true, segment_bytes: 500, max_bytes: 0, boot: [1; 16] };
    Log::open(Box::new(disk.clone()), options, &|name| (!name.starts_with('x')).then_some(RETENTION), 5_000).ok()
}

/// A frame as the log writes it: length, checksum, number and the number that was safe, both with the salt, records.
fn frame(records: &[u8], salt: u64, sequence: u64) -> Vec<u8> {
    let length = records.len() as u32;
    let numbers = [sequence ^ salt, (sequence - 1) ^ salt].map(u64::to_le_bytes).concat();
    let parts = [&salt.to_le_bytes()[..], &length.to_le_bytes(), &numbers, records].concat();
    [&length.to_le_bytes()[..], &crc32fast::hash(&parts).to_le_bytes(), &numbers, records].concat()
}

fn add(log: &mut Log, opening: &Opening) {
    // Where a channel stands is the hub's to know; it goes on from there.
    let (channel, epoch, top) = match opening.restored.first() {
        Some(first) => (Arc::clone(&first.channel), Arc::clone(&first.epoch), first.top),
        None => ("c".into(), "e".into(), 0),
    };
    let publication =
        Publication { offset: top.saturating_add(1), time: 5_000, data: Payload::text("x"), ..Publication::default() };
    log.add(&channel, &epoch, RETENTION, &Kept { publication: Arc::new(publication), ..Kept::default() });
    log.commit().unwrap();
}

fuzz_target!(|input: &[u8]| {
    let Some((way, mut rest)) = input.split_first() else { return };
    let disk = Memory::default();
    let Some((log, _)) = open(&disk) else { panic!("an empty disk opens") };
    drop(log);
    let mut file = disk.read(FIRST).unwrap();
    // The head: 16 bytes, then the file's number and its salt.
    let salt = u64::from_le_bytes(*file[17..].first_chunk().unwrap());
    if way & 1 == 0 {
        let mut sequence = 2;
        while let Some((length, more)) = rest.split_first() {
            let (records, after) = more.split_at(usize::from(*length).min(more.len()));
            file.extend(frame(records, salt, sequence));
            (rest, sequence) = (after, sequence + 1);
        }
    } else if way & 2 == 0 {
        file.extend_from_slice(rest);
    } else {
        file = rest.to_vec();
    }
    disk.0.lock().unwrap().insert(FIRST.to_owned(), file);
    let Some((mut log, opening)) = open(&disk) else { return };
    add(&mut log, &opening);
    log.close().unwrap();
    let (log, again) = open(&disk).expect("what opened once, and was written to, opens again");
    for before in &opening.restored {
        let now = again.restored.iter().find(|now| now.channel == before.channel);
        assert!(now.is_some_and(|now| now.top >= before.top && now.epoch == before.epoch), "{before:?}\n{now:?}");
    }
    drop(log);
});
