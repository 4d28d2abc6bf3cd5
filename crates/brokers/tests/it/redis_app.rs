//! The web application's end of a queue that speaks Redis' protocol, with a stock client.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_testkit::queue_contract::{AppSide, Fields, SentCommand};
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisResult, Value, cmd};

use tokio::sync::OnceCell;

/// Where the application finds Redis; it may be elsewhere each time.
type Find = Box<dyn Fn() -> Option<Client> + Send + Sync>;

enum Servers {
    /// Its client finds members again by itself, and is slow to start.
    Cluster(Vec<String>, OnceCell<ClusterConnection>),
    One(Find),
}

/// A connection of a stock client.
pub(crate) enum Connection {
    Cluster(ClusterConnection),
    One(MultiplexedConnection),
}

impl Connection {
    pub(crate) async fn ask<T: FromRedisValue>(&mut self, request: &Cmd) -> RedisResult<T> {
        match self {
            Self::Cluster(connection) => request.query_async(connection).await,
            Self::One(connection) => request.query_async(connection).await,
        }
    }

    async fn run(&mut self, pipeline: &Pipeline) {
        let done = match self {
            Self::Cluster(connection) => pipeline.exec_async(connection).await,
            Self::One(connection) => pipeline.exec_async(connection).await,
        };
        done.unwrap();
    }
}

/// Connects anew with each use, so that a server may go and come.
pub(crate) struct RedisApp {
    servers: Servers,
    prefix: String,
    asked: String,
}

impl RedisApp {
    pub(crate) fn new(url: &str, prefix: &str) -> Self {
        let client = Client::open(url).unwrap();
        Self::found(Box::new(move || Some(client.clone())), prefix)
    }

    /// One that asks each time where Redis is.
    pub(crate) fn found(find: Find, prefix: &str) -> Self {
        Self { servers: Servers::One(find), prefix: prefix.to_owned(), asked: String::new() }
    }

    /// One of a cluster.
    pub(crate) fn cluster(seeds: Vec<String>, prefix: &str) -> Self {
        Self { servers: Servers::Cluster(seeds, OnceCell::new()), prefix: prefix.to_owned(), asked: String::new() }
    }

    pub(crate) async fn connection(&self) -> Connection {
        let timeout = Duration::from_secs(20);
        match &self.servers {
            Servers::Cluster(seeds, kept) => {
                let builder = ClusterClientBuilder::new(seeds.clone());
                let client = builder.connection_timeout(timeout).response_timeout(timeout).build().unwrap();
                let connecting = async || client.get_async_connection().await.unwrap();
                Connection::Cluster(kept.get_or_init(connecting).await.clone())
            }
            Servers::One(find) => {
                let config = AsyncConnectionConfig::new();
                let config = config.set_connection_timeout(Some(timeout)).set_response_timeout(Some(timeout));
                let client = find().unwrap();
                Connection::One(client.get_multiplexed_async_connection_with_config(&config).await.unwrap())
            }
        }
    }

    fn key(&self, partition: u32, what: &str) -> String {
        format!("{{{}:{partition}}}:{what}", self.prefix)
    }

    fn add(&self, command: &SentCommand) -> Cmd {
        let mut add = cmd("XADD");
        add.arg(self.key(command.partition, "commands")).arg("MAXLEN").arg("~").arg(1_000_000);
        add.arg("*").arg("v").arg("1").arg("id").arg(&command.id);
        add.arg("method").arg(&command.method).arg("payload").arg(command.payload.as_ref());
        add
    }
}

#[async_trait]
impl AppSide for RedisApp {
    async fn send(&mut self, commands: &[SentCommand]) {
        let mut connection = self.connection().await;
        let is_cluster = matches!(connection, Connection::Cluster(_));
        // The cluster's client takes a pipeline only where all of it goes to one slot.
        for part in commands.chunks(if is_cluster { 1 } else { 100 }) {
            let mut pipeline = Pipeline::new();
            for command in part {
                pipeline.add_command(self.add(command));
            }
            connection.run(&pipeline).await;
        }
    }

    async fn ask(&mut self, command: &SentCommand) {
        self.asked = format!("{{{}}}:replies:{}", self.prefix, command.id);
        let mut add = self.add(command);
        add.arg("reply_to").arg(&self.asked);
        self.connection().await.ask::<Value>(&add).await.unwrap();
    }

    async fn reply(&mut self) -> Bytes {
        let mut connection = self.connection().await;
        let life: i64 = connection.ask(cmd("PTTL").arg(&self.asked)).await.unwrap();
        assert!((1..=60_000).contains(&life), "{life}");
        let pop = cmd("BLPOP").arg(&self.asked).arg(5).to_owned();
        let (_, body): (String, Vec<u8>) = connection.ask(&pop).await.unwrap();
        body.into()
    }

    async fn events(&mut self, count: usize) -> Vec<Fields> {
        let mut connection = self.connection().await;
        let keys: Vec<String> = (0..8).map(|partition| self.key(partition, "events")).collect();
        for key in &keys {
            let create = cmd("XGROUP").arg("CREATE").arg(key).arg("app").arg("0").arg("MKSTREAM").to_owned();
            // It is there already after the first time.
            let _ = connection.ask::<Value>(&create).await;
        }
        let mut events = Vec::new();
        let (together, wait) = if matches!(connection, Connection::Cluster(_)) { (1, 10) } else { (8, 500) };
        for keys in keys.chunks(together).cycle() {
            if events.len() >= count {
                break;
            }
            let mut read = cmd("XREADGROUP");
            read.arg("GROUP").arg("app").arg("worker").arg("COUNT").arg((count - events.len()).min(10));
            read.arg("BLOCK").arg(wait).arg("STREAMS").arg(keys).arg(vec![">"; keys.len()]);
            let reply: Value = connection.ask(&read).await.unwrap();
            let mut settle = Pipeline::new();
            for stream in parts(reply) {
                let mut stream = parts(stream).into_iter();
                let key = bytes(stream.next().unwrap());
                for entry in parts(stream.next().unwrap()) {
                    let mut entry = parts(entry).into_iter();
                    let id = bytes(entry.next().unwrap());
                    events.push(fields(entry.next().unwrap()));
                    settle.cmd("XACK").arg(&key).arg("app").arg(&id);
                    settle.cmd("XDEL").arg(&key).arg(&id);
                }
            }
            if !settle.is_empty() {
                connection.run(&settle).await;
            }
        }
        events
    }

    async fn answer(&mut self, call: &Fields, body: &str) {
        let push = cmd("RPUSH").arg(&call["reply_to"]).arg(body).to_owned();
        self.connection().await.ask::<Value>(&push).await.unwrap();
    }

    async fn dead(&mut self, count: usize) -> Vec<Fields> {
        let mut connection = self.connection().await;
        let mut letters = Vec::new();
        loop {
            for partition in 0..8 {
                let range = cmd("XRANGE").arg(self.key(partition, "dead")).arg("-").arg("+").to_owned();
                let reply: Value = connection.ask(&range).await.unwrap();
                letters.extend(parts(reply).into_iter().map(|entry| fields(parts(entry).remove(1))));
            }
            if letters.len() >= count {
                return letters;
            }
            letters.clear();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn bury_event(&mut self, event: &[(&str, &str)], reason: &str) {
        let mut add = cmd("XADD");
        add.arg(self.key(5, "dead:app")).arg("*").arg("reason").arg(reason);
        for (name, value) in event {
            add.arg(name).arg(value);
        }
        self.connection().await.ask::<Value>(&add).await.unwrap();
    }

    async fn commands_left(&mut self) -> usize {
        let (mut connection, mut sum) = (self.connection().await, 0);
        for partition in 0..8 {
            let length = cmd("XLEN").arg(self.key(partition, "commands")).to_owned();
            sum += connection.ask::<usize>(&length).await.unwrap();
        }
        sum
    }
}

fn parts(value: Value) -> Vec<Value> {
    match value {
        Value::Array(parts) => parts,
        Value::Nil => Vec::new(),
        other => panic!("{other:?} is no array"),
    }
}

fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        other => panic!("{other:?} is no string"),
    }
}

fn fields(value: Value) -> Fields {
    let strings: Vec<Vec<u8>> = parts(value).into_iter().map(bytes).collect();
    let name = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
    strings.chunks_exact(2).map(|pair| (name(&pair[0]), pair[1].clone())).collect()
}
