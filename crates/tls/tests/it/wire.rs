//! Two ends of a connection in memory, as moody as a test wants, and a client and a server on them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use jackfield_tls::{Keeper, Scratch, Stream};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// Bytes under way in one direction.
#[derive(Default)]
pub(crate) struct Lane {
    pub(crate) bytes: VecDeque<u8>,
    pub(crate) is_closed: bool,
}

/// How many bytes a call may move; 0 blocks.
pub(crate) type Mood = Box<dyn FnMut() -> usize>;

/// One end.
pub(crate) struct End {
    pub(crate) incoming: Rc<RefCell<Lane>>,
    pub(crate) outgoing: Rc<RefCell<Lane>>,
    pub(crate) mood: Mood,
}

/// More than this is not under way at once.
const CAPACITY: usize = 64 * 1024;

pub(crate) fn calm() -> Mood {
    Box::new(|| usize::MAX)
}

/// One byte at a time, and every other time none, by chance: a strict order would keep step with its caller.
pub(crate) fn stingy() -> Mood {
    let mut random = Random(11);
    Box::new(move || random.below(2))
}

/// Blocks every third time and moves any number of bytes otherwise.
pub(crate) fn moody(seed: u64) -> Mood {
    let mut random = Random(seed);
    Box::new(move || if random.below(3) == 0 { 0 } else { 1 + random.below(20_000) })
}

/// Numbers that are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

pub(crate) fn pair(mood: Mood, other: Mood) -> (End, End) {
    let (there, back) = (Rc::new(RefCell::new(Lane::default())), Rc::new(RefCell::new(Lane::default())));
    let first = End { incoming: back.clone(), outgoing: there.clone(), mood };
    (first, End { incoming: there, outgoing: back, mood: other })
}

impl End {
    /// Puts bytes on the way to the other end.
    pub(crate) fn inject(&self, bytes: &[u8]) {
        self.outgoing.borrow_mut().bytes.extend(bytes);
    }

    pub(crate) fn hang_up(&self) {
        self.outgoing.borrow_mut().is_closed = true;
    }

    /// What is under way to this end.
    pub(crate) fn arrived(&self) -> Vec<u8> {
        self.incoming.borrow().bytes.iter().copied().collect()
    }
}

impl Read for End {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let allowed = (self.mood)();
        let mut lane = self.incoming.borrow_mut();
        if lane.bytes.is_empty() && lane.is_closed {
            return Ok(0);
        }
        match allowed.min(lane.bytes.len()) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            allowed => {
                let allowed = allowed.min(out.len());
                lane.bytes.read(&mut out[..allowed])
            }
        }
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let allowed = (self.mood)();
        let mut lane = self.outgoing.borrow_mut();
        match allowed.min(CAPACITY - lane.bytes.len().min(CAPACITY)) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            allowed => {
                let allowed = allowed.min(bytes.len());
                lane.bytes.extend(&bytes[..allowed]);
                Ok(allowed)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client of rustls and a stream of ours, joined.
pub(crate) struct Joined {
    pub(crate) client: ClientConnection,
    pub(crate) client_end: End,
    pub(crate) server: Stream,
    pub(crate) server_end: End,
    pub(crate) scratch: Scratch,
}

pub(crate) fn is_blocked<T>(outcome: &io::Result<T>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl Joined {
    pub(crate) fn new(
        keeper: &Keeper,
        config: impl Into<Arc<ClientConfig>>,
        client_mood: Mood,
        server_mood: Mood,
    ) -> Self {
        let client = ClientConnection::new(config.into(), ServerName::try_from("localhost").unwrap()).unwrap();
        let (client_end, server_end) = pair(client_mood, server_mood);
        let server = Stream::accept(keeper.current()).unwrap();
        Self { client, client_end, server, server_end, scratch: Scratch::new() }
    }

    /// Everything the client wants to say and can take now.
    pub(crate) fn turn_client(&mut self) -> io::Result<()> {
        while self.client.wants_write() {
            match self.client.write_tls(&mut self.client_end) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                outcome => outcome?,
            };
        }
        while self.client.wants_read() {
            match self.client.read_tls(&mut self.client_end) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(0) => break,
                outcome => outcome?,
            };
            self.client.process_new_packets().map_err(io::Error::other)?;
        }
        Ok(())
    }

    /// Reads once on our side.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.server.read(&mut self.server_end, out, &mut self.scratch)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.server.write(&mut self.server_end, bytes, &mut self.scratch)
    }

    /// Shakes hands to the end, or to the first error of either side: the server's, the client's.
    pub(crate) fn shake(&mut self) -> (io::Result<()>, io::Result<()>) {
        let mut ended = Ok(());
        while self.server.is_handshaking() || self.client.is_handshaking() {
            let turned = self.turn_client();
            // A client that is done with us still has its alert to write.
            while turned.is_err() && self.client.wants_write() {
                if self.client.write_tls(&mut self.client_end).is_err() {
                    break;
                }
            }
            let outcome = self.read(&mut [0; 64]);
            match (outcome, turned) {
                (Err(error), turned) if error.kind() != io::ErrorKind::WouldBlock => {
                    ended = Err(error);
                    let turned = turned.and_then(|()| self.turn_client());
                    return (ended, turned);
                }
                (_, Err(error)) => return (ended, Err(error)),
                _ => {}
            }
        }
        (ended, Ok(()))
    }

    pub(crate) fn shaken(mut self) -> Self {
        let (server, client) = self.shake();
        server.unwrap();
        client.unwrap();
        self
    }

    /// Everything that can be read now, and whether the peer has ended.
    pub(crate) fn read_all(&mut self) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        let mut out = [0; 1000];
        loop {
            match self.read(&mut out) {
                Ok(0) => return (all, true),
                Ok(length) => all.extend_from_slice(&out[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (all, false),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What the client can read now.
    pub(crate) fn client_reads(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            self.turn_client().unwrap();
            let mut out = [0; 4096];
            match self.client.reader().read(&mut out) {
                Ok(0) => return all,
                Ok(length) => all.extend_from_slice(&out[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return all,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
