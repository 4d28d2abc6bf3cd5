//! The web application's end of a queue that speaks Redis' protocol, with a stock client.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_testkit::queue_contract::{AppSide, Fields, SentCommand};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, Value, cmd};

/// Connects anew with each use, so that a server may go and come.
pub(crate) struct RedisApp {
    client: Client,
    prefix: String,
    asked: String,
}

impl RedisApp {
    pub(crate) fn new(url: &str, prefix: &str) -> Self {
        let client = Client::open(url).unwrap();
        Self { client, prefix: prefix.to_owned(), asked: String::new() }
    }

    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(20)));
        self.client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
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
        for part in commands.chunks(100) {
            let mut pipeline = Pipeline::new();
            for command in part {
                pipeline.add_command(self.add(command));
            }
            pipeline.exec_async(&mut connection).await.unwrap();
        }
    }

    async fn ask(&mut self, command: &SentCommand) {
        self.asked = format!("{{{}}}:replies:{}", self.prefix, command.id);
        let mut add = self.add(command);
        add.arg("reply_to").arg(&self.asked);
        add.exec_async(&mut self.connection().await).await.unwrap();
    }

    async fn reply(&mut self) -> Bytes {
        let mut connection = self.connection().await;
        let life: i64 = cmd("PTTL").arg(&self.asked).query_async(&mut connection).await.unwrap();
        assert!((1..=60_000).contains(&life), "{life}");
        let pop = cmd("BLPOP").arg(&self.asked).arg(5).to_owned();
        let (_, body): (String, Vec<u8>) = pop.query_async(&mut connection).await.unwrap();
        body.into()
    }

    async fn events(&mut self, count: usize) -> Vec<Fields> {
        let mut connection = self.connection().await;
        let keys: Vec<String> = (0..8).map(|partition| self.key(partition, "events")).collect();
        for key in &keys {
            let create = cmd("XGROUP").arg("CREATE").arg(key).arg("app").arg("0").arg("MKSTREAM").to_owned();
            // It is there already after the first time.
            let _ = create.exec_async(&mut connection).await;
        }
        let mut events = Vec::new();
        while events.len() < count {
            let mut read = cmd("XREADGROUP");
            read.arg("GROUP").arg("app").arg("worker").arg("COUNT").arg((count - events.len()).min(10));
            read.arg("BLOCK").arg(500).arg("STREAMS").arg(&keys).arg(&[">"; 8]);
            let reply: Value = read.query_async(&mut connection).await.unwrap();
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
            settle.exec_async(&mut connection).await.unwrap();
        }
        events
    }

    async fn answer(&mut self, call: &Fields, body: &str) {
        let push = cmd("RPUSH").arg(&call["reply_to"]).arg(body).to_owned();
        push.exec_async(&mut self.connection().await).await.unwrap();
    }

    async fn dead(&mut self, count: usize) -> Vec<Fields> {
        let mut connection = self.connection().await;
        let mut letters = Vec::new();
        loop {
            for partition in 0..8 {
                let range = cmd("XRANGE").arg(self.key(partition, "dead")).arg("-").arg("+").to_owned();
                let reply: Value = range.query_async(&mut connection).await.unwrap();
                letters.extend(parts(reply).into_iter().map(|entry| fields(parts(entry).remove(1))));
            }
            if letters.len() >= count {
                return letters;
            }
            letters.clear();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn commands_left(&mut self) -> usize {
        let mut pipeline = Pipeline::new();
        for partition in 0..8 {
            pipeline.cmd("XLEN").arg(self.key(partition, "commands"));
        }
        let lengths: Vec<usize> = pipeline.query_async(&mut self.connection().await).await.unwrap();
        lengths.iter().sum()
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
