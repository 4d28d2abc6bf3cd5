//! One server, or one master of a cluster: a connection that asks and one that hears, made together and given up together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jackfield_cluster::{EngineError, Incoming};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value, cmd};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::clock::Clock;
use super::names::{Names, Topic};
use super::reply;
use super::scripts::Scripts;
use crate::redis::place::{Address, Place};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const REPLY_TIMEOUT: Duration = Duration::from_secs(3);
/// How long after a failure nothing is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// What all connections are made with.
pub(super) struct Plan {
    pub(super) place: Place,
    /// The same in RESP3.
    pub(super) hearing: Place,
    pub(super) names: Names,
    pub(super) scripts: Scripts,
    pub(super) incoming: mpsc::UnboundedSender<Incoming>,
}

/// Two connections that work.
pub(super) struct Live {
    generation: u64,
    asks: MultiplexedConnection,
    hears: MultiplexedConnection,
    /// What this server calls its history of writes. Another one: writes may be missing that were there.
    pub(super) life: String,
    /// Another life of the same server holds all that the one before has confirmed.
    pub(super) is_safe: bool,
    /// What time it is there.
    pub(super) clock: Clock,
}

#[derive(Default)]
struct State {
    made: u64,
    live: Option<Arc<Live>>,
    down: Option<(Instant, EngineError)>,
}

/// One server.
pub(super) struct Shard {
    pub(super) address: Option<Address>,
    index: usize,
    /// A part that lies here, for probes.
    partition: u16,
    state: Mutex<State>,
    connecting: tokio::sync::Mutex<()>,
}

impl Shard {
    pub(super) fn new(address: Option<Address>, index: usize, partition: u16) -> Self {
        Self { address, index, partition, state: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connections; made if there are none.
    pub(super) async fn live(self: &Arc<Self>, plan: &Arc<Plan>) -> Result<Arc<Live>, EngineError> {
        if let Some(known) = self.known() {
            return known;
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(known) = self.known() {
            return known;
        }
        let generation = {
            let mut state = self.lock();
            state.made += 1;
            state.made
        };
        let made = match tokio::time::timeout(CONNECT_TIMEOUT * 2, self.connect(plan, generation)).await {
            Ok(Ok(live)) => Ok(Arc::new(live)),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(EngineError::Unreachable("no connection in time".to_owned())),
        };
        let mut state = self.lock();
        match &made {
            Ok(live) => {
                state.live = Some(Arc::clone(live));
                state.down = None;
            }
            Err(error) => state.down = Some((Instant::now() + PAUSE, error.clone())),
        }
        made
    }

    fn known(&self) -> Option<Result<Arc<Live>, EngineError>> {
        let state = self.lock();
        if let Some(live) = &state.live {
            return Some(Ok(Arc::clone(live)));
        }
        let (until, error) = state.down.as_ref()?;
        (Instant::now() < *until).then(|| Err(error.clone()))
    }

    pub(super) fn is_live(&self) -> bool {
        self.lock().live.is_some()
    }

    async fn connect(self: &Arc<Self>, plan: &Arc<Plan>, generation: u64) -> RedisResult<Live> {
        let config = || {
            AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(REPLY_TIMEOUT))
        };
        let (me, with) = (Arc::downgrade(self), Arc::clone(plan));
        let push = move |push: PushInfo| -> Result<(), ()> {
            let Some(me) = me.upgrade() else { return Err(()) };
            if push.kind == PushKind::Disconnection {
                me.lost(&with, generation, "the connection that hears was lost");
            } else if let Some(incoming) = me.read(&with.names, push) {
                with.incoming.send(incoming).map_err(|_| ())?;
            }
            Ok(())
        };
        let hears = config().set_push_sender(push);
        let (mut asks, mut hears) = match &self.address {
            None => (plan.place.connect(&config()).await?, plan.hearing.connect(&hears).await?),
            Some(address) => (
                plan.place.at(address)?.get_multiplexed_async_connection_with_config(&config()).await?,
                plan.hearing.at(address)?.get_multiplexed_async_connection_with_config(&hears).await?,
            ),
        };
        let info: String = cmd("INFO").query_async(&mut asks).await?;
        let (life, is_safe) = life(&info, &mut asks).await;
        plan.scripts.load(&mut asks).await?;
        let mut subscribe = Pipeline::new();
        subscribe.cmd("SUBSCRIBE").arg(plan.names.notes(None)).cmd("SUBSCRIBE").arg(plan.names.own_notes());
        subscribe.add_command(self.subscription(&plan.names.probe(self.partition), true));
        hears.req_packed_commands(&subscribe, 0, 3).await?.into_iter().try_for_each(reply::fine)?;
        let clock = Clock::default();
        clock.set(&cmd("TIME").query_async(&mut asks).await.unwrap_or(Value::Nil));
        Ok(Live { generation, asks, hears, life, is_safe, clock })
    }

    /// What came, if it is ours.
    fn read(&self, names: &Names, push: PushInfo) -> Option<Incoming> {
        if !matches!(push.kind, PushKind::Message | PushKind::SMessage) {
            return None;
        }
        let mut data = push.data.into_iter();
        let (Some(Value::BulkString(topic)), Some(Value::BulkString(payload))) = (data.next(), data.next()) else {
            return None;
        };
        let topic = std::str::from_utf8(&topic).ok()?;
        match names.read(topic)? {
            Topic::Channel(channel) => {
                let (place, body) = reply::message(Bytes::from(payload))?;
                Some(Incoming::Publication { channel: channel.into(), place, body })
            }
            Topic::Note => Some(Incoming::Note(Bytes::from(payload))),
            Topic::Probe => {
                let token = std::str::from_utf8(&payload).ok()?.parse().ok()?;
                Some(Incoming::Probe { path: self.index, token })
            }
        }
    }

    /// Gives up these connections, unless there are newer ones.
    pub(super) fn lost(&self, plan: &Plan, generation: u64, reason: &str) {
        {
            let mut state = self.lock();
            if state.live.as_ref().is_none_or(|live| live.generation != generation) {
                return;
            }
            state.live = None;
        }
        // Who hears it ends with the engine.
        let _ = plan.incoming.send(Incoming::Interrupted(reason.to_owned()));
    }

    /// Gives them up, whatever they are.
    pub(super) fn reset(&self, plan: &Plan) {
        let generation = self.lock().live.as_ref().map(|live| live.generation);
        if let Some(generation) = generation {
            self.lost(plan, generation, "the connections were given up");
        }
    }

    /// Asks; a server that cannot serve now is as good as none.
    pub(super) async fn ask(&self, plan: &Plan, live: &Live, pipeline: &Pipeline) -> Result<Vec<Value>, EngineError> {
        self.exchange(plan, live, live.asks.clone(), pipeline).await
    }

    /// Begins or ends to hear topics.
    pub(super) async fn hear(&self, plan: &Plan, live: &Live, pipeline: &Pipeline) -> Result<Vec<Value>, EngineError> {
        self.exchange(plan, live, live.hears.clone(), pipeline).await
    }

    async fn exchange(
        &self,
        plan: &Plan,
        live: &Live,
        mut connection: MultiplexedConnection,
        pipeline: &Pipeline,
    ) -> Result<Vec<Value>, EngineError> {
        let replies = connection.req_packed_commands(pipeline, 0, pipeline.len());
        let error = match tokio::time::timeout(REPLY_TIMEOUT * 2, replies).await {
            Ok(Ok(replies)) => match replies.iter().filter_map(reply::error).find(is_loss) {
                None => return Ok(replies),
                Some(error) => EngineError::Unreachable(error.to_string()),
            },
            Ok(Err(error)) => EngineError::Unreachable(error.to_string()),
            Err(_) => EngineError::Unreachable("no reply in time".to_owned()),
        };
        self.lost(plan, live.generation, &error.to_string());
        Err(error)
    }

    /// SUBSCRIBE or UNSUBSCRIBE as this server takes it: sharded in a cluster.
    pub(super) fn subscription(&self, topic: &str, begins: bool) -> Cmd {
        let name = match (self.address.is_some(), begins) {
            (false, true) => "SUBSCRIBE",
            (false, false) => "UNSUBSCRIBE",
            (true, true) => "SSUBSCRIBE",
            (true, false) => "SUNSUBSCRIBE",
        };
        let mut command = cmd(name);
        command.arg(topic);
        command
    }

    /// PUBLISH as this server takes it.
    pub(super) fn publishes(&self) -> &'static str {
        if self.address.is_some() { "SPUBLISH" } else { "PUBLISH" }
    }

    /// Whether it has this number and this part for probes.
    pub(super) fn is(&self, index: usize, partition: u16) -> bool {
        self.index == index && self.partition == partition
    }

    pub(super) fn partition(&self) -> u16 {
        self.partition
    }
}

/// How a server names its life, and whether the life before has lost nothing that it confirmed.
///
/// A master that restarts, and a replica that takes over, gives its history a new name. Only one that writes each command
/// to the disk before it confirms it comes back with everything; a replica that takes over may always lack the last ones.
async fn life(info: &str, asks: &mut MultiplexedConnection) -> (String, bool) {
    let field = |name: &str| {
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(field, _)| *field == name).map_or("", |(_, value)| value.trim())
    };
    let life = field("master_replid").to_owned();
    let took_over = field("master_replid2").bytes().any(|letter| letter != b'0');
    let writes = field("aof_enabled") == "1" && !took_over;
    if !writes {
        return (life, false);
    }
    // A user may not be allowed to ask; then it is not known to be safe.
    let policy: RedisResult<Vec<String>> = cmd("CONFIG").arg("GET").arg("appendfsync").query_async(asks).await;
    (life, policy.is_ok_and(|policy| policy.get(1).is_some_and(|policy| policy == "always")))
}

/// Whether the server is none, or not the one that it should be.
fn is_loss(error: &RedisError) -> bool {
    matches!(
        error.code(),
        Some(
            "READONLY"
                | "LOADING"
                | "MASTERDOWN"
                | "CLUSTERDOWN"
                | "MOVED"
                | "ASK"
                | "TRYAGAIN"
                | "NOSCRIPT"
                | "UNBLOCKED"
        )
    ) || error.is_io_error()
}

/// What an error means. The texts come from the client or the server and hold no password.
pub(super) fn classify(error: &RedisError) -> EngineError {
    let text = error.to_string();
    match error.code() {
        Some("NOAUTH" | "WRONGPASS") => EngineError::Refused(format!("{text}; set user and password in the URL")),
        Some("NOPERM") => EngineError::Refused(format!(
            "{text}; the user needs +@scripting +@hash +@stream +@pubsub +@string +info on the keys and channels of the prefix"
        )),
        _ => EngineError::Unreachable(text),
    }
}
