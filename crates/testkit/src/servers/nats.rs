//! A private NATS server with JetStream.

use std::process::{Child, Command};

use tempfile::TempDir;

use super::{ServerControl, free_port, kill, signal, spawn, wait_for};

const PROGRAM: &str = "nats-server";

/// A NATS server; killed when dropped.
#[derive(Debug)]
pub struct NatsServer {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl NatsServer {
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
        let (folder, port) = (tempfile::tempdir().expect("a temporary folder"), free_port());
        Self { folder, port, child: None }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Stops its clock: connections stay, and nothing is answered until [`NatsServer::thaw`].
    pub fn freeze(&self) {
        signal(self.child.as_ref(), "-STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        signal(self.child.as_ref(), "-CONT");
    }
}

impl ServerControl for NatsServer {
    fn stop(&mut self) {
        kill(&mut self.child);
    }

    fn start(&mut self) {
        // Debian keeps it where only root looks.
        let sbin = "/usr/sbin/nats-server";
        let program = if std::path::Path::new(sbin).exists() { sbin } else { PROGRAM };
        let settings = self.folder.path().join("nats.conf");
        let text = format!(
            "listen: 127.0.0.1:{}\nmax_payload: 8MB\njetstream {{ store_dir: {:?}, max_file_store: 1GB }}\n",
            self.port,
            self.folder.path().join("store")
        );
        std::fs::write(&settings, text).expect("the settings");
        let mut child = spawn(Command::new(program).arg("-c").arg(settings), PROGRAM);
        wait_for(&mut child, self.port, b"", b"INFO ");
        self.child = Some(child);
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
    }
}
