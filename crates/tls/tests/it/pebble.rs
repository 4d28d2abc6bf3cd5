//! A certificate from a real ACME authority, where there is one.
//!
//! `JACKFIELD_PEBBLE=/path/to/pebble cargo test -p jackfield-tls pebble` runs it; pebble comes with
//! `go install github.com/letsencrypt/pebble/v2/cmd/pebble@latest`. Without the variable nothing is claimed.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use jackfield_tls::{Acme, AcmeOptions, Challenge, Keeper, Options, Scratch, Stream};
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{ClientConnection, StreamOwned};

use crate::authority::Authority;
use crate::wire::{Joined, calm, is_blocked};

/// A pebble with its own authority, which looks for names on `tls_port`.
struct Pebble {
    child: Child,
    port: u16,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Pebble {
    fn start(binary: &Path, authority: &Authority, tls_port: u16) -> Self {
        let port = free_port();
        let own = authority.issue("pebble", &["localhost"]);
        let config = format!(
            r#"{{"pebble": {{"listenAddress": "127.0.0.1:{port}", "managementListenAddress": "127.0.0.1:{}",
                "certificate": {:?}, "privateKey": {:?}, "httpPort": {}, "tlsPort": {tls_port},
                "ocspResponderURL": "", "externalAccountBindingRequired": false}}}}"#,
            free_port(),
            own.certificate,
            own.key,
            free_port(),
        );
        let path = authority.path("pebble.json");
        fs::write(&path, config).unwrap();
        let child = Command::new(binary)
            .args(["-config", path.to_str().unwrap()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pebble = Self { child, port };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::yield_now();
        }
        pebble
    }
}

/// A listener as a worker has one, with one connection at a time.
struct Door {
    address: std::net::SocketAddr,
    is_closed: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Door {
    fn open(listener: TcpListener, keeper: Arc<Keeper>) -> Self {
        let is_closed = Arc::new(AtomicBool::new(false));
        let address = listener.local_addr().unwrap();
        let closed = is_closed.clone();
        let thread = thread::spawn(move || {
            let mut scratch = Scratch::new();
            for socket in listener.incoming() {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut socket) = socket else { continue };
                let mut stream = Stream::accept(keeper.current()).unwrap();
                // The socket blocks, so there is only an end or an error.
                let mut out = [0; 256];
                while stream.read(&mut socket, &mut out, &mut scratch).is_ok_and(|length| length > 0) {}
                let _ = stream.close(&mut socket, &mut scratch);
            }
        });
        Self { address, is_closed, thread: Some(thread) }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The issuer of what is shown to a client, if anything is.
fn issuer(authority: &Authority, address: std::net::SocketAddr) -> Option<Vec<u8>> {
    let mut config = authority.trusted(&[&TLS13], None);
    config.dangerous().set_certificate_verifier(Arc::new(crate::keeper::Anything));
    let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(address).unwrap());
    stream.write_all(b"anyone?").ok()?;
    Some(stream.conn.peer_certificates()?.first()?.to_vec())
}

#[test]
fn pebble_gives_a_certificate_and_the_cache_keeps_it() {
    let Some(binary) = std::env::var_os("JACKFIELD_PEBBLE") else { return };
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let pebble = Pebble::start(Path::new(&binary), &authority, listener.local_addr().unwrap().port());
    let cache = authority.path("cache");
    let options = AcmeOptions {
        hosts: vec!["localhost".to_owned()],
        email: Some("ops@example.org".to_owned()),
        cache_dir: cache.clone(),
        directory_url: Some(format!("https://localhost:{}/dir", pebble.port)),
        directory_ca: Some(authority.file()),
        challenge: Challenge::Tls,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let acme = Acme::start(options.clone(), runtime.handle()).unwrap();
    let alpn = vec![b"http/1.1".to_vec()];
    let keeper = Keeper::open(Options { acme: Some(acme), alpn: alpn.clone(), ..Options::default() }).unwrap();
    let door = Door::open(listener, keeper);
    let obtained = loop {
        match issuer(&authority, door.address) {
            Some(certificate) => break certificate,
            None => thread::yield_now(),
        }
    };
    assert!(obtained.windows(9).any(|window| window == b"Pebble In"), "issued by somebody else");
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);

    // Without the authority, what is in the cache still serves.
    let stored = |kind: &str| {
        fs::read_dir(&cache).unwrap().any(|file| file.unwrap().file_name().to_str().unwrap().starts_with(kind))
    };
    while !(stored("cached_cert") && stored("cached_account")) {
        thread::yield_now();
    }
    drop((door, pebble));
    let acme = Acme::start(options, runtime.handle()).unwrap();
    let keeper = Keeper::open(Options { acme: Some(acme), alpn, ..Options::default() }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = Door::open(listener, keeper);
    let again = loop {
        match issuer(&authority, door.address) {
            Some(certificate) => break certificate,
            None => thread::yield_now(),
        }
    };
    assert_eq!(again, obtained);
}

#[test]
fn hosts_that_cannot_be_had_are_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let authority = Authority::new();
    let start = |hosts: &[&str]| {
        let options = AcmeOptions {
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            email: None,
            cache_dir: authority.path("acme"),
            directory_url: Some("https://localhost:1/dir".to_owned()),
            directory_ca: Some(authority.file()),
            challenge: Challenge::Http,
        };
        Acme::start(options, runtime.handle())
    };
    assert!(start(&[]).unwrap_err().to_string().contains("no hosts"));
    assert!(start(&["*.example.org"]).unwrap_err().to_string().contains("wildcard"));
    assert!(start(&["not a name"]).unwrap_err().to_string().contains("not a name"));
    assert_eq!(start(&["example.org"]).unwrap().http_challenge("nothing asked"), None);
}

#[test]
fn certificates_from_files_go_before_and_serve_while_none_is_obtained() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let authority = Authority::new();
    let options = AcmeOptions {
        hosts: vec!["localhost".to_owned()],
        email: None,
        cache_dir: authority.path("acme"),
        directory_url: Some("https://localhost:1/dir".to_owned()),
        directory_ca: Some(authority.file()),
        challenge: Challenge::Tls,
    };
    let acme = Acme::start(options, runtime.handle()).unwrap();
    let keeper = Keeper::open(Options { acme: Some(acme.clone()), ..authority.options() }).unwrap();
    Joined::new(&keeper, authority.trusted(&[&TLS13], None), calm(), calm()).shaken();
    // Nobody asks for a challenge that was not set: refused, not answered with another certificate.
    let mut config = authority.trusted(&[&TLS13], None);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let (server, _) = Joined::new(&keeper, config, calm(), calm()).shake();
    assert!(server.is_err() && !is_blocked(&server));
    // With no certificate at all the handshake fails, with an alert.
    let keeper = Keeper::open(Options { acme: Some(acme), ..Options::default() }).unwrap();
    let (server, client) = Joined::new(&keeper, authority.trusted(&[&TLS13], None), calm(), calm()).shake();
    assert!(server.is_err() && client.unwrap_err().to_string().contains("alert"));
}
