//! What `limit` does not speak, put in front of it: TLS, and compressed frames.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use flate2::{Compress, Compression, FlushCompress};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs, pki_types::PrivatePkcs8KeyDer};

/// Smaller messages stay as they are, as with a server's threshold.
const SMALLEST: usize = 100;
const TAKEN: &[u8] = b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
    client_no_context_takeover\r\n\r\n";
/// How long one direction is listened to before the other one has its turn.
const TURN: Duration = Duration::from_millis(1);

/// Its connections end with their clients, its listener with the process of the test.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    /// Where its counter of compressions is read.
    pub(crate) metrics: SocketAddr,
    pub(crate) handshakes: Arc<AtomicU64>,
}

/// What a front adds.
#[derive(Clone, Copy)]
pub(crate) struct Adds {
    pub(crate) tls: bool,
    pub(crate) deflate: bool,
}

impl Front {
    pub(crate) fn start(adds: Adds, behind: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (handshakes, compressed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let metrics = serve_metrics(compressed.clone());
        let (behind, count, config) = (behind.to_owned(), handshakes.clone(), certified());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&behind).expect("limit");
                server.set_nodelay(true).expect("no delay");
                client.set_nodelay(true).expect("no delay");
                client.set_read_timeout(Some(TURN)).expect("a timeout");
                let (config, count) = (config.clone(), count.clone());
                let deflater = adds.deflate.then(|| Deflater::new(compressed.clone()));
                std::thread::spawn(move || {
                    if adds.tls {
                        let tls = ServerConnection::new(config).expect("a session of TLS");
                        let client = StreamOwned::new(tls, client);
                        let end = between(client, server, deflater);
                        count.fetch_add(u64::from(end.conn.negotiated_cipher_suite().is_some()), Ordering::SeqCst);
                    } else {
                        between(client, server, deflater);
                    }
                });
            }
        });
        Self { address, metrics, handshakes }
    }
}

fn certified() -> Arc<ServerConfig> {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key.into())
        .expect("a key that fits");
    Arc::new(config)
}

/// Carries bytes in both directions until one side ends.
fn between<Client: Read + Write>(mut client: Client, mut server: TcpStream, mut deflater: Option<Deflater>) -> Client {
    server.set_read_timeout(Some(TURN)).expect("a timeout");
    let mut buffer = vec![0; 65_536];
    loop {
        match read(&mut client, &mut buffer) {
            Some(0) => return client,
            Some(size) => server.write_all(&buffer[..size]).expect("limit takes it"),
            None => {}
        }
        match read(&mut server, &mut buffer) {
            Some(0) => return client,
            Some(size) => {
                let out = match &mut deflater {
                    Some(deflater) => deflater.pass(&buffer[..size]),
                    None => buffer[..size].to_vec(),
                };
                if write(&mut client, &out).is_err() {
                    return client;
                }
            }
            None => {}
        }
    }
}

/// The timeout of the socket counts for the reads that a handshake does while it writes, too.
fn write(stream: &mut impl Write, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(size) => bytes = &bytes[size..],
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    stream.flush()
}

/// Nothing came; or so many bytes, none at the end.
fn read(stream: &mut impl Read, buffer: &mut [u8]) -> Option<usize> {
    match stream.read(buffer) {
        Ok(size) => Some(size),
        Err(error) if is_timeout(&error) => None,
        Err(_) => Some(0),
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// Compresses what one server sends to one client.
struct Deflater {
    waiting: Vec<u8>,
    upgraded: bool,
    compressed: Arc<AtomicU64>,
}

impl Deflater {
    fn new(compressed: Arc<AtomicU64>) -> Self {
        Self { waiting: Vec::new(), upgraded: false, compressed }
    }

    /// All whole frames of these bytes, and of those that waited for them.
    fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.waiting.extend_from_slice(bytes);
        let mut out = Vec::new();
        if !self.upgraded {
            let Some(end) = self.waiting.windows(4).position(|four| four == b"\r\n\r\n") else {
                return out;
            };
            out.extend(self.waiting.drain(..end + 2));
            out.extend_from_slice(TAKEN);
            self.waiting.drain(..2);
            self.upgraded = true;
        }
        while let Some((body, end)) = bounds(&self.waiting) {
            let frame: Vec<u8> = self.waiting.drain(..end).collect();
            let payload = &frame[body..];
            if frame[0] == 0x81 && payload.len() >= SMALLEST {
                self.compressed.fetch_add(1, Ordering::SeqCst);
                append(0xc1, &deflate(payload), &mut out);
            } else {
                out.extend_from_slice(&frame);
            }
        }
        out
    }
}

/// Where the payload of the first frame begins and ends.
fn bounds(bytes: &[u8]) -> Option<(usize, usize)> {
    let (body, size) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        size => (2, usize::from(size)),
    };
    (bytes.len() >= body + size).then_some((body, body + size))
}

fn append(first: u8, payload: &[u8], into: &mut Vec<u8>) {
    into.push(first);
    match u8::try_from(payload.len()) {
        Ok(size @ ..126) => into.push(size),
        _ => {
            into.push(126);
            into.extend_from_slice(&u16::try_from(payload.len()).expect("a message that shrinks").to_be_bytes());
        }
    }
    into.extend_from_slice(payload);
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(plain.len() + 64);
    let mut state = Compress::new(Compression::fast(), false);
    state.compress_vec(plain, &mut bytes, FlushCompress::Sync).expect("compress");
    bytes.truncate(bytes.len() - 4);
    bytes
}

fn serve_metrics(compressed: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let size = client.read(&mut request).expect("a request");
            let asked = request[..size].starts_with(b"GET /metrics HTTP/1.1\r\n");
            let status = if asked { "200 OK" } else { "404 Not Found" };
            let count = compressed.load(Ordering::SeqCst);
            let page =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\njackfield_deflated_frames_total {count}\n");
            client.write_all(page.as_bytes()).expect("the page is taken");
        }
    });
    address
}
