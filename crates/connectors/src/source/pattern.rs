//! Messages of PUB/SUB in Redis.

use std::time::Duration;

use bytes::Bytes;
use redis::aio::PubSubSink;
use redis::{Client, Msg, Value};

use super::relay::relay;
use crate::message::Message;
use crate::resp;
use crate::source::Reader;
use crate::trouble::{Trouble, in_time};

/// How often it is asked whether the server is still there.
const PING: Duration = Duration::from_secs(10);

/// What is read in Redis.
#[derive(Clone, Debug)]
pub struct PatternSource {
    /// Where.
    pub client: Client,
    /// The channels, as `PSUBSCRIBE` takes them.
    pub pattern: String,
}

impl PatternSource {
    /// Reads until it is told to stop.
    pub(super) async fn read(&self, reader: &mut Reader) -> Result<(), Trouble> {
        let (mut sink, stream) = in_time(resp::PATIENCE, "connecting", self.client.get_async_pubsub()).await?.split();
        in_time(resp::REPLY, "subscribing", sink.psubscribe(&self.pattern)).await?;
        reader.is_up();
        let reader = &*reader;
        let work = async {
            tokio::select! {
                ended = relay(stream, message, reader) => ended,
                gone = pings(&mut sink) => gone,
            }
        };
        reader.unless_stopped(work).await.map(drop)
    }
}

/// Notices a server that is gone without a word.
async fn pings(sink: &mut PubSubSink) -> Result<(), Trouble> {
    loop {
        tokio::time::sleep(PING).await;
        in_time(resp::REPLY, "a ping", sink.ping::<Value>()).await?;
    }
}

fn message(came: Msg) -> Message {
    Message {
        origin: came.get_channel_name().to_owned(),
        body: Some(Bytes::copy_from_slice(came.get_payload_bytes())),
        ..Message::default()
    }
}
