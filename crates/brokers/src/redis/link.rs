//! One connection to Redis that comes back by itself; every wait on it has an end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jackfield_bridge::QueueError;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::place::{Address, Place};

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it may take where sentinels are asked first who the master is.
const FIND_TIMEOUT: Duration = Duration::from_secs(4);
/// How long a reply may take.
const REPLY_TIMEOUT: Duration = Duration::from_secs(4);
/// How long after a failure nothing is tried again. Why: while a server is down each call costs nothing, and callers
/// do not queue up behind attempts.
const PAUSE: Duration = Duration::from_millis(200);

enum State {
    Down { until: Instant, error: QueueError },
    New,
    Up { connection: MultiplexedConnection, generation: u64 },
}

/// A connection. Requests of several tasks share it, in the order in which they come.
pub(super) struct Link {
    place: Place,
    /// Which member, where the place is a cluster.
    member: Option<Address>,
    reply_timeout: Duration,
    made: AtomicU64,
    // Tokio's lock, because it is held while connecting: those who come meanwhile want the same.
    state: Mutex<State>,
}

impl Link {
    /// A link that connects with its first request. `wait` is what the server itself waits before it replies.
    pub(super) fn new(place: Place, member: Option<Address>, wait: Duration) -> Self {
        let reply_timeout = REPLY_TIMEOUT + wait;
        Self { place, member, reply_timeout, made: AtomicU64::new(0), state: Mutex::new(State::New) }
    }

    /// Sends requests together and returns the reply of each; those of a transaction lie in one array.
    ///
    /// An error means that nothing is known of them: they may have been done. The connection is given up then, because
    /// what else was sent over it cannot be told apart any more.
    pub(super) async fn run(&self, pipeline: &Pipeline) -> Result<Vec<Value>, QueueError> {
        let (mut connection, generation) = self.connection().await?;
        let (offset, count) = match (pipeline.is_transaction(), pipeline.len()) {
            (true, count) => (count + 1, 1),
            (false, count) => (0, count),
        };
        // The connection has this limit too; here it also covers the time until the request is written.
        let replies = connection.req_packed_commands(pipeline, offset, count);
        let error = match tokio::time::timeout(self.reply_timeout, replies).await {
            Ok(Ok(replies)) => return self.look(replies, generation).await,
            Ok(Err(error)) => classify(&error),
            Err(_) => QueueError::Unreachable("no reply in time".to_owned()),
        };
        self.give_up(generation, error.clone()).await;
        Err(error)
    }

    /// A server that cannot serve now, because it loads its data or is a replica, is as good as none.
    async fn look(&self, replies: Vec<Value>, generation: u64) -> Result<Vec<Value>, QueueError> {
        let lasting = replies.iter().filter(|reply| redirect(reply).is_none());
        let unreachable = lasting.filter_map(refusal).find(|error| matches!(error, QueueError::Unreachable(_)));
        match unreachable {
            None => Ok(replies),
            Some(error) => {
                self.give_up(generation, error.clone()).await;
                Err(error)
            }
        }
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), QueueError> {
        let mut state = self.state.lock().await;
        let generation = match &*state {
            State::Up { connection, generation } => return Ok((connection.clone(), *generation)),
            State::Down { until, error } if Instant::now() < *until => return Err(error.clone()),
            State::Down { .. } | State::New => self.made.fetch_add(1, Ordering::Relaxed),
        };
        // The client's own limit leaves the handshake out.
        let limit = if self.member.is_none() && self.place.is_found() { FIND_TIMEOUT } else { CONNECT_TIMEOUT };
        let error = match tokio::time::timeout(limit, self.connect()).await {
            Ok(Ok(connection)) => {
                *state = State::Up { connection: connection.clone(), generation };
                return Ok((connection, generation));
            }
            Ok(Err(error)) => classify(&error),
            Err(_) => QueueError::Unreachable("no connection in time".to_owned()),
        };
        *state = State::Down { until: Instant::now() + PAUSE, error: error.clone() };
        Err(error)
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(self.reply_timeout));
        match &self.member {
            None => self.place.connect(&config).await,
            Some(member) => self.place.at(member)?.get_multiplexed_async_connection_with_config(&config).await,
        }
    }

    async fn give_up(&self, of: u64, error: QueueError) {
        let mut state = self.state.lock().await;
        // Only the connection it happened on; another task may have made a new one already.
        if matches!(&*state, State::Up { generation, .. } if *generation == of) {
            *state = State::Down { until: Instant::now() + PAUSE, error };
        }
    }
}

/// What an error means to the caller. The texts come from the client or the server and hold no password.
pub(super) fn classify(error: &RedisError) -> QueueError {
    let text = error.to_string();
    if text.contains("invalid peer certificate") {
        let remedy = "name the file of the authority that signed it as app_link.ca_pem_file";
        return QueueError::Refused(format!("{text}; {remedy}"));
    }
    match (error.kind(), error.code()) {
        (_, Some("OOM")) => QueueError::Full(text),
        // Too few replicas follow, or the server has become one while it made us wait.
        (_, Some("NOREPLICAS" | "UNBLOCKED")) => QueueError::Unreachable(text),
        (ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig, _) => QueueError::Refused(text),
        (ErrorKind::Io, _) => QueueError::Unreachable(text),
        (
            ErrorKind::Server(
                ServerErrorKind::Ask
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::Moved
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::TryAgain,
            ),
            _,
        ) => QueueError::Unreachable(text),
        _ => QueueError::Refused(text),
    }
}

/// Where a key is, as a member of a cluster says that has it no more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Redirect {
    /// Only this once: the key is on its way.
    pub(super) is_passing: bool,
    /// None where the member did not say.
    pub(super) to: Option<Address>,
}

/// The redirection in a reply, if it is one.
pub(super) fn redirect(reply: &Value) -> Option<Redirect> {
    let Value::ServerError(error) = reply else { return None };
    let is_passing = match error.kind()? {
        ServerErrorKind::Ask => true,
        ServerErrorKind::Moved => false,
        _ => return None,
    };
    let place = error.details().and_then(|details| details.split_whitespace().nth(1));
    let to = place.and_then(|place| place.rsplit_once(':')).and_then(|(host, port)| {
        let port = port.parse().ok()?;
        (!host.is_empty() && host != "?").then(|| Address { host: host.to_owned(), port })
    });
    Some(Redirect { is_passing, to })
}

/// The error of a reply, if it is one or holds one.
pub(super) fn refusal(reply: &Value) -> Option<QueueError> {
    match reply {
        Value::ServerError(error) => Some(classify(&RedisError::from(error.clone()))),
        Value::Array(replies) => replies.iter().find_map(refusal),
        _ => None,
    }
}
