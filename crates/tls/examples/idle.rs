//! What an idle TLS connection costs: a server process that measures itself, with its clients in another process.
//!
//! `cargo run --release -p jackfield-tls --example idle -- 2000 1.3` (connections, then 1.2 or 1.3).

#![expect(clippy::print_stdout, reason = "a measurement, not a part of the server")]

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use jackfield_tls::{CertificateFiles, Keeper, Options, Scratch, Stream};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["client", count, version, address, certificate] => {
            clients(count.parse()?, version, address.parse()?, Path::new(certificate))
        }
        [count, version] => measure(count.parse()?, version),
        _ => Err("usage: idle CONNECTIONS 1.2|1.3".into()),
    }
}

/// Bytes of this process in memory.
fn resident() -> Outcome<usize> {
    let pages: usize = fs::read_to_string("/proc/self/statm")?.split(' ').nth(1).ok_or("no statm")?.parse()?;
    Ok(pages * 4096)
}

fn measure(count: usize, version: &str) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let files = CertificateFiles { certificate: directory.path().join("c.pem"), key: directory.path().join("k.pem") };
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    fs::write(&files.certificate, issued.cert.pem())?;
    fs::write(&files.key, issued.signing_key.serialize_pem())?;
    let certificate = files.certificate.clone();
    let keeper = Keeper::open(Options { certificates: vec![files], ..Options::default() })?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["client", &(count + WARM).to_string(), version, &address, certificate.to_str().ok_or("no path")?])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut scratch = Scratch::new();
    let mut open: Vec<(TcpStream, Stream)> = Vec::with_capacity(count + WARM);
    let mut before = 0;
    for nth in 0..count + WARM {
        if nth == WARM {
            before = resident()?;
        }
        open.push(take(&listener, &keeper, &mut scratch)?);
    }
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    let after = resident()?;
    println!("{count} idle connections, TLS {version}: {} bytes each", (after - before) / count);
    println!("{} bytes of them are the handle of the stream", size_of::<Stream>());
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

/// Connections before the measurement, so that pages and caches of the process are not counted.
const WARM: usize = 200;

/// One connection, its handshake, and a word in both directions.
fn take(listener: &TcpListener, keeper: &Keeper, scratch: &mut Scratch) -> Outcome<(TcpStream, Stream)> {
    let (mut socket, _) = listener.accept()?;
    let mut stream = Stream::accept(keeper.current())?;
    let mut out = [0; 1024];
    assert_eq!(stream.read(&mut socket, &mut out, scratch)?, 5);
    assert_eq!(stream.write(&mut socket, b"hello", scratch)?, 5);
    socket.set_nonblocking(true)?;
    let outcome = stream.read(&mut socket, &mut out, scratch);
    assert!(outcome.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    Ok((socket, stream))
}

fn clients(count: usize, version: &str, address: SocketAddr, certificate: &Path) -> Outcome<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let versions: &[_] = if version == "1.2" { &[&TLS12] } else { &[&TLS13] };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let mut config = builder.with_protocol_versions(versions)?.with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    let config = Arc::new(config);
    let mut open = Vec::new();
    for _ in 0..count {
        let mut client = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
        let mut socket = TcpStream::connect(address)?;
        let mut stream = rustls::Stream::new(&mut client, &mut socket);
        stream.write_all(b"hello")?;
        stream.read_exact(&mut [0; 5])?;
        open.push(socket);
    }
    println!("all there");
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}
