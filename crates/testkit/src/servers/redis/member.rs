//! One process of Redis, alone or with others: a store or a sentinel.

use std::process::{Child, Command};

use tempfile::TempDir;

use super::super::{ServerControl, free_port, kill, signal, spawn, wait_for};

const PROGRAM: &str = "redis-server";

/// One process; killed when dropped. What others tell it to be is in its settings file and outlives a restart.
#[derive(Debug)]
pub struct RedisMember {
    folder: TempDir,
    port: u16,
    /// The reply to a PING of somebody who did not say who he is.
    greeting: &'static [u8],
    sentinel: bool,
    child: Option<Child>,
}

impl RedisMember {
    /// A store with these lines beside its own; it does not run yet.
    pub(super) fn new(lines: &[&str]) -> Self {
        let own = ["save \"\"", "appendonly yes", "appendfsync always"];
        let greeting: &[u8] = if lines.contains(&"user default off") { b"-NOAUTH" } else { b"+PONG" };
        Self::with([&own, lines].concat(), greeting, false)
    }

    /// A sentinel; it does not run yet.
    pub(super) fn sentinel(lines: &[&str]) -> Self {
        Self::with(lines.to_vec(), b"+PONG", true)
    }

    fn with(lines: Vec<&str>, greeting: &'static [u8], sentinel: bool) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("a temporary folder"), free_port());
        let mut settings = format!("port {port}\nbind 127.0.0.1\ndir {}\n", folder.path().display());
        for line in lines {
            settings.push_str(line);
            settings.push('\n');
        }
        std::fs::write(folder.path().join("redis.conf"), settings).expect("the settings");
        Self { folder, port, greeting, sentinel, child: None }
    }

    /// Where it listens on the loopback interface.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it was started and not stopped.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Stops its clock: connections stay, and nothing is answered until [`RedisMember::thaw`].
    pub fn freeze(&self) {
        signal(self.child.as_ref(), "-STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        signal(self.child.as_ref(), "-CONT");
    }

    /// What `redis-cli` says to a request; none where nobody answers or the answer is an error.
    #[must_use]
    pub fn ask(&self, request: &[&str]) -> Option<String> {
        let mut command = Command::new("redis-cli");
        command.args(["-e", "-h", "127.0.0.1", "-p", &self.port.to_string()]).args(request);
        let output = command.output().expect("redis-cli; it is in the package redis-tools");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

impl ServerControl for RedisMember {
    fn stop(&mut self) {
        kill(&mut self.child);
    }

    fn start(&mut self) {
        let mut command = Command::new(PROGRAM);
        command.arg(self.folder.path().join("redis.conf"));
        if self.sentinel {
            command.arg("--sentinel");
        }
        let mut child = spawn(&mut command, PROGRAM);
        wait_for(&mut child, self.port, b"PING\r\n", self.greeting);
        self.child = Some(child);
    }
}

impl Drop for RedisMember {
    fn drop(&mut self) {
        self.stop();
    }
}
