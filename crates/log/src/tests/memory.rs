//! A disk in memory that fails on demand.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use crate::{Disk, Sync, Tape};

/// A file, and how much of it a power cut leaves.
#[derive(Clone, Debug, Default)]
struct File {
    bytes: Vec<u8>,
    safe: usize,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, File>,
    /// Bytes that may still be written before the disk is full.
    room: Option<usize>,
    /// Bytes that may still be written before the process is killed.
    life: Option<usize>,
    syncs_fail: bool,
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<State>>);

impl Memory {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    /// Everything works again; what was written is there.
    pub(super) fn mend(&self) {
        self.with(|state| (state.room, state.life, state.syncs_fail) = (None, None, false));
    }

    /// The disk is full after so many bytes.
    pub(super) fn fill(&self, room: usize) {
        self.with(|state| state.room = Some(room));
    }

    /// The process dies after so many bytes: what it writes then is torn, and nothing it does has an effect.
    pub(super) fn kill_after(&self, life: usize) {
        self.with(|state| state.life = Some(life));
    }

    pub(super) fn break_syncs(&self) {
        self.with(|state| state.syncs_fail = true);
    }

    /// The power fails: of what was not safe, any sector may be there, or be zeros, and the files end anywhere.
    pub(super) fn cut_power(&self, mut random: impl FnMut(usize) -> usize) {
        const SECTOR: usize = 64;
        self.with(|state| {
            for file in state.files.values_mut() {
                let loose = file.bytes.len() - file.safe;
                let end = file.safe + random(loose + 1);
                file.bytes.truncate(end);
                for sector in file.bytes[file.safe..].chunks_mut(SECTOR) {
                    if random(3) == 0 {
                        sector.fill(0);
                    }
                }
            }
        });
    }

    pub(super) fn bytes_in_all(&self) -> usize {
        self.with(|state| state.files.values().map(|file| file.bytes.len()).sum())
    }

    /// The files by name.
    pub(super) fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.with(|state| state.files.iter().map(|(name, file)| (name.clone(), file.bytes.clone())).collect())
    }

    /// A disk with these files.
    pub(super) fn of(files: &[(String, Vec<u8>)]) -> Self {
        let disk = Self::default();
        files.iter().for_each(|(name, bytes)| disk.put(name, bytes));
        disk
    }

    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let file = File { bytes: bytes.to_vec(), safe: bytes.len() };
        self.with(|state| state.files.insert(name.to_owned(), file));
    }
}

fn dead() -> io::Error {
    io::Error::other("the process is dead")
}

impl State {
    /// How many of these bytes get onto the disk, and what is said then.
    fn take(&mut self, count: usize) -> (usize, io::Result<()>) {
        if let Some(life) = &mut self.life {
            let taken = count.min(*life);
            *life -= taken;
            if taken < count || *life == 0 {
                return (taken, Err(dead()));
            }
        }
        if let Some(room) = &mut self.room {
            let taken = count.min(*room);
            *room -= taken;
            if taken < count {
                return (taken, Err(io::ErrorKind::StorageFull.into()));
            }
        }
        (count, Ok(()))
    }

    fn alive(&self) -> io::Result<()> {
        if self.life == Some(0) { Err(dead()) } else { Ok(()) }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.alive()?;
        self.files.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for Memory {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.with(|state| state.files.keys().cloned().collect()))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.with(|state| Ok(state.file(name)?.bytes.clone()))
    }

    fn create(&self, name: &str, head: &[u8]) -> io::Result<Box<dyn Tape>> {
        self.with(|state| {
            state.alive()?;
            state.take(head.len()).1?;
            if state.syncs_fail {
                return Err(io::Error::other("fsync"));
            }
            state.files.insert(name.to_owned(), File { bytes: head.to_vec(), safe: head.len() });
            Ok(())
        })?;
        Ok(Box::new(Reel { disk: self.clone(), name: name.to_owned() }))
    }

    fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        Reel { disk: self.clone(), name: name.to_owned() }.cut(length)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.with(|state| {
            state.file(name)?;
            state.files.remove(name);
            Ok(())
        })
    }
}

#[derive(Debug)]
struct Reel {
    disk: Memory,
    name: String,
}

impl Tape for Reel {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.with(|state| {
            state.file(&self.name)?;
            let (taken, said) = state.take(bytes.len());
            if let Some(file) = state.files.get_mut(&self.name) {
                file.bytes.extend_from_slice(&bytes[..taken]);
            }
            said
        })
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.disk.with(|state| {
            if state.syncs_fail {
                return Err(io::Error::other("fsync"));
            }
            let file = state.file(&self.name)?;
            file.bytes.truncate(length as usize);
            file.safe = file.bytes.len();
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<Sync> {
        let (disk, name) = (self.disk.clone(), self.name.clone());
        let length = disk.with(|state| Ok::<_, io::Error>(state.file(&name)?.bytes.len()))?;
        Ok(Box::new(move || {
            disk.with(|state| {
                if state.syncs_fail {
                    return Err(io::Error::other("fsync"));
                }
                let file = state.file(&name)?;
                file.safe = file.safe.max(length.min(file.bytes.len()));
                Ok(())
            })
        }))
    }
}
