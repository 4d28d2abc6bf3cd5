//! The queue without any server: a store in this process, and a loopback port that speaks Redis' protocol to the app.

mod command;
mod connection;
mod depth;
mod key_commands;
mod loan_commands;
mod queue;
mod resp;
mod server;
mod store;
mod stream;
mod stream_commands;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use jackfield_model::Millis;
use tokio::sync::Notify;

pub use self::queue::EmbeddedQueue;
pub use self::server::Listener;
use self::store::Store;
use crate::registry::{OpenError, Options};

/// Opens the embedded queue and, where `listen` says so, its port.
///
/// The queue is of use at once; the port is served while the future of [`Listener::run`] is polled.
/// Nothing is kept beyond this process: what nobody has read when it ends is gone.
pub fn open(options: Options, listen: Option<SocketAddr>) -> Result<(Arc<EmbeddedQueue>, Option<Listener>), OpenError> {
    options.check()?;
    if let Some(address) = listen
        && !address.ip().is_loopback()
        && !options.listen_beyond_loopback
    {
        return Err(OpenError::BeyondLoopback(address));
    }
    let shared = Arc::new(Shared { store: Mutex::new(Store::new(options.max_memory_bytes)), changed: Notify::new() });
    let listener = match listen {
        None => None,
        Some(address) => Some(
            Listener::bind(Arc::clone(&shared), address)
                .map_err(|error| OpenError::Listen { address, error: error.to_string() })?,
        ),
    };
    let address = listener.as_ref().map(Listener::address);
    Ok((Arc::new(EmbeddedQueue::new(shared, options, address)), listener))
}

/// The store under its one lock, and the bell that rings when something was added.
#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    changed: Notify,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        // Why: a panic of one client must not take the queue from all others.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Wakes who waits, after a request that may have added something.
    fn changed_by(&self, parts: &[Bytes]) {
        let adds = ["xadd", "rpush", "exec", "xgroup"];
        if let Some(name) = parts.first()
            && adds.iter().any(|command| name.eq_ignore_ascii_case(command.as_bytes()))
        {
            self.changed.notify_waiters();
        }
    }
}
