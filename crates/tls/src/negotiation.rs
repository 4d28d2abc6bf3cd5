//! A connection while rustls holds all of its state: the handshake, and what follows with a cipher of short keys.

use std::io;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{AlertDescription, SupportedCipherSuite};

use crate::plain::{Digested, Outcome, Plain};
use crate::scratch::Outgoing;

/// A connection while rustls holds all of its state.
pub(crate) struct Negotiation(pub(crate) Box<UnbufferedServerConnection>);

impl Negotiation {
    /// Takes everything whole out of `input`, or what comes up to the end of the handshake if [`Self::is_shaken`] then.
    pub(crate) fn digest(&mut self, input: &mut [u8], plain: &mut Plain<'_>, outgoing: &mut Outgoing) -> Digested {
        let mut used = 0;
        let was_shaking = self.0.is_handshaking();
        loop {
            let UnbufferedStatus { discard, state } = self.0.process_tls_records(&mut input[used..]);
            let mut is_done = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        plain.push(record.payload);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, outgoing),
                // The bytes lie in `outgoing`, which nothing but the socket takes from.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    return Digested { used: input.len(), outcome: Outcome::Ended };
                }
                Ok(_) => is_done = true,
                Err(error) => {
                    self.drain(outgoing);
                    self.complain(&error, outgoing);
                    return Digested { used: input.len(), outcome: Outcome::Failed(error) };
                }
            }
            used += discard;
            if is_done || (was_shaking && self.is_shaken()) {
                return Digested { used, outcome: Outcome::More };
            }
        }
    }

    /// Whether the handshake is over and all of it has been said.
    pub(crate) fn is_shaken(&self) -> bool {
        !self.0.is_handshaking() && !self.0.wants_write()
    }

    /// Whether the connection goes on with [`Records`](crate::records::Records), which know 256-bit keys only.
    pub(crate) fn is_portable(&self) -> bool {
        let length = match self.0.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls12(suite)) => suite.aead_alg.key_block_shape().enc_key_len,
            Some(SupportedCipherSuite::Tls13(suite)) => suite.aead_alg.key_len(),
            None => 0,
        };
        length == 32
    }

    /// Encrypts `record`, or the end of all records, into `outgoing`.
    ///
    /// The `incomplete` record goes along: rustls remembers how far it has looked into it.
    pub(crate) fn encrypt(
        &mut self,
        record: Option<&[u8]>,
        incomplete: &mut [u8],
        outgoing: &mut Outgoing,
    ) -> io::Result<()> {
        loop {
            match self.0.process_tls_records(incomplete).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let required = |error: &EncryptError| match error {
                        EncryptError::InsufficientSize(size) => Some(size.required_size),
                        EncryptError::EncryptExhausted => None,
                    };
                    let put = |room: &mut [u8]| match record {
                        Some(record) => traffic.encrypt(record, room),
                        None => traffic.queue_close_notify(room),
                    };
                    let outcome = outgoing.append(record.map_or(0, <[u8]>::len), put, required);
                    return outcome.map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error));
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, outgoing),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => {}
                Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }

    /// An alert for what was no TLS from the first record on, where rustls has none: nothing is encrypted yet.
    fn complain(&self, error: &rustls::Error, outgoing: &mut Outgoing) {
        let is_first = self.0.is_handshaking() && self.0.negotiated_cipher_suite().is_none();
        if !is_first || !outgoing.as_slice().is_empty() || matches!(error, rustls::Error::AlertReceived(_)) {
            return;
        }
        let description = match error {
            rustls::Error::InvalidMessage(_) => AlertDescription::DecodeError,
            rustls::Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
            _ => AlertDescription::UnexpectedMessage,
        };
        outgoing.push(vec![21, 3, 3, 0, 2, 2, description.into()]);
    }

    /// Moves the alerts that rustls has queued into `outgoing`.
    ///
    /// Why only while it has some: it hands them out before it looks at the input, which is absent here.
    fn drain(&mut self, outgoing: &mut Outgoing) {
        while self.0.wants_write() {
            match self.0.process_tls_records(&mut []).state {
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, outgoing),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => while traffic.next_record().is_some() {},
                _ => return,
            }
        }
    }
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, outgoing: &mut Outgoing) {
    let required = |error: &EncodeError| match error {
        EncodeError::InsufficientSize(size) => Some(size.required_size),
        EncodeError::AlreadyEncoded => None,
    };
    // The room is made to measure, and nothing is encoded twice: there is no other error.
    let _ = outgoing.append(0, |room| data.encode(room), required);
}
