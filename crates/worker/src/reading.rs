//! From the socket to the sessions: reads, frames, and what to do with a frame that is not whole.

use std::io;

use jackfield_framing::websocket::Rules;
use jackfield_framing::{Decoded, Frame, Lines, Varint, WebSocket};
use jackfield_model::Disconnect;
use jackfield_session::{Dialect, Framing, Hold, Session};

use crate::connection::{Connection, Partial, Phase};
use crate::floor::Floor;
use crate::worker::Worker;

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
            if connection.pipe.is_handshaking() {
                if self.handshakes == 0 {
                    break;
                }
                self.handshakes -= 1;
            }
            let was_plain = connection.pipe.tls.is_none();
            match connection.pipe.read(buffer, &mut self.scratch) {
                Ok(0) => return self.finish(slot),
                Ok(count) => {
                    // Records do not come in the sizes of our buffer, so under TLS only WouldBlock tells that all was read.
                    let emptied = count < buffer.len() && !connection.finished && was_plain;
                    connection.unread = !emptied;
                    self.floor.take(slot, connection, &mut buffer[..count]);
                    if matches!(connection.phase, Phase::Leaving(_)) {
                        return self.hand_over(slot);
                    }
                    // What was read may have been the hello of TLS, and the rest of the socket is for that.
                    if emptied && connection.pipe.tls.is_none() {
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.unread = false;
                    if matches!(connection.phase, Phase::Arriving(_)) && !connection.pipe.is_handshaking() {
                        // The handshake may be done, and a client of a plain listener need not say more to be in.
                        self.floor.take(slot, connection, &mut []);
                    }
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if connection.pipe.tls.is_some() && error.kind() == io::ErrorKind::InvalidData {
                        self.floor.plan.counters.tls_errors.add(1);
                        tracing::debug!(%error, "a TLS connection is closed");
                    }
                    return self.drop_connection(slot);
                }
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
            Phase::Arriving(_) => {
                // It may have sent requests before its end, whose answers are still in the outbox.
                connection.phase = Phase::Closing;
                connection.patience = self.floor.now.tick + 10;
                connection.partial = None;
                self.floor.outbox.send(slot as u32, bytes::Bytes::new());
            }
            Phase::Leaving(_) => self.drop_connection(slot),
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
        if self.connections.get(slot).is_some_and(|connection| matches!(connection.phase, Phase::Leaving(_))) {
            return self.hand_over(slot);
        }
        if self.connections.get(slot).is_some_and(|connection| connection.unread) {
            self.ready.push(slot);
        }
    }
}

fn is_held(connection: &mut Connection, floor: &mut Floor, slot: usize) -> bool {
    let generation = connection.generation;
    let session = match &connection.phase {
        Phase::Open(session, _) => session,
        // Who does not take the answers to its requests gets no further ones.
        Phase::Arriving(_) => return connection.backlog.is_some(),
        Phase::Closing | Phase::Leaving(_) => return false,
    };
    // Who does not take its echo is not read further, so that what waits for it is bounded by what it sent at once.
    if session.endpoint().dialect == Dialect::Echo && connection.backlog.is_some() {
        return true;
    }
    // Who does not take its answers may go on asking when it has; and so many as it may leave are made at once.
    let waiting = connection.backlog.as_ref().map_or(0, |backlog| backlog.answers());
    if waiting + floor.answered.of(slot) > floor.plan.backlog_bytes {
        connection.is_sated = true;
        return true;
    }
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
                Phase::Closing | Phase::Leaving(_) => return used + rest.len(),
                Phase::Arriving(_) if connection.backlog.is_some() => return used,
                Phase::Arriving(_) => self.arrive(slot, connection, rest),
                // Nothing can come in here; what comes all the same is nothing to us.
                Phase::Open(session, _) if session.endpoint().framing.is_downlink() => return used + rest.len(),
                Phase::Open(..) => {
                    if is_held(connection, self, slot) {
                        return used;
                    }
                    match self.frame(slot, connection, rest, std::mem::take(scanned)) {
                        0 => None,
                        length => Some(length),
                    }
                }
            };
            let Some(step) = step else { return used };
            used += step;
        }
    }

    /// Handles one frame; returns its length, 0 if it is not whole.
    fn frame(&mut self, slot: usize, connection: &mut Connection, bytes: &mut [u8], scanned: usize) -> usize {
        let generation = connection.generation;
        let Phase::Open(session, websocket) = &mut connection.phase else { return 0 };
        let endpoint = session.endpoint();
        let limit = endpoint.message_limit;
        let is_prefixed = endpoint.framing == Framing::Varint && endpoint.dialect == Dialect::CentrifugoProtobuf;
        // Borrowed apart from the rest of the floor, because a message may lie in it while its session works.
        let mut inflater = std::mem::take(&mut self.inflater);
        let decoded = match endpoint.framing {
            Framing::Lines => Lines::decode(bytes, scanned, limit),
            Framing::Measured(measured) => measured.decode(bytes, limit),
            Framing::Varint => Varint::decode(bytes, limit),
            Framing::WebSocket(window) => {
                let compression = &self.plan.compression;
                let rules = Rules {
                    message_limit: limit,
                    decompressed_limit: compression.decompressed_limit.max(limit),
                    ratio: compression.ratio_limit,
                };
                websocket.decode(bytes, &rules, window.map(|_| &mut inflater))
            }
            Framing::Sse | Framing::Stream => Ok(Decoded { consumed: bytes.len(), frame: None }),
        };
        let used = match decoded {
            Ok(Decoded { consumed, frame: None }) => consumed,
            // Protobuf reads the lengths itself, as it must in a WebSocket frame, which may hold several messages.
            Ok(Decoded { consumed, frame: Some(_) }) if is_prefixed => {
                session.receive(&bytes[..consumed], false, &mut self.turn(slot, generation));
                consumed
            }
            Ok(Decoded { consumed, frame: Some(frame) }) => {
                if let Some(answer) = handle(session, &frame, self, slot, generation) {
                    self.outbox.send(slot as u32, answer);
                }
                consumed
            }
            Err(error) => {
                let code = error.close_code();
                let disconnect = Disconnect { code, reason: error.to_string().into() };
                session.disconnect(disconnect, &mut self.turn(slot, generation));
                bytes.len()
            }
        };
        self.inflater = inflater;
        self.carry_out(slot, connection);
        used
    }
}

/// Hands a frame to its session; returns what the framing itself answers.
fn handle(
    session: &mut Session,
    frame: &Frame<'_>,
    floor: &mut Floor,
    slot: usize,
    generation: u32,
) -> Option<bytes::Bytes> {
    let is_text = matches!(frame, Frame::Text(_));
    match frame {
        Frame::Text(payload) | Frame::Binary(payload) => {
            session.receive(payload, is_text, &mut floor.turn(slot, generation));
            if session.endpoint().dialect == Dialect::Echo {
                return floor.wires.echo(session.encoding(), payload, is_text);
            }
        }
        Frame::Ping(payload) => return Some(WebSocket::pong(payload)),
        Frame::Pong(_) => session.pong_frame(),
        Frame::Close { code, .. } => {
            // RFC 6455 5.5.1: a Close is answered with its own code.
            let code = code.unwrap_or(1005);
            session.disconnect(Disconnect { code, reason: "".into() }, &mut floor.turn(slot, generation));
        }
    }
    None
}
