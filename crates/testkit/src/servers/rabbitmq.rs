//! A private RabbitMQ node with a port mapper of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use super::{ServerControl, free_port, kill, spawn, wait_for};

/// The start script itself. Why: the one in the path insists on the system's user and folders.
const SCRIPT: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const CONTROL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
const PACKAGE: &str = "rabbitmq-server";
/// What a client says first, and the start of the frame that comes back.
const GREETING: &[u8] = b"AMQP\0\0\x09\x01";
const METHOD_FRAME: &[u8] = &[1, 0, 0];

/// A RabbitMQ server; killed when dropped.
#[derive(Debug)]
pub struct RabbitServer {
    folder: TempDir,
    port: u16,
    distribution_port: u16,
    mapper_port: u16,
    child: Option<Child>,
    mapper: Option<Child>,
}

impl RabbitServer {
    /// Starts one; it takes some seconds.
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
        let ports = [free_port(), free_port(), free_port()];
        let settings = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\nlog.console = false\nlog.file.level = warning\n\
             disk_free_limit.absolute = 1MB\nraft.wal_max_size_bytes = 16777216\n",
            ports[0]
        );
        std::fs::write(folder.path().join("rabbitmq.conf"), settings).expect("the settings");
        std::fs::write(folder.path().join("enabled_plugins"), "[].\n").expect("the plugins");
        Self { folder, port: ports[0], distribution_port: ports[1], mapper_port: ports[2], child: None, mapper: None }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// To count what its queues hold.
    #[must_use]
    pub fn counter(&self) -> RabbitCounter {
        let node = format!("test{}@localhost", self.port);
        let folder = self.folder.path().to_owned();
        RabbitCounter { folder, mapper_port: self.mapper_port, node }
    }

    /// Erlang nodes find each other through a mapper that would outlive the test if the node started it.
    fn start_mapper(&mut self) {
        if self.mapper.is_none() {
            let mut command = Command::new("epmd");
            command.arg("-port").arg(self.mapper_port.to_string()).args(["-address", "127.0.0.1"]);
            self.mapper = Some(spawn(&mut command, PACKAGE));
        }
    }
}

impl ServerControl for RabbitServer {
    fn stop(&mut self) {
        kill(&mut self.child);
    }

    fn start(&mut self) {
        self.start_mapper();
        let folder = self.folder.path();
        let script = if Path::new(SCRIPT).exists() { SCRIPT } else { PACKAGE };
        let mut command = Command::new(script);
        command
            // The process is the node itself then, so that it can be killed.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env("HOME", folder)
            .env("ERL_EPMD_PORT", self.mapper_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONF_ENV_FILE", folder.join("none"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq"))
            .env("RABBITMQ_DIST_PORT", self.distribution_port.to_string())
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
            .env("RABBITMQ_NODENAME", format!("test{}@localhost", self.port))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            .env_remove("NOTIFY_SOCKET");
        let mut child = spawn(&mut command, PACKAGE);
        wait_for(&mut child, self.port, GREETING, METHOD_FRAME);
        self.child = Some(child);
    }
}

/// Asks a server how many messages its queues hold, handed out or not; the number may be some seconds old.
///
/// The protocol itself tells only how many are ready.
#[derive(Clone, Debug)]
pub struct RabbitCounter {
    folder: PathBuf,
    mapper_port: u16,
    node: String,
}

impl RabbitCounter {
    /// The messages in all queues whose name starts like this; none where the server does not say.
    #[must_use]
    pub fn messages(&self, start: &str) -> Option<usize> {
        let output = Command::new(CONTROL)
            .env("HOME", &self.folder)
            .env("ERL_EPMD_PORT", self.mapper_port.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", self.folder.join("none"))
            .args(["-n", &self.node, "-q", "list_queues", "name", "messages", "--no-table-headers"])
            .output()
            .ok()?;
        let lines = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
        let mut sum = 0;
        for line in lines.lines() {
            let (name, messages) = line.split_once('\t')?;
            if name.starts_with(start) {
                sum += messages.trim().parse::<usize>().ok()?;
            }
        }
        Some(sum)
    }
}

impl Drop for RabbitServer {
    fn drop(&mut self) {
        self.stop();
        kill(&mut self.mapper);
    }
}
