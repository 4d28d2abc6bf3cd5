//! Bare clients: they read a command and acknowledge it, and look at nothing.

use std::collections::HashMap;
use std::pin::Pin;

use async_nats::jetstream;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;
use futures_core::Stream;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::{Failure, Meter, PARTITIONS, Taken};

pub(crate) async fn drain(driver: &str, url: &str, prefix: &str, count: usize) -> Result<Taken, Failure> {
    match driver {
        "redis" => redis(url, prefix, count).await,
        "nats" => nats(url, prefix, count).await,
        _ => rabbitmq(url, prefix, count).await,
    }
}

/// One server, or the masters of a cluster by partition.
pub(crate) struct Redis {
    connections: Vec<MultiplexedConnection>,
    is_cluster: bool,
    /// Which connection serves a partition, by prefix.
    places: HashMap<String, Vec<usize>>,
}

impl Redis {
    pub(crate) async fn connect(url: &str) -> Result<Self, Failure> {
        let place = jackfield_brokers::redis::place::Place::parse(url, None)?;
        let mut connections = Vec::new();
        if !place.is_cluster() {
            connections.push(place.client().await?.get_multiplexed_async_connection().await?);
            return Ok(Self { connections, is_cluster: false, places: HashMap::new() });
        }
        for member in place.slots(&[]).await?.members() {
            connections.push(place.at(member)?.get_multiplexed_async_connection().await?);
        }
        Ok(Self { connections, is_cluster: true, places: HashMap::new() })
    }

    /// Has the disk as most people have it: the servers of tests write after each request.
    pub(crate) async fn relax(&mut self) -> Result<(), Failure> {
        for connection in &mut self.connections {
            redis::cmd("CONFIG").arg("SET").arg("appendfsync").arg("everysec").exec_async(connection).await?;
        }
        Ok(())
    }

    /// Finds out by asking who has a partition: the others redirect.
    async fn places(&mut self, prefix: &str) -> Result<Vec<usize>, Failure> {
        if let Some(places) = self.places.get(prefix) {
            return Ok(places.clone());
        }
        let mut places = Vec::new();
        for partition in 0..PARTITIONS {
            for (number, connection) in self.connections.iter_mut().enumerate() {
                let key = format!("{{{prefix}:{partition}}}:commands");
                if redis::cmd("XLEN").arg(key).query_async::<usize>(connection).await.is_ok() {
                    places.push(number);
                    break;
                }
            }
        }
        self.places.insert(prefix.to_owned(), places.clone());
        Ok(places)
    }

    /// Sends requests to who serves their partition.
    pub(crate) async fn run(&mut self, prefix: &str, requests: Vec<(u32, Cmd)>) -> Result<(), Failure> {
        let places = self.places(prefix).await?;
        let mut pipelines = vec![Pipeline::new(); self.connections.len()];
        for (partition, request) in requests {
            pipelines[places[partition as usize]].add_command(request);
        }
        for (pipeline, connection) in pipelines.iter().zip(&mut self.connections) {
            if !pipeline.is_empty() {
                pipeline.exec_async(connection).await?;
            }
        }
        Ok(())
    }
}

async fn redis(url: &str, prefix: &str, count: usize) -> Result<Taken, Failure> {
    let mut servers = Redis::connect(url).await?;
    let places = servers.places(prefix).await?;
    // A cluster takes no request for two slots.
    let groups: Vec<Vec<u32>> = if servers.is_cluster {
        (0..PARTITIONS).map(|partition| vec![partition]).collect()
    } else {
        vec![(0..PARTITIONS).collect()]
    };
    for partition in 0..PARTITIONS {
        let connection = &mut servers.connections[places[partition as usize]];
        let key = format!("{{{prefix}:{partition}}}:commands");
        redis::cmd("XGROUP").arg("CREATE").arg(key).arg("bare").arg("0").exec_async(connection).await?;
    }
    let meter = Meter::start();
    let (mut tasks, (done, mut read)) = (JoinSet::new(), mpsc::unbounded_channel());
    for group in groups {
        let (connection, done) = (servers.connections[places[group[0] as usize]].clone(), done.clone());
        let prefix = prefix.to_owned();
        tasks.spawn(async move { read_streams(connection, &prefix, &group, &done).await });
    }
    let mut sum = 0;
    while sum < count {
        sum += read.recv().await.ok_or("the bare client ended")?;
    }
    Ok(meter.stop())
}

async fn read_streams(
    mut connection: MultiplexedConnection,
    prefix: &str,
    group: &[u32],
    done: &mpsc::UnboundedSender<usize>,
) -> Result<(), Failure> {
    let keys: Vec<String> = group.iter().map(|partition| format!("{{{prefix}:{partition}}}:commands")).collect();
    loop {
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg("bare").arg("bare").arg("COUNT").arg(256 / keys.len()).arg("STREAMS").arg(&keys);
        read.arg(vec![">"; keys.len()]);
        let Value::Array(streams) = read.query_async(&mut connection).await? else { return Ok(()) };
        let (mut settle, mut count) = (Pipeline::new(), 0);
        for stream in streams {
            let Value::Array(mut parts) = stream else { continue };
            let (Some(Value::Array(entries)), Some(Value::BulkString(key))) = (parts.pop(), parts.pop()) else {
                continue;
            };
            let mut ids = Vec::new();
            for entry in entries {
                if let Value::Array(entry) = entry
                    && let Some(Value::BulkString(id)) = entry.into_iter().next()
                {
                    ids.push(id);
                }
            }
            count += ids.len();
            settle.cmd("XACK").arg(&key).arg("bare").arg(&ids);
            settle.cmd("XDEL").arg(&key).arg(&ids);
        }
        settle.exec_async(&mut connection).await?;
        done.send(count)?;
    }
}

async fn rabbitmq(url: &str, prefix: &str, count: usize) -> Result<Taken, Failure> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(256, BasicQosOptions::default()).await?;
    let meter = Meter::start();
    let (mut tasks, (done, mut read)) = (JoinSet::new(), mpsc::unbounded_channel());
    for partition in 0..PARTITIONS {
        let (queue, options) = (format!("{prefix}.commands.{partition}"), BasicConsumeOptions::default());
        let mut consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
        let done = done.clone();
        tasks.spawn(async move {
            while let Some(Ok(delivery)) = next(&mut consumer).await {
                if delivery.ack(BasicAckOptions::default()).await.is_err() || done.send(1).is_err() {
                    return;
                }
            }
        });
    }
    let mut sum = 0;
    while sum < count {
        sum += read.recv().await.ok_or("the bare client ended")?;
    }
    let taken = meter.stop();
    connection.close(200, "done".into()).await?;
    Ok(taken)
}

async fn nats(url: &str, prefix: &str, count: usize) -> Result<Taken, Failure> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let meter = Meter::start();
    let (mut tasks, (done, mut read)) = (JoinSet::new(), mpsc::unbounded_channel());
    for partition in 0..PARTITIONS {
        let config = Config {
            durable_name: Some(format!("bare{partition}")),
            filter_subject: format!("{prefix}.commands.{partition}"),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: 4096,
            ..Config::default()
        };
        let consumer = context.create_consumer_on_stream(config, format!("{prefix}_commands")).await?;
        let mut messages = consumer.stream().max_messages_per_batch(256).messages().await?;
        let done = done.clone();
        tasks.spawn(async move {
            while let Some(Ok(message)) = next(&mut messages).await {
                if message.ack().await.is_err() || done.send(1).is_err() {
                    return;
                }
            }
        });
    }
    let mut sum = 0;
    while sum < count {
        sum += read.recv().await.ok_or("the bare client ended")?;
    }
    Ok(meter.stop())
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}
