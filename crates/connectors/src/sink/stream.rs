//! Publications into a stream in Redis, which keeps about as many as it is told.

use std::collections::VecDeque;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Client, Pipeline, RedisError, Value};

use crate::resp;
use crate::sink::event;
use crate::sink::inbox::Item;
use crate::sink::line::Sent;
use crate::template::Template;
use crate::trouble::{Trouble, in_time};

/// Where publications go.
#[derive(Clone, Debug)]
pub struct StreamSink {
    /// Where.
    pub client: Client,
    /// The stream of each.
    pub stream: Template,
    /// About so many entries are kept; 0: all.
    pub max_length: usize,
}

/// A connection that adds.
pub(crate) struct StreamSession {
    sink: StreamSink,
    connection: MultiplexedConnection,
}

impl StreamSink {
    pub(crate) async fn connect(&self) -> Result<StreamSession, Trouble> {
        let connection = resp::connect(&self.client, Duration::ZERO).await?;
        Ok(StreamSession { sink: self.clone(), connection })
    }
}

impl StreamSession {
    pub(crate) async fn send(&mut self, items: &VecDeque<Item>) -> Sent {
        let names: Vec<_> = items.iter().map(|item| self.sink.stream.name(|_| Some(&*item.channel))).collect();
        let mut pipeline = Pipeline::new();
        for (item, name) in items.iter().zip(&names) {
            if let Ok(name) = name {
                add(&mut pipeline, name, item, self.sink.max_length);
            }
        }
        let asked = self.connection.req_packed_commands(&pipeline, 0, pipeline.len());
        let mut replies = match in_time(resp::REPLY, "adding to the stream", asked).await {
            Ok(replies) => replies.into_iter(),
            Err(trouble) => return Sent { done: Vec::new(), trouble: Some(trouble) },
        };
        let mut done = Vec::with_capacity(items.len());
        for name in names {
            match name {
                Err(unfit) => done.push(Err(unfit.0)),
                Ok(_) => match replies.next() {
                    Some(Value::ServerError(error)) => {
                        return Sent { done, trouble: Some(RedisError::from(error).into()) };
                    }
                    Some(_) => done.push(Ok(())),
                    None => return Sent { done, trouble: Some(Trouble::new("a reply is missing")) },
                },
            }
        }
        Sent { done, trouble: None }
    }
}

fn add(pipeline: &mut Pipeline, stream: &str, item: &Item, max_length: usize) {
    let publication = &item.publication;
    let add = pipeline.cmd("XADD").arg(stream);
    if max_length > 0 {
        add.arg("MAXLEN").arg("~").arg(max_length);
    }
    add.arg("*").arg("id").arg(item.id.to_string()).arg("type").arg(event::kind(item));
    add.arg("channel").arg(&*item.channel).arg("time").arg(publication.time);
    if let Some(position) = &item.position {
        add.arg("offset").arg(position.offset).arg("epoch").arg(&*position.epoch);
    }
    if let Some(key) = publication.key() {
        add.arg("key").arg(&**key);
    }
    if let Some(tags) = event::tags(item) {
        add.arg("tags").arg(tags);
    }
    if !publication.is_removal() {
        add.arg("content").arg(publication.data.content.name()).arg("data").arg(&publication.data.bytes[..]);
    }
}
