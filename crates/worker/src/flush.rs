//! From the outbox to the socket: one write per connection and round.

use jackfield_hub::{Lane, Outbox};
use jackfield_model::Disconnect;
use jackfield_session::{Dialect, Tick};
use jackfield_tls::Scratch;

use crate::arrival::IDLE;
use crate::backlog::Backlog;
use crate::blocked::Blocked;
use crate::connection::Phase;
use crate::pipe::{Pipe, Written};
use crate::worker::Worker;

/// Bytes gathered into one write.
const CORK: usize = 64 * 1024;
/// Ticks that a socket may stay blocked.
const STALLED: Tick = 300;

impl Worker {
    /// Writes what the outbox holds for a connection.
    pub(crate) fn write(&mut self, slot: usize) {
        let lane = self.floor.outbox.take(slot as u32);
        let Some(connection) = self.connections.get_mut(slot) else { return };
        self.floor.answered.clear(slot);
        let was_sated = std::mem::take(&mut connection.is_sated);
        let outbox = &self.floor.outbox;
        if let Some(backlog) = &mut connection.backlog {
            backlog.extend(outbox.frames(lane), 0, self.floor.fine as u32);
            return self.watch(slot);
        }
        let written = match outbox.single(lane) {
            Some(frame) => connection.pipe.send(frame, &mut self.scratch),
            None => gather(&mut connection.pipe, outbox, lane, (&mut self.cork, &mut self.scratch)),
        };
        match written {
            Written::All if connection.is_closing() => self.say_goodbye(slot),
            Written::All if was_sated => {
                self.go_on(slot);
                self.settle(slot);
            }
            Written::All => {}
            Written::Part(bytes) => {
                let now = self.floor.fine as u32;
                let mut backlog = Backlog::new(self.floor.now.tick, now);
                if connection.is_closing() {
                    backlog.close();
                }
                backlog.extend(outbox.frames(lane), bytes, now);
                connection.backlog = Some(Box::new(backlog));
                connection.pipe.bear();
                connection.patience = connection.patience.min(self.floor.now.tick + STALLED);
                self.floor.outbox.block(slot as u32);
                self.blocked.add(slot, &self.floor);
                self.watch(slot);
                self.settle(slot);
            }
            Written::Dead => self.drop_connection(slot),
        }
    }

    /// Ends a connection whose backlog is too long, unless something in it may give way.
    fn watch(&mut self, slot: usize) {
        let limit = self.floor.plan.backlog_bytes;
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let Some(backlog) = &mut connection.backlog else { return };
        if !backlog.is_over(limit) {
            return;
        }
        backlog.give_way(limit);
        if !backlog.is_over(limit) {
            return;
        }
        if let Phase::Open(session, _) = &mut connection.phase
            // Of an echo nothing more is read meanwhile.
            && session.endpoint().dialect != Dialect::Echo
        {
            session.disconnect(Disconnect::SLOW, &mut self.floor.turn(slot, connection.generation));
            self.floor.carry_out(slot, connection);
            self.settle(slot);
        }
    }

    /// The socket takes bytes again.
    pub(crate) fn unblock(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        let Some(mut backlog) = connection.backlog.take() else {
            // Records of a handshake, or of an end, may have waited.
            if !connection.pipe.flush() {
                self.drop_connection(slot);
            }
            return;
        };
        let limit = self.floor.plan.backlog_bytes;
        let was_held = backlog.answers() > limit;
        loop {
            backlog.fill(&mut self.cork, CORK);
            match connection.pipe.send(&self.cork, &mut self.scratch) {
                Written::All => backlog.advance(self.cork.len(), self.floor.fine as u32),
                Written::Part(bytes) => {
                    backlog.advance(bytes, self.floor.fine as u32);
                    if bytes > 0 {
                        // It moves: patience begins anew.
                        backlog.since = self.floor.now.tick;
                        if !connection.is_closing() {
                            connection.patience = backlog.since + STALLED;
                        }
                    }
                    let is_held = backlog.answers() > limit;
                    connection.backlog = Some(backlog);
                    if was_held && !is_held {
                        self.go_on(slot);
                    }
                    return self.settle(slot);
                }
                Written::Dead => {
                    // It goes with its connection, or it would be counted for ever.
                    connection.backlog = Some(backlog);
                    return self.drop_connection(slot);
                }
            }
            if backlog.is_empty() {
                break;
            }
        }
        self.floor.outbox.unblock(slot as u32);
        Blocked::relieve(slot, &backlog, &self.floor);
        if connection.is_closing() {
            self.say_goodbye(slot);
        } else {
            connection.patience = match &mut connection.phase {
                Phase::Arriving(_) => self.floor.now.tick + IDLE,
                Phase::Open(session, _) => {
                    session.excuse(&self.floor.turn(slot, connection.generation));
                    Tick::MAX
                }
                _ => Tick::MAX,
            };
            // An echo may have waited for this.
            self.go_on(slot);
            self.settle(slot);
        }
    }

    /// Everything is out: our half of the connection ends, and the peer gets a moment to read it.
    ///
    /// Why not close at once: bytes of the peer that nobody read would turn the close into a reset, and the peer would
    /// lose our last words.
    fn say_goodbye(&mut self, slot: usize) {
        let Some(connection) = self.connections.get_mut(slot) else { return };
        if connection.finished && !connection.unread {
            // Under TLS the farewell of the peer is answered; whether it still hears that is its own affair.
            let _said = connection.pipe.shut(&mut self.scratch);
            return self.drop_connection(slot);
        }
        connection.shut = true;
        if connection.pipe.shut(&mut self.scratch).is_err() {
            return self.drop_connection(slot);
        }
        // Whatever the peer still says is read and forgotten until it closes too.
        self.ready.push(slot);
        self.settle(slot);
    }
}

/// Copies small frames together, so that they go out in one write.
fn gather(pipe: &mut Pipe, outbox: &Outbox, lane: Lane, room: (&mut Vec<u8>, &mut Scratch)) -> Written {
    let (cork, scratch) = room;
    let mut total = 0;
    cork.clear();
    let mut put = |bytes: &[u8]| match pipe.send(bytes, scratch) {
        Written::All => {
            total += bytes.len();
            None
        }
        Written::Part(count) => Some(Written::Part(total + count)),
        Written::Dead => Some(Written::Dead),
    };
    for frame in outbox.frames(lane) {
        let frame = &frame.bytes;
        if cork.len() + frame.len() > CORK {
            if let Some(stop) = put(cork) {
                return stop;
            }
            cork.clear();
        }
        if frame.len() > CORK {
            if let Some(stop) = put(frame) {
                return stop;
            }
        } else {
            cork.extend_from_slice(frame);
        }
    }
    put(cork).unwrap_or(Written::All)
}
