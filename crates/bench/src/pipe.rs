//! The bytes of a connection: a TCP stream, with TLS in front of it where asked for.

use std::{
    io::{Error, ErrorKind, Read, Result, Write},
    sync::Arc,
};

use anyhow::Context;
use mio::net::TcpStream;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// What all TLS connections of a run share.
#[derive(Clone, Debug)]
pub(crate) struct Secrecy {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Secrecy {
    /// `host` may have a port behind it.
    pub(crate) fn new(host: &str) -> anyhow::Result<Self> {
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare).trim_matches(['[', ']']);
        let name = ServerName::try_from(bare.to_owned()).with_context(|| format!("use {bare} as a TLS name"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let anyone = Arc::new(Anyone { provider: provider.clone() });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("choose the versions of TLS")?
            .dangerous()
            .with_custom_certificate_verifier(anyone)
            .with_no_client_auth();
        // Why: a resumed handshake is cheaper for the server, so figures would depend on luck.
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name })
    }
}

/// Takes every certificate: the generator measures a server and tells it no secrets.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Reads and writes plain bytes, however they travel.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) stream: TcpStream,
    secure: Option<Box<ClientConnection>>,
}

impl Pipe {
    pub(crate) fn new(stream: TcpStream, secrecy: Option<&Secrecy>) -> anyhow::Result<Self> {
        let secure = match secrecy {
            Some(Secrecy { config, name }) => {
                let mut tls = ClientConnection::new(config.clone(), name.clone()).context("begin TLS")?;
                // Why: what is written during the handshake has to wait in full.
                tls.set_buffer_limit(None);
                Some(Box::new(tls))
            }
            None => None,
        };
        Ok(Self { stream, secure })
    }

    /// On an edge-triggered stream a short read means that there is no more; records end where they end.
    #[inline]
    pub(crate) fn is_empty_after_a_short_read(&self) -> bool {
        self.secure.is_none()
    }

    #[inline]
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let Some(tls) = &mut self.secure else {
            return self.stream.read(buffer);
        };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A stream that ends without a goodbye of TLS ends like one of TCP.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                whole => return whole,
            }
            tls.read_tls(&mut self.stream)?;
            let state = tls.process_new_packets();
            // Also after a fault: the server shall read the alert.
            let sent = send(tls, &mut self.stream);
            state.map_err(|error| Error::new(ErrorKind::InvalidData, format!("TLS: {error}")))?;
            sent?;
        }
    }

    /// May take less than all when there is no TLS.
    #[inline]
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let Some(tls) = &mut self.secure else {
            return self.stream.write(bytes);
        };
        let taken = tls.writer().write(bytes)?;
        send(tls, &mut self.stream)?;
        Ok(taken)
    }

    /// Sends the records that the socket did not take earlier. An error shows itself at the next read.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if let Some(tls) = &mut self.secure {
            let _ = send(tls, &mut self.stream);
        }
    }
}

/// Writes records until there are none or the socket takes none.
fn send(tls: &mut ClientConnection, stream: &mut TcpStream) -> Result<()> {
    while tls.wants_write() {
        match tls.write_tls(stream) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
