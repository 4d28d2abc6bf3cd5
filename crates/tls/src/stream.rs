//! The TLS records of one connection, on a socket that never blocks.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::mem;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use crate::acme::ALPN;
use crate::error::Error;
use crate::identity::Identity;
use crate::kept::{Kept, write_some};
use crate::negotiation::Negotiation;
use crate::plain::{Outcome, Plain};
use crate::records::Records;
use crate::scratch::{Outgoing, RECORD, Scratch};

/// The TLS records of one connection: reads and writes plaintext where the socket has ciphertext.
///
/// Invariant: an idle stream owns no buffer, and after the handshake no more than its keys. Ciphertext passes through the caller's [`Scratch`]; what is left of it (the
/// beginning of a record, or what the socket refused) is kept on the heap until it is complete or written.
pub struct Stream {
    layer: Layer,
    kept: Option<Box<Kept>>,
    identity: Option<Arc<Identity>>,
    phase: Phase,
    /// Whether we have said that we shall send no more.
    finished: bool,
}

/// How far reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshake,
    Open,
    /// The peer sends no more.
    Ended,
    /// Something came that TLS does not allow.
    Failed,
}

/// Who holds the state of the connection.
enum Layer {
    /// rustls, until the handshake is over.
    Negotiation(Negotiation),
    /// We, reduced to the keys.
    Records(Box<Records>),
    /// Nobody: rustls did not hand it over.
    Spent,
}

impl Stream {
    /// A connection that awaits its client's hello.
    ///
    /// # Errors
    /// The configuration cannot be used; one of a [`Keeper`](crate::Keeper) can.
    pub fn accept(config: Arc<ServerConfig>) -> Result<Self, Error> {
        if !config.enable_secret_extraction {
            return Err(Error::Options {
                fault: "the configuration keeps its keys to itself".to_owned(),
                remedy: "set enable_secret_extraction, as a keeper does",
            });
        }
        let session = Box::new(UnbufferedServerConnection::new(config)?);
        Ok(Self {
            layer: Layer::Negotiation(Negotiation(session)),
            kept: None,
            identity: None,
            phase: Phase::Handshake,
            finished: false,
        })
    }

    /// Takes ciphertext that was read before the stream existed; [`Self::read`] must follow.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.kept().ciphertext.extend_from_slice(bytes);
        }
    }

    /// Reads plaintext as from a socket that never blocks, and shakes hands along the way.
    ///
    /// `Ok(0)` means that the peer sends no more. A caller that is told of readiness once (edge-triggered) reads until
    /// `WouldBlock`. After a handshake failed, the alert is written before the error is returned.
    ///
    /// # Errors
    /// `WouldBlock` when more must come first; `InvalidData` for what TLS does not allow; `UnexpectedEof` when the peer
    /// left in the middle of the handshake; else what the socket says.
    pub fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        out: &mut [u8],
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        // A peer that has reset the connection may have sent something before: the next write tells of it.
        let _ = self.flush(socket);
        let taken = self.kept.as_mut().map_or(0, |kept| kept.plain.take(out));
        if taken > 0 || out.is_empty() {
            self.tidy();
            return Ok(taken);
        }
        if self.finished && self.phase != Phase::Failed {
            return self.discard(socket, scratch);
        }
        // Bytes that were fed have not been looked at; those kept by a read are known to be incomplete.
        let mut filled = self.load(scratch);
        let mut is_new = self.phase == Phase::Handshake && filled > 0;
        let mut plain = Plain::new(out);
        let outcome = loop {
            match self.phase {
                Phase::Ended => break Ok(()),
                Phase::Failed => break Err(self.failure()),
                Phase::Handshake | Phase::Open => {}
            }
            if !is_new {
                match self.pull(socket, &mut scratch.incoming[filled..]) {
                    Ok(more) => filled += more,
                    Err(error) => break Err(error),
                }
            }
            is_new = false;
            let used = self.digest(&mut scratch.incoming[..filled], &mut plain, &mut scratch.outgoing);
            scratch.incoming.copy_within(used..filled, 0);
            filled -= used;
            let sent = self.send(socket, &mut scratch.outgoing);
            if plain.filled > 0 {
                break Ok(());
            }
            match sent {
                Err(error) if self.phase != Phase::Failed => break Err(error),
                _ => {}
            }
        };
        self.store(&scratch.incoming[..filled], &plain.spilled);
        outcome.map(|()| plain.filled)
    }

    /// Writes plaintext as to a socket that never blocks, and answers how much of it was taken.
    ///
    /// What was taken is written, or kept until [`Self::flush`]; at most one record is kept.
    ///
    /// # Errors
    /// `WouldBlock` while earlier ciphertext is unwritten or the handshake is under way; `BrokenPipe` after
    /// [`Self::close`] or a failure; else what the socket says.
    pub fn write(
        &mut self,
        socket: &mut (impl Read + Write),
        plain: &[u8],
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        self.may_write(socket)?;
        let mut taken = 0;
        for record in plain.chunks(RECORD) {
            self.encrypt(Some(record), &mut scratch.outgoing)?;
            taken += record.len();
            if !self.send(socket, &mut scratch.outgoing)? {
                break;
            }
        }
        Ok(taken)
    }

    /// As [`Self::write`], for several pieces, at most a record's worth of them: small frames share one record.
    ///
    /// # Errors
    /// Those of [`Self::write`].
    pub fn write_vectored(
        &mut self,
        socket: &mut (impl Read + Write),
        pieces: &[IoSlice<'_>],
        scratch: &mut Scratch,
    ) -> io::Result<usize> {
        if let [piece] = pieces {
            return self.write(socket, piece, scratch);
        }
        let gathered = scratch.gather(pieces);
        let outcome = self.write(socket, &gathered, scratch);
        scratch.give_back(gathered);
        outcome
    }

    /// Writes the ciphertext that the socket refused; true when none is left.
    ///
    /// # Errors
    /// What the socket says.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<bool> {
        let Some(kept) = &mut self.kept else { return Ok(true) };
        let is_done = kept.refused.write_to(socket)?;
        self.tidy();
        Ok(is_done)
    }

    /// Tells the peer that nothing more will be sent. Harmless when done twice, and silent during the handshake.
    ///
    /// What the peer still sends is dropped: [`Self::read`] only waits for its end from here on.
    ///
    /// # Errors
    /// What the socket says. What it refuses is kept for [`Self::flush`].
    pub fn close(&mut self, socket: &mut (impl Read + Write), scratch: &mut Scratch) -> io::Result<()> {
        let is_silent = self.finished || self.phase == Phase::Handshake;
        self.finished = true;
        if !is_silent {
            self.encrypt(None, &mut scratch.outgoing)?;
            self.send(socket, &mut scratch.outgoing)?;
        }
        Ok(())
    }

    /// Whether the handshake is still under way.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.phase == Phase::Handshake
    }

    /// Whether ciphertext waits for the socket to take it.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.refused.is_empty())
    }

    /// Who the client is, if it has shown a certificate; known after the handshake.
    #[must_use]
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.clone()
    }

    /// The protocol agreed on within TLS.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.layer {
            Layer::Negotiation(negotiation) => negotiation.0.alpn_protocol(),
            Layer::Records(records) => records.alpn(),
            Layer::Spent => None,
        }
    }

    /// The version agreed on.
    #[must_use]
    pub fn version(&self) -> Option<ProtocolVersion> {
        match &self.layer {
            Layer::Negotiation(negotiation) => negotiation.0.protocol_version(),
            Layer::Records(records) => Some(records.version()),
            Layer::Spent => None,
        }
    }

    /// Whether the handshake was shortened by a ticket of an earlier connection.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        match &self.layer {
            Layer::Negotiation(negotiation) => negotiation.0.handshake_kind() == Some(HandshakeKind::Resumed),
            Layer::Records(records) => records.is_resumed(),
            Layer::Spent => false,
        }
    }

    /// Reads ciphertext behind what is there; notes the end.
    fn pull(&mut self, socket: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match socket.read(room) {
                Ok(0) if self.phase == Phase::Handshake => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the peer left during the TLS handshake"));
                }
                Ok(0) => {
                    self.phase = Phase::Ended;
                    return Ok(0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    /// Drops what still comes, until the end.
    fn discard(&mut self, socket: &mut impl Read, scratch: &mut Scratch) -> io::Result<usize> {
        while self.phase != Phase::Ended {
            self.pull(socket, scratch.begin(&[]))?;
        }
        Ok(0)
    }

    /// Takes everything whole out of `input` and answers how much of it is done with.
    fn digest(&mut self, input: &mut [u8], plain: &mut Plain<'_>, outgoing: &mut Outgoing) -> usize {
        let mut used = 0;
        loop {
            let is_flushed = self.is_flushed();
            let (digested, is_shaken) = match &mut self.layer {
                Layer::Negotiation(negotiation) => {
                    let digested = negotiation.digest(&mut input[used..], plain, outgoing);
                    (digested, self.phase == Phase::Handshake && negotiation.is_shaken())
                }
                Layer::Records(records) => {
                    let digested = records.digest(&mut input[used..], plain, outgoing);
                    // Without new keys nothing is sent any more, and then the next write tells so.
                    let _ = if is_flushed { records.settle(outgoing) } else { Ok(()) };
                    (digested, false)
                }
                Layer::Spent => return input.len(),
            };
            used += digested.used;
            match digested.outcome {
                Outcome::Failed(error) => self.fail(error),
                Outcome::Ended => {
                    self.greet();
                    self.phase = Phase::Ended;
                }
                Outcome::More if is_shaken => {
                    self.greet();
                    // What was sent along with the end of the handshake lies behind it.
                    continue;
                }
                Outcome::More => {}
            }
            return used;
        }
    }

    /// Notes the end of the handshake, and lets go of what only the handshake needs.
    fn greet(&mut self) {
        let Layer::Negotiation(negotiation) = &mut self.layer else { return };
        if self.phase != Phase::Handshake || !negotiation.is_shaken() {
            return;
        }
        let session = &negotiation.0;
        // The authority has seen the certificate that it asked for; nothing is ever said on such a connection.
        let is_challenge = session.alpn_protocol() == Some(ALPN);
        self.phase = if is_challenge { Phase::Ended } else { Phase::Open };
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        self.identity = certificate.map(|certificate| Arc::new(Identity::of(certificate)));
        if negotiation.is_portable() {
            self.reduce();
        }
    }

    /// Goes on with nothing but the keys.
    fn reduce(&mut self) {
        if let Layer::Negotiation(negotiation) = mem::replace(&mut self.layer, Layer::Spent) {
            match Records::take_over(*negotiation.0) {
                Ok(records) => self.layer = Layer::Records(Box::new(records)),
                Err(error) => self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: rustls::Error) {
        self.phase = Phase::Failed;
        self.finished = true;
        self.kept().failure = Some(error);
    }

    fn failure(&self) -> io::Error {
        match self.kept.as_ref().and_then(|kept| kept.failure.clone()) {
            Some(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            None => io::ErrorKind::InvalidData.into(),
        }
    }

    fn may_write(&mut self, socket: &mut impl Write) -> io::Result<()> {
        if self.finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.phase == Phase::Handshake || !self.flush(socket)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    }

    /// Encrypts `record`, or the end of all records, into `outgoing`.
    fn encrypt(&mut self, record: Option<&[u8]>, outgoing: &mut Outgoing) -> io::Result<()> {
        match &mut self.layer {
            Layer::Negotiation(negotiation) => {
                let incomplete = self.kept.as_mut().map_or(&mut [][..], |kept| &mut kept.ciphertext);
                negotiation.encrypt(record, incomplete, outgoing)
            }
            Layer::Records(records) => {
                let outcome = match record {
                    Some(record) => records.encrypt(record, outgoing),
                    None => records.close(outgoing),
                };
                outcome.map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))
            }
            Layer::Spent => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Writes `outgoing`; what the socket refuses is kept (false).
    fn send(&mut self, socket: &mut impl Write, outgoing: &mut Outgoing) -> io::Result<bool> {
        let mut rest = outgoing.as_slice();
        let mut outcome = Ok(());
        while self.is_flushed() && !rest.is_empty() {
            match write_some(socket, rest) {
                Ok(0) => break,
                Ok(written) => rest = &rest[written..],
                Err(error) => {
                    outcome = Err(error);
                    rest = &[];
                }
            }
        }
        if !rest.is_empty() {
            self.kept().refused.append(rest);
        }
        outgoing.clear();
        outcome.map(|()| self.is_flushed())
    }

    fn kept(&mut self) -> &mut Kept {
        self.kept.get_or_insert_default()
    }

    fn load(&mut self, scratch: &mut Scratch) -> usize {
        let ciphertext = self.kept.as_mut().map_or_else(Vec::new, |kept| mem::take(&mut kept.ciphertext));
        scratch.begin(&ciphertext);
        ciphertext.len()
    }

    fn store(&mut self, ciphertext: &[u8], spilled: &[u8]) {
        if !ciphertext.is_empty() {
            self.kept().ciphertext = ciphertext.to_vec();
        }
        if !spilled.is_empty() {
            self.kept().plain.append(spilled);
        }
        self.tidy();
    }

    /// Gives back what an idle connection has no use for.
    fn tidy(&mut self) {
        if self.kept.as_ref().is_some_and(|kept| kept.is_empty()) {
            self.kept = None;
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Stream")
            .field("phase", &self.phase)
            .field("is_idle", &self.kept.is_none())
            .finish_non_exhaustive()
    }
}
