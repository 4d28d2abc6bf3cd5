//! From the socket to the sessions: reads, frames, and what to do with a frame that is not whole.

use std::io::{self, Read};
use std::sync::Arc;

use jackfield_framing::http;
use jackfield_framing::{Decoded, Frame, Lines, Rules, WebSocket};
use jackfield_model::{Disconnect, Uuid};
use jackfield_session::{Endpoint, Framing, Hold, Session, Tick};

use crate::connection::{Connection, Partial, Phase};
use crate::http_door::{self, HEAD_LIMIT, Way};
use crate::worker::{Floor, Worker};

/// Reads of one connection in one round; more waits for the next, so that nobody starves.
const READS: usize = 4;

impl Worker {
    /// Reads what a socket has. `to_the_end`: the peer has closed, and only a read of nothing tells when all was read.
    pub(crate) fn read(&mut self, slot: usize, to_the_end: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.read_into(slot, to_the_end, &mut buffer);
        self.buffer = buffer;
        self.settle(slot);
    }

    fn read_into(&mut self, slot: usize, to_the_end: bool, buffer: &mut [u8]) {
        for _ in 0..READS {
            let Some(connection) = self.connections.get_mut(slot) else { return };
            connection.finished |= to_the_end;
            connection.unread = true;
            if is_held(connection, &mut self.floor, slot) {
                return;
            }
            match connection.socket.read(buffer) {
                Ok(0) => return self.finish(slot),
                Ok(count) => {
                    let emptied = count < buffer.len() && !connection.finished;
                    connection.unread = !emptied;
                    self.floor.take(slot, connection, &mut buffer[..count]);
                    if emptied {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.unread = false;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.drop_connection(slot),
            }
        }
        self.ready.push(slot);
    }

    /// The peer has said its last: what it is still owed goes out, then the connection ends.
    fn finish(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        connection.unread = false;
        connection.finished = true;
        match &mut connection.phase {
            Phase::Open(session, _) => {
                let gone = Disconnect::new(3000, "connection closed");
                session.end(&gone, &mut self.floor.turn(slot, connection.generation));
                self.floor.carry_out(slot, connection);
                connection.phase = Phase::Closing;
                connection.patience = self.floor.now.tick + 10;
                connection.partial = None;
                // The outbox may hold replies to what came just before the end; after them the socket closes.
                self.floor.outbox.send(slot as u32, bytes::Bytes::new());
            }
            Phase::Handshake(_) => self.drop_connection(slot),
            Phase::Closing if connection.shut => self.drop_connection(slot),
            Phase::Closing => self.floor.outbox.send(slot as u32, bytes::Bytes::new()),
        }
    }

    /// Takes up frames that had to wait, then the socket again.
    pub(crate) fn go_on(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.partial.is_some() {
            self.floor.take(slot, connection, &mut []);
        }
        if self.connections.get(slot).is_some_and(|connection| connection.unread) {
            self.ready.push(slot);
        }
    }
}

fn is_held(connection: &mut Connection, floor: &mut Floor, slot: usize) -> bool {
    let generation = connection.generation;
    let Phase::Open(session, _) = &connection.phase else { return false };
    match session.hold(&floor.turn(slot, generation)) {
        Hold::No => false,
        Hold::Until(tick) => {
            connection.held_until = tick;
            true
        }
        Hold::UntilAnswer => true,
    }
}

impl Floor {
    /// Takes bytes of a connection; what is not a whole frame is kept.
    pub(crate) fn take(&mut self, slot: usize, connection: &mut Connection, fresh: &mut [u8]) {
        match connection.partial.take() {
            None => {
                let used = self.frames(slot, connection, fresh, &mut 0);
                let rest = &fresh[used..];
                if !rest.is_empty() && !connection.is_closing() {
                    let bytes = rest.to_vec();
                    let scanned = self.scanned(slot, connection, bytes.len());
                    connection.partial = Some(Box::new(Partial { bytes, scanned }));
                }
            }
            Some(mut partial) => {
                partial.bytes.extend_from_slice(fresh);
                let Partial { bytes, scanned } = &mut *partial;
                let used = self.frames(slot, connection, bytes, scanned);
                partial.bytes.drain(..used);
                if !partial.bytes.is_empty() && !connection.is_closing() {
                    partial.scanned = self.scanned(slot, connection, partial.bytes.len());
                    partial.bytes.shrink_to(16 * 1024);
                    connection.partial = Some(partial);
                }
            }
        }
    }

    /// How much of what is kept is known to hold no end of a line: all of it, or nothing where whole lines had to wait.
    fn scanned(&mut self, slot: usize, connection: &mut Connection, length: usize) -> usize {
        if is_held(connection, self, slot) { 0 } else { length }
    }

    /// Handles all whole frames; returns how many bytes they were.
    fn frames(&mut self, slot: usize, connection: &mut Connection, bytes: &mut [u8], scanned: &mut usize) -> usize {
        let mut used = 0;
        loop {
            let rest = &mut bytes[used..];
            let step = match &connection.phase {
                Phase::Closing => return used + rest.len(),
                Phase::Handshake(_) => self.handshake(slot, connection, rest),
                Phase::Open(..) => {
                    if is_held(connection, self, slot) {
                        return used;
                    }
                    self.frame(slot, connection, rest, std::mem::take(scanned))
                }
            };
            if step == 0 {
                return used;
            }
            used += step;
        }
    }

    /// Handles one frame; returns its length, 0 if it is not whole.
    fn frame(&mut self, slot: usize, connection: &mut Connection, bytes: &mut [u8], scanned: usize) -> usize {
        let generation = connection.generation;
        let Phase::Open(session, websocket) = &mut connection.phase else { return 0 };
        let limit = session.endpoint().message_limit;
        let decoded = match session.endpoint().framing {
            Framing::Lines => Lines::decode(bytes, scanned, limit),
            Framing::WebSocket => websocket.decode(bytes, &Rules::plain(limit), None),
        };
        let mut turn = self.turn(slot, generation);
        let used = match decoded {
            Ok(Decoded { consumed, frame: None }) => return consumed,
            Ok(Decoded { consumed, frame: Some(frame) }) => {
                let answer = handle(session, &frame, &mut turn);
                if let Some(answer) = answer {
                    self.outbox.send(slot as u32, answer);
                }
                consumed
            }
            Err(error) => {
                let code = error.close_code();
                session.disconnect(Disconnect { code, reason: error.to_string().into() }, &mut turn);
                bytes.len()
            }
        };
        self.carry_out(slot, connection);
        used
    }

    /// Reads a request head; returns its length, 0 if it is not whole.
    fn handshake(&mut self, slot: usize, connection: &mut Connection, bytes: &[u8]) -> usize {
        let Phase::Handshake(handshake) = &connection.phase else { return 0 };
        let id = Uuid::new_v4();
        let (way, length) = match http::parse(bytes, HEAD_LIMIT) {
            Ok(None) => return 0,
            Ok(Some(head)) => (handshake.door.route(&head, handshake.remote, id.to_string()), head.length),
            Err(error) => (Way::Answer(http_door::malformed(&error)), bytes.len()),
        };
        let remote = handshake.remote;
        match way {
            Way::Answer(answer) => {
                self.outbox.send(slot as u32, answer.into());
                connection.phase = Phase::Closing;
                connection.patience = self.now.tick + 50;
                bytes.len()
            }
            Way::Upgrade(answer, endpoint, channel) => {
                self.outbox.send(slot as u32, answer.into());
                self.upgrade(slot, connection, &endpoint, (id, remote, channel));
                length
            }
        }
    }

    fn upgrade(
        &mut self,
        slot: usize,
        connection: &mut Connection,
        endpoint: &Arc<Endpoint>,
        who: (Uuid, std::net::SocketAddr, Option<Arc<str>>),
    ) {
        let (id, remote, channel) = who;
        let mut turn = self.turn(slot, connection.generation);
        let session = Session::open(endpoint, id, remote, channel, &mut turn);
        connection.phase = Phase::Open(Box::new(session), WebSocket::new());
        connection.patience = Tick::MAX;
        self.carry_out(slot, connection);
    }
}

/// Hands a frame to its session; returns what the framing itself answers.
fn handle(session: &mut Session, frame: &Frame<'_>, turn: &mut jackfield_session::Turn<'_>) -> Option<bytes::Bytes> {
    match frame {
        Frame::Text(payload) => session.receive(payload, true, turn),
        Frame::Binary(payload) => session.receive(payload, false, turn),
        Frame::Ping(payload) => return Some(WebSocket::pong(payload)),
        Frame::Pong(_) => session.pong_frame(),
        Frame::Close { code, .. } => {
            // RFC 6455 5.5.1: a Close is answered with its own code.
            let code = code.unwrap_or(1005);
            session.disconnect(Disconnect { code, reason: "".into() }, turn);
        }
    }
    None
}
