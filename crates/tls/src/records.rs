//! A connection after the handshake, reduced to its keys: records, alerts, and changes of the keys.

use rustls::crypto::cipher::{InboundPlainMessage, MessageDecrypter};
use rustls::kernel::KernelConnection;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::{
    AlertDescription, ContentType, Error, InvalidMessage, PeerMisbehaved, ProtocolVersion, SupportedCipherSuite,
};

use crate::plain::{Digested, Outcome, Plain};
use crate::scratch::Outgoing;
use crate::secret::Secret;

/// The header of a record: its type, a version that means nothing, and the length of the payload.
const HEADER: usize = 5;
/// The longest payload: that of TLS 1.2, whose compression nobody uses; the ciphers hold TLS 1.3 to its own limit.
const PAYLOAD: usize = 16 * 1024 + 2048;
/// In a row without data. The limits are those that rustls has.
const UPDATES: u8 = 32;
const EMPTY: u8 = 32;
const WARNINGS: u8 = 4;

const KEY_UPDATE: u8 = 24;
const CLIENT_HELLO: u8 = 1;

/// A connection after the handshake, reduced to its keys.
///
/// Why: rustls keeps what the handshake needed for as long as the connection lives, four times as much as this. It
/// offers to hand over keys and their changes to whoever does the records, which is meant for the kernel and serves
/// here as well. The ciphers, their nonces and their padding remain those of rustls.
pub(crate) struct Records {
    suite: SupportedCipherSuite,
    incoming: Secret,
    outgoing: Secret,
    /// Derives the next keys; TLS 1.2 has none.
    keys: Option<Box<KernelConnection<ServerConnectionData>>>,
    alpn: Option<Box<[u8]>>,
    is_resumed: bool,
    /// The peer has asked for new keys of ours and not got them.
    owes_update: bool,
    updates: u8,
    empty: u8,
    warnings: u8,
    has_refused_renegotiation: bool,
}

impl Records {
    /// Takes over from rustls, which has no more to say.
    pub(crate) fn take_over(session: UnbufferedServerConnection) -> Result<Self, Error> {
        let alpn = session.alpn_protocol().map(Box::from);
        let is_resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let (secrets, keys) = session.dangerous_into_kernel_connection()?;
        let suite = keys.negotiated_cipher_suite();
        let keys = matches!(suite, SupportedCipherSuite::Tls13(_)).then(|| Box::new(keys));
        Ok(Self {
            suite,
            incoming: Secret::new(secrets.rx)?,
            outgoing: Secret::new(secrets.tx)?,
            keys,
            alpn,
            is_resumed,
            owes_update: false,
            updates: 0,
            empty: 0,
            warnings: 0,
            has_refused_renegotiation: false,
        })
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.suite.version().version
    }

    /// Takes everything whole out of `input`.
    pub(crate) fn digest(&mut self, input: &mut [u8], plain: &mut Plain<'_>, outgoing: &mut Outgoing) -> Digested {
        let mut used = 0;
        let mut cipher = None;
        let outcome = loop {
            let (typ, length) = match header(&input[used..]) {
                Ok(Some(header)) => header,
                Ok(None) => break Outcome::More,
                Err(error) => break Outcome::Failed(error),
            };
            let Some(payload) = input.get_mut(used + HEADER..used + HEADER + length) else { break Outcome::More };
            used += HEADER + length;
            match self.receive(typ, payload, &mut cipher, plain, outgoing) {
                Ok(false) => {}
                Ok(true) => break Outcome::Ended,
                Err(error) => break Outcome::Failed(error),
            }
        };
        match &outcome {
            Outcome::More => return Digested { used, outcome },
            Outcome::Ended => {}
            Outcome::Failed(error) => self.complain(error, outgoing),
        }
        Digested { used: input.len(), outcome }
    }

    /// Encrypts `plain`, at most a record's worth.
    pub(crate) fn encrypt(&mut self, plain: &[u8], outgoing: &mut Outgoing) -> Result<(), Error> {
        if self.outgoing.is_worn(self.suite) {
            if self.keys.is_none() {
                return Err(Error::EncryptError);
            }
            self.owes_update = true;
        }
        self.settle(outgoing)?;
        self.say(ContentType::ApplicationData, plain, outgoing)
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn close(&mut self, outgoing: &mut Outgoing) -> Result<(), Error> {
        self.alert(1, AlertDescription::CloseNotify, outgoing)
    }

    /// Changes our keys, if the peer has asked for it.
    ///
    /// Why not at once: somebody who asks again and again and never reads would fill the memory.
    pub(crate) fn settle(&mut self, outgoing: &mut Outgoing) -> Result<(), Error> {
        if std::mem::take(&mut self.owes_update) {
            self.say(ContentType::Handshake, &[KEY_UPDATE, 0, 0, 1, 0], outgoing)?;
            if let Some(keys) = &mut self.keys {
                self.outgoing = Secret::new(keys.update_tx_secret()?)?;
            }
        }
        Ok(())
    }

    /// One record; true when it is the peer's last.
    fn receive(
        &mut self,
        typ: ContentType,
        payload: &mut [u8],
        cipher: &mut Option<Box<dyn MessageDecrypter>>,
        plain: &mut Plain<'_>,
        outgoing: &mut Outgoing,
    ) -> Result<bool, Error> {
        // In TLS 1.3 the true type is within; outside, everything that is encrypted looks like data.
        let is_plausible = match self.keys {
            Some(_) => typ == ContentType::ApplicationData,
            None => typ != ContentType::ChangeCipherSpec,
        };
        if !is_plausible {
            return Err(unexpected(typ));
        }
        let cipher_now = cipher.get_or_insert_with(|| self.incoming.decrypter(self.suite));
        let InboundPlainMessage { typ, payload, .. } = self.incoming.decrypt(cipher_now.as_mut(), typ, payload)?;
        if payload.is_empty() {
            self.empty += 1;
            if self.empty > EMPTY {
                return Err(PeerMisbehaved::TooManyEmptyFragments.into());
            }
        } else {
            self.empty = 0;
        }
        match typ {
            ContentType::ApplicationData => {
                self.updates = 0;
                plain.push(payload);
                Ok(false)
            }
            ContentType::Alert => self.heed(payload),
            ContentType::Handshake if self.keys.is_some() => {
                self.update(payload)?;
                *cipher = None;
                Ok(false)
            }
            ContentType::Handshake => self.refuse_renegotiation(payload, outgoing).map(|()| false),
            _ => Err(unexpected(typ)),
        }
    }

    /// An alert of the peer; true when it says farewell.
    fn heed(&mut self, payload: &[u8]) -> Result<bool, Error> {
        let &[level, description] = payload else { return Err(InvalidMessage::MissingData("AlertDescription").into()) };
        match (level, AlertDescription::from(description)) {
            (_, AlertDescription::CloseNotify) => Ok(true),
            (1, description) if self.keys.is_none() || description == AlertDescription::UserCanceled => {
                self.warnings += 1;
                if self.warnings > WARNINGS {
                    return Err(PeerMisbehaved::TooManyWarningAlertsReceived.into());
                }
                Ok(false)
            }
            (_, description) => Err(Error::AlertReceived(description)),
        }
    }

    /// A message of TLS 1.3 after the handshake. There is but one that a client may send, and it ends with its record,
    /// since the next one has another key.
    fn update(&mut self, payload: &[u8]) -> Result<(), Error> {
        let (&[KEY_UPDATE, 0, 0, 1, asked @ (0 | 1)], Some(keys)) = (payload, &mut self.keys) else {
            return Err(unexpected(ContentType::Handshake));
        };
        self.updates += 1;
        if self.updates > UPDATES {
            return Err(PeerMisbehaved::TooManyKeyUpdateRequests.into());
        }
        self.incoming = Secret::new(keys.update_rx_secret()?)?;
        self.owes_update |= asked == 1;
        Ok(())
    }

    /// TLS 1.2 may ask for another handshake, once.
    fn refuse_renegotiation(&mut self, payload: &[u8], outgoing: &mut Outgoing) -> Result<(), Error> {
        if payload.first() != Some(&CLIENT_HELLO) {
            return Err(unexpected(ContentType::Handshake));
        }
        if std::mem::replace(&mut self.has_refused_renegotiation, true) {
            return Err(PeerMisbehaved::TooManyRenegotiationRequests.into());
        }
        self.alert(1, AlertDescription::NoRenegotiation, outgoing)
    }

    /// The alert for a fault, unless the fault is an alert.
    fn complain(&mut self, error: &Error, outgoing: &mut Outgoing) {
        let description = match error {
            Error::AlertReceived(_) => return,
            Error::DecryptError => AlertDescription::BadRecordMac,
            Error::InvalidMessage(_) => AlertDescription::DecodeError,
            Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
            Error::InappropriateMessage { .. } | Error::PeerMisbehaved(_) => AlertDescription::UnexpectedMessage,
            _ => AlertDescription::InternalError,
        };
        // The connection ends either way.
        let _ = self.alert(2, description, outgoing);
    }

    fn alert(&mut self, level: u8, description: AlertDescription, outgoing: &mut Outgoing) -> Result<(), Error> {
        self.say(ContentType::Alert, &[level, description.into()], outgoing)
    }

    fn say(&mut self, typ: ContentType, payload: &[u8], outgoing: &mut Outgoing) -> Result<(), Error> {
        outgoing.push(self.outgoing.encrypt(self.suite, typ, payload)?);
        Ok(())
    }
}

/// Type and length of the record that begins here, once its header is there.
fn header(input: &[u8]) -> Result<Option<(ContentType, usize)>, Error> {
    let Some(&[typ, major, _, high, low]) = input.first_chunk::<HEADER>() else { return Ok(None) };
    let typ = ContentType::from(typ);
    if matches!(typ, ContentType::Unknown(_)) {
        return Err(InvalidMessage::InvalidContentType.into());
    }
    if major != 3 {
        return Err(InvalidMessage::UnknownProtocolVersion.into());
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > PAYLOAD {
        return Err(Error::PeerSentOversizedRecord);
    }
    Ok(Some((typ, length)))
}

fn unexpected(got_type: ContentType) -> Error {
    Error::InappropriateMessage { expect_types: vec![ContentType::ApplicationData], got_type }
}
