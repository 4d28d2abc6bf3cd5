//! The application's part: commands into the queue, by a stock client, and not measured.

use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use redis::Cmd;

use crate::bare::Redis;
use crate::{Failure, place};

/// How many are under way at a time.
const PART: usize = 500;

pub(crate) async fn fill(driver: &str, url: &str, prefix: &str, count: usize) -> Result<(), Failure> {
    match driver {
        "redis" => redis(url, prefix, count).await,
        "nats" => nats(url, prefix, count).await,
        _ => rabbitmq(url, prefix, count).await,
    }
}

fn payload(number: usize) -> (u32, String) {
    let (channel, partition) = place(number);
    (partition, format!("{{\"channel\":\"{channel}\",\"data\":{number}}}"))
}

async fn redis(url: &str, prefix: &str, count: usize) -> Result<(), Failure> {
    let mut servers = Redis::connect(url).await?;
    for start in (0..count).step_by(PART) {
        let mut adds: Vec<(u32, Cmd)> = Vec::new();
        for number in start..(start + PART).min(count) {
            let (partition, payload) = payload(number);
            let mut add = redis::cmd("XADD");
            add.arg(format!("{{{prefix}:{partition}}}:commands")).arg("*").arg("v").arg("1");
            add.arg("id").arg(format!("{prefix}-{number}")).arg("method").arg("publish").arg("payload").arg(payload);
            adds.push((partition, add));
        }
        servers.run(prefix, adds).await?;
    }
    Ok(())
}

async fn rabbitmq(url: &str, prefix: &str, count: usize) -> Result<(), Failure> {
    // A queue that has been opened has declared everything.
    let options = jackfield_brokers::Options { prefix: prefix.to_owned(), ..jackfield_brokers::Options::default() };
    let queue = jackfield_brokers::open("rabbitmq", url, options)?;
    while queue.receive().await.is_err() {}
    queue.close().await;
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for start in (0..count).step_by(PART) {
        for number in start..(start + PART).min(count) {
            let (partition, payload) = payload(number);
            let properties = BasicProperties::default()
                .with_message_id(format!("{prefix}-{number}").into())
                .with_type("publish".into())
                .with_delivery_mode(2);
            let (exchange, key) = (format!("{prefix}.commands"), partition.to_string());
            let options = BasicPublishOptions::default();
            channel.basic_publish(exchange.into(), key.into(), options, payload.as_bytes(), properties).await?;
        }
        channel.wait_for_confirms().await?;
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn nats(url: &str, prefix: &str, count: usize) -> Result<(), Failure> {
    let context = jetstream::new(async_nats::connect(url).await?);
    let config = stream::Config {
        name: format!("{prefix}_commands"),
        subjects: vec![format!("{prefix}.commands.*")],
        retention: stream::RetentionPolicy::WorkQueue,
        duplicate_window: std::time::Duration::from_secs(300),
        ..stream::Config::default()
    };
    context.create_stream(config).await?;
    for start in (0..count).step_by(PART) {
        let mut under_way = Vec::new();
        for number in start..(start + PART).min(count) {
            let (partition, payload) = payload(number);
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("id", format!("{prefix}-{number}"));
            headers.insert("method", "publish");
            let subject = format!("{prefix}.commands.{partition}");
            under_way.push(context.publish_with_headers(subject, headers, Bytes::from(payload)).await?);
        }
        for acknowledgement in under_way {
            acknowledgement.await?;
        }
    }
    Ok(())
}
