//! Real servers for tests: private, on free loopback ports, with their files in a folder that goes with them.

mod certificates;
mod nats;
mod rabbitmq;
mod redis;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

pub use self::nats::NatsServer;
pub use self::rabbitmq::{RabbitCounter, RabbitServer};
pub use self::redis::{RedisCluster, RedisMember, RedisSentinels, RedisServer};

/// How long a server may take to answer; a busy machine is slow.
const START_DEADLINE: Duration = Duration::from_secs(90);
/// Pause between looks at a server that starts.
const LOOK: Duration = Duration::from_millis(20);

/// A server that a test can stop as a power cut would, and start again with what it had written.
pub trait ServerControl: Send {
    /// Kills it. Returns after it is gone.
    fn stop(&mut self);

    /// Starts it at the same port with the same files. Returns after it answers.
    fn start(&mut self);
}

/// A port of the loopback interface that was free a moment ago.
#[must_use]
pub fn free_port() -> u16 {
    // Below the ports that outgoing connections get, so that nobody takes it before the server binds it.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16;
    loop {
        let port = 10_000 + start.wrapping_add(NEXT.fetch_add(7, Ordering::Relaxed)).wrapping_mul(31) % 20_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Starts a program without input and output; a missing one fails the test with the name of its package.
fn spawn(command: &mut Command, package: &str) -> Child {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!(
            "cannot start {}: {error}; it is in the package {package} (apt-get install {package})",
            command.get_program().display()
        ),
    }
}

/// Ends a process for good.
fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Sends a signal to a running server.
fn signal(child: Option<&Child>, signal: &str) {
    let id = child.expect("a running server").id();
    let status = Command::new("kill").arg(signal).arg(id.to_string()).status();
    assert!(status.expect("kill").success());
}

/// Waits until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + START_DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(LOOK);
    }
}

/// Waits until something at the port replies to `greeting` with bytes that start with `reply`.
fn wait_for(child: &mut Child, port: u16, greeting: &[u8], reply: &[u8]) {
    let deadline = Instant::now() + START_DEADLINE;
    while !answers(port, greeting, reply) {
        if let Ok(Some(status)) = child.try_wait() {
            panic!("the server for port {port} ended while it started: {status}");
        }
        assert!(Instant::now() < deadline, "the server at port {port} does not answer");
        std::thread::sleep(LOOK);
    }
}

fn answers(port: u16, greeting: &[u8], reply: &[u8]) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, LOOK) else {
        return false;
    };
    let mut found = vec![0; reply.len()];
    stream.set_read_timeout(Some(Duration::from_secs(5))).is_ok()
        && stream.write_all(greeting).is_ok()
        && stream.read_exact(&mut found).is_ok()
        && found == reply
}
