//! One client connection: handshake, joining, then messages to its role.

use std::{io::ErrorKind, mem};

use anyhow::{Context, bail};
use mio::event::Event;

use crate::{
    commands::Answer,
    inflate::Inflater,
    pipe::Pipe,
    stamp::Clock,
    swarm::Role,
    websocket::{self, CLOSE, Frame, PING, PONG, TEXT},
};

/// What a socket is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Closing,
    Connecting,
    Joined,
    Joining,
    Upgrading,
}

/// Whether a socket is still there after its turn.
#[derive(Debug)]
pub(crate) enum Fate {
    Gone(String),
    Stays,
}

/// What all sockets share during a turn of the loop.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) buffer: Vec<u8>,
    pub(crate) clock: Clock,
    pub(crate) request: Vec<u8>,
    /// There when compression is asked for.
    pub(crate) inflater: Option<Inflater>,
}

/// What the messages of one read share.
struct Moment<'a> {
    now: u64,
    inflater: Option<&'a mut Inflater>,
}

/// Invariant: an idle socket owns no buffer (but those of rustls, where there is TLS).
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) pipe: Pipe,
    pub(crate) phase: Phase,
    answers_pings: bool,
    replies_missing: u16,
    leftover: Option<Box<Leftover>>,
}

#[derive(Debug, Default)]
struct Leftover {
    received: Vec<u8>,
    unsent: Vec<u8>,
}

impl Socket {
    pub(crate) fn new(pipe: Pipe) -> Self {
        Self { pipe, phase: Phase::Connecting, answers_pings: false, replies_missing: 0, leftover: None }
    }

    pub(crate) fn send_text(&mut self, text: &[u8]) {
        let mut frame = Vec::with_capacity(text.len() + 14);
        websocket::encode(TEXT, text, &mut frame);
        self.write(&frame);
    }

    /// Says goodbye; the server closes the connection.
    pub(crate) fn close(&mut self) {
        let mut frame = Vec::with_capacity(8);
        websocket::encode(CLOSE, &1000_u16.to_be_bytes(), &mut frame);
        self.write(&frame);
        self.phase = Phase::Closing;
    }

    /// Writes finished frames; what the kernel does not take waits for the socket to be writable.
    /// An error shows itself at the next read.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(leftover) = &mut self.leftover
            && !leftover.unsent.is_empty()
        {
            leftover.unsent.extend_from_slice(bytes);
            return;
        }
        let taken = match self.pipe.write(bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return,
        };
        if taken < bytes.len() {
            let leftover = self.leftover.get_or_insert_default();
            leftover.unsent.extend_from_slice(&bytes[taken..]);
        }
    }

    /// Does what an event of the loop asks for.
    pub(crate) fn turn(
        &mut self,
        event: &Event,
        index: usize,
        scene: &mut Scene,
        role: &mut impl Role,
    ) -> anyhow::Result<Fate> {
        if self.phase == Phase::Connecting {
            if let Some(error) = self.pipe.stream.take_error()? {
                return Err(error).context("connect");
            }
            if !event.is_writable() {
                return Ok(Fate::Stays);
            }
            self.phase = Phase::Upgrading;
            self.write(&scene.request);
        } else if event.is_writable() {
            self.pipe.flush();
            if self.leftover.is_some() {
                self.flush();
            }
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            return self.drain(event.is_read_closed(), index, scene, role);
        }
        Ok(Fate::Stays)
    }

    fn flush(&mut self) {
        if let Some(leftover) = &mut self.leftover {
            let unsent = mem::take(&mut leftover.unsent);
            if leftover.received.is_empty() {
                self.leftover = None;
            }
            if !unsent.is_empty() {
                self.write(&unsent);
            }
        }
    }

    /// Reads all there is. Why stop at a short read: on an edge-triggered stream it means empty,
    /// and saves the second call of each delivery.
    fn drain(&mut self, ends: bool, index: usize, scene: &mut Scene, role: &mut impl Role) -> anyhow::Result<Fate> {
        loop {
            let size = match self.pipe.read(&mut scene.buffer) {
                Ok(0) => return Ok(Fate::Gone("the server closed the socket".to_owned())),
                Ok(size) => size,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Fate::Stays),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Fate::Gone(error.to_string())),
            };
            let mut moment = Moment { now: scene.clock.now(), inflater: scene.inflater.as_mut() };
            if let Fate::Gone(reason) = self.take(&scene.buffer[..size], index, &mut moment, role)? {
                return Ok(Fate::Gone(reason));
            }
            if size < scene.buffer.len() && !ends && self.pipe.is_empty_after_a_short_read() {
                return Ok(Fate::Stays);
            }
        }
    }

    fn take(
        &mut self,
        fresh: &[u8],
        index: usize,
        moment: &mut Moment<'_>,
        role: &mut impl Role,
    ) -> anyhow::Result<Fate> {
        let earlier = match &mut self.leftover {
            Some(leftover) => mem::take(&mut leftover.received),
            None => Vec::new(),
        };
        if earlier.is_empty() {
            let (used, fate) = self.consume(fresh, index, moment, role)?;
            if used < fresh.len() {
                self.leftover.get_or_insert_default().received = fresh[used..].to_vec();
            }
            return Ok(fate);
        }
        let mut whole = earlier;
        whole.extend_from_slice(fresh);
        let (used, fate) = self.consume(&whole, index, moment, role)?;
        whole.drain(..used);
        if !whole.is_empty() {
            self.leftover.get_or_insert_default().received = whole;
        } else if self.leftover.as_ref().is_some_and(|leftover| leftover.unsent.is_empty()) {
            self.leftover = None;
        }
        Ok(fate)
    }

    /// Handles the whole frames at the beginning and says how many bytes they were.
    fn consume(
        &mut self,
        bytes: &[u8],
        index: usize,
        moment: &mut Moment<'_>,
        role: &mut impl Role,
    ) -> anyhow::Result<(usize, Fate)> {
        let mut used = 0;
        if self.phase == Phase::Upgrading {
            let Some(head) = websocket::accepted(bytes, moment.inflater.is_some())? else {
                return Ok((0, Fate::Stays));
            };
            used = head;
            self.upgraded(index, role)?;
        }
        while let Some(frame) = websocket::decode(&bytes[used..])? {
            used += frame.length;
            if let Fate::Gone(reason) = self.frame(&frame, index, moment, role)? {
                return Ok((used, Fate::Gone(reason)));
            }
        }
        Ok((used, Fate::Stays))
    }

    fn upgraded(&mut self, index: usize, role: &mut impl Role) -> anyhow::Result<()> {
        match role.greeting(index)? {
            Some(greeting) => {
                self.phase = Phase::Joining;
                self.replies_missing = greeting.replies;
                self.send_text(greeting.text.as_bytes());
            }
            None => {
                self.phase = Phase::Joined;
                role.joined(self, index);
            }
        }
        Ok(())
    }

    #[inline]
    fn frame(
        &mut self,
        frame: &Frame<'_>,
        index: usize,
        moment: &mut Moment<'_>,
        role: &mut impl Role,
    ) -> anyhow::Result<Fate> {
        match frame.opcode {
            CLOSE => {
                if self.phase != Phase::Closing {
                    let mut answer = Vec::new();
                    websocket::encode(CLOSE, frame.payload, &mut answer);
                    self.write(&answer);
                }
                return Ok(Fate::Gone(websocket::close_reason(frame.payload)));
            }
            PING => {
                let mut pong = Vec::new();
                websocket::encode(PONG, frame.payload, &mut pong);
                self.write(&pong);
            }
            PONG => {}
            _ => {
                let payload = match (frame.compressed, &mut moment.inflater) {
                    (false, _) => frame.payload,
                    (true, Some(inflater)) => inflater.inflate(frame.payload)?,
                    (true, None) => bail!("read a compressed frame, which was not agreed on"),
                };
                let mut start = 0;
                for end in memchr::memchr_iter(b'\n', payload) {
                    self.message(&payload[start..end], index, moment.now, role)?;
                    start = end + 1;
                }
                self.message(&payload[start..], index, moment.now, role)?;
            }
        }
        Ok(Fate::Stays)
    }

    #[inline]
    fn message(&mut self, message: &[u8], index: usize, now: u64, role: &mut impl Role) -> anyhow::Result<()> {
        match self.phase {
            Phase::Joined if message == b"{}" => {
                if self.answers_pings {
                    self.send_text(b"{}");
                }
                role.pinged();
            }
            Phase::Joined => role.message(self, index, message, now),
            Phase::Joining if !message.is_empty() => self.reply(message, index, role)?,
            Phase::Closing | Phase::Joining => {}
            Phase::Connecting | Phase::Upgrading => bail!("read a frame before the handshake"),
        }
        Ok(())
    }

    fn reply(&mut self, message: &[u8], index: usize, role: &mut impl Role) -> anyhow::Result<()> {
        match Answer::read(message)? {
            Answer::Connected { pong } => {
                self.answers_pings = pong;
                self.replies_missing = self.replies_missing.saturating_sub(1);
            }
            Answer::Subscribed => self.replies_missing = self.replies_missing.saturating_sub(1),
            Answer::Other => {}
        }
        if self.replies_missing == 0 {
            self.phase = Phase::Joined;
            role.joined(self, index);
        }
        Ok(())
    }
}
