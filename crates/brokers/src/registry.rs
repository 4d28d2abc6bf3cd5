//! Which drivers there are, what they are told, and how one is opened by name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jackfield_bridge::Queue;

use crate::redis::place::PlaceError;

/// What every driver is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Start of every name in the queue.
    pub prefix: String,
    /// Number of partitions; the same on both sides.
    pub partitions: u32,
    /// Id of this node, another one for each node and each start.
    pub node: String,
    /// Events that may wait in a partition before new ones are refused. With RabbitMQ and NATS it is an argument of the queues,
    /// so the application must be told the same number.
    pub max_backlog: u64,
    /// What a command may weigh; a driver fetches with an eye to it. The bridge refuses what is larger.
    pub max_payload_bytes: usize,
    /// Redis and NATS with TLS: a file of certificates (PEM) that a server is trusted by instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Embedded only: what the whole store may weigh.
    pub max_memory_bytes: usize,
    /// Embedded only: lets the port be opened for other machines, though it asks for no password.
    pub listen_beyond_loopback: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "jackfield".to_owned(),
            partitions: 8,
            node: "node".to_owned(),
            max_backlog: 100_000,
            max_payload_bytes: 1 << 20,
            ca_file: None,
            max_memory_bytes: 256 << 20,
            listen_beyond_loopback: false,
        }
    }
}

impl Options {
    /// Refuses what no driver can work with.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let word = |text: &str| {
            !text.is_empty()
                && text.len() <= 100
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !word(&self.prefix) {
            return Err(OpenError::Option { name: "prefix", right: "1 to 100 letters, digits, '.', '_', '-'" });
        }
        if !word(&self.node) {
            return Err(OpenError::Option { name: "node", right: "1 to 100 letters, digits, '.', '_', '-'" });
        }
        if !(1..=1024).contains(&self.partitions) {
            return Err(OpenError::Option { name: "partitions", right: "a number from 1 to 1024" });
        }
        if self.max_backlog == 0 || i64::try_from(self.max_backlog).is_err() {
            return Err(OpenError::Option { name: "max_backlog", right: "a number above 0" });
        }
        Ok(())
    }
}

/// Why a queue could not be opened: always a fault of the configuration, never a server that is down.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// The embedded queue asks for no password, so it stays on this machine.
    #[error(
        "{0} is not a loopback address; the embedded queue has no password, so other machines are let in only where the configuration says so"
    )]
    BeyondLoopback(SocketAddr),
    /// There is no such driver.
    #[error("no queue driver is called {0:?}; there are embedded, nats, rabbitmq, redis")]
    Driver(String),
    /// The port of the embedded queue is not to be had.
    #[error("cannot listen at {address}: {error}")]
    Listen {
        /// The port.
        address: SocketAddr,
        /// What the system said.
        error: String,
    },
    /// The embedded queue is in this process and has no URL.
    #[error("the embedded queue has no URL; it is opened with embedded::open")]
    NoServer,
    /// An option is out of its range.
    #[error("{name} must be {right}")]
    Option {
        /// The option.
        name: &'static str,
        /// What would be right.
        right: &'static str,
    },
    /// The URL is not one of a Redis.
    #[error("the redis queue: {0}")]
    Place(#[from] PlaceError),
    /// The URL is not one of the driver's. The text never repeats it, for it may hold a password.
    #[error("the URL of the {driver} queue {wrong}; right would be {right}")]
    Url {
        /// The driver.
        driver: &'static str,
        /// What is wrong.
        wrong: String,
        /// An example.
        right: &'static str,
    },
}

/// Opens a queue by the name of its driver. It does not wait for the server: a queue that is down now is found later.
pub fn open(driver: &str, url: &str, options: Options) -> Result<Arc<dyn Queue>, OpenError> {
    options.check()?;
    match driver {
        "embedded" => Err(OpenError::NoServer),
        "nats" => Ok(Arc::new(crate::nats::NatsQueue::open(url, options)?)),
        "rabbitmq" => Ok(Arc::new(crate::rabbitmq::RabbitQueue::open(url, options)?)),
        "redis" => Ok(Arc::new(crate::redis::RedisQueue::open(url, options)?)),
        other => Err(OpenError::Driver(other.to_owned())),
    }
}
