//! A private Redis that writes each change to disk before it answers.

use std::process::{Child, Command};

use tempfile::TempDir;

use super::{ServerControl, free_port, kill, spawn, wait_for};

/// A Redis server; killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts one.
    #[must_use]
    pub fn started() -> Self {
        let mut server = Self::stopped();
        server.start();
        server
    }

    /// One that is not running yet; its URL is known already.
    #[must_use]
    pub fn stopped() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, port: free_port(), child: None }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Stops its clock: connections stay, and nothing is answered until [`RedisServer::thaw`].
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("a running server").id();
        let status = Command::new("kill").arg(signal).arg(id.to_string()).status();
        assert!(status.expect("kill").success());
    }
}

impl ServerControl for RedisServer {
    fn stop(&mut self) {
        kill(&mut self.child);
    }

    fn start(&mut self) {
        let mut command = Command::new("redis-server");
        command.arg("--port").arg(self.port.to_string()).arg("--dir").arg(self.folder.path());
        command.args(["--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        let mut child = spawn(&mut command, "redis-server");
        wait_for(&mut child, self.port, b"PING\r\n", b"+PONG");
        self.child = Some(child);
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
