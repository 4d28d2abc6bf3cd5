//! What a log needs of a disk. There is one disk for servers, a folder, and one for tests, which can lose power and run full.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::LogError;

/// A place for files that have names.
pub trait Disk: Debug + Send {
    /// The names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// All of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// A new file that begins with `head`; when this returns, a power cut takes neither the file nor its head.
    fn create(&self, name: &str, head: &[u8]) -> io::Result<Box<dyn Tape>>;
    /// Shortens a file, safely.
    fn cut(&self, name: &str, length: u64) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// Makes safe what was appended before it was made; may be called by another thread.
pub type Sync = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A file that grows.
pub trait Tape: Debug + Send {
    /// Appends bytes; after an error some of them may be there.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Shortens the file, safely.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// What makes safe all that was appended so far.
    fn sync(&self) -> io::Result<Sync>;
}

/// A folder that this process has for itself.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Locked as long as it is open; the system lets go of it however the process ends.
    _lock: File,
}

/// The file whose lock says that somebody has the folder.
const LOCK: &str = "lock";
/// What a file is called until its head is safe.
const UNBORN: &str = "new";

impl Folder {
    /// Makes the folder if need be, and locks it.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let shown = path.display().to_string();
        // What is in it is for nobody else on the machine.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(LogError::io("make the folder", &*shown))?;
        let file = path.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&file);
        let lock = lock.map_err(LogError::io("open", file.display().to_string()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(LogError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(LogError::io("lock the folder", shown)(error)),
        }
    }

    /// Makes safe which files there are.
    fn settle(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Disk for Folder {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // What is not UTF-8 is not ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    fn create(&self, name: &str, head: &[u8]) -> io::Result<Box<dyn Tape>> {
        let (unborn, path) = (self.path.join(UNBORN), self.path.join(name));
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unborn)?;
        file.write_all(head)?;
        file.sync_all()?;
        fs::rename(&unborn, &path)?;
        self.settle()?;
        Ok(Box::new(Plain(file)))
    }

    fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        Plain(OpenOptions::new().write(true).open(self.path.join(name))?).cut(length)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }
}

/// A file of a folder.
#[derive(Debug)]
struct Plain(File);

impl Tape for Plain {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        use std::io::Seek;

        self.0.set_len(length)?;
        self.0.seek(io::SeekFrom::Start(length))?;
        self.0.sync_all()
    }

    fn sync(&self) -> io::Result<Sync> {
        let file = self.0.try_clone()?;
        Ok(Box::new(move || file.sync_data()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er");
        let first = Folder::open(&path).unwrap();
        let error = Folder::open(&path).unwrap_err().to_string();
        assert!(error.contains("another server has it open") && error.contains("deep/er"), "{error}");
        drop(first);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn files_grow_and_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Folder::open(folder.path()).unwrap();
        let mut tape = disk.create("a", b"head").unwrap();
        tape.append(b"12345").unwrap();
        tape.cut(6).unwrap();
        tape.append(b"x").unwrap();
        tape.sync().unwrap()().unwrap();
        assert_eq!(disk.read("a").unwrap(), b"head12x");
        disk.cut("a", 2).unwrap();
        assert_eq!(disk.read("a").unwrap(), b"he");
        let mut names = disk.names().unwrap();
        names.sort();
        assert_eq!(names, ["a", "lock"]);
        disk.remove("a").unwrap();
        assert_eq!(disk.names().unwrap(), ["lock"]);
    }
}
