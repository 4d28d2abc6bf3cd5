//! Systems that know nothing of us: their messages become publications ([`Source`]), and publications go out to them ([`Sinks`]).
//!
//! A source reads a RabbitMQ exchange or queue, a Redis stream, a PUB/SUB pattern, NATS subjects or a TCP feed, and hands each message to the hub like
//! anybody else who publishes; where the engine takes acknowledgements, it gets them after the hub has the message. A sink hears
//! whole channels through the hub's tap and carries their publications to an exchange, a stream or a signed webhook; what it
//! has not delivered waits in a bounded inbox.
//!
//! Both connect by themselves, again and again, and nobody in the server waits for either.

mod amqp;
mod calendar;
mod content;
mod intake;
mod members;
mod message;
mod resp;
mod sink;
mod source;
mod template;
mod tls;
mod trouble;

pub use calendar::rfc3339;
pub use content::Form;
pub use sink::{ExchangeSink, Sending, SinkCounters, SinkKind, SinkOptions, Sinks, StreamSink, Webhook};
pub use source::{
    FeedAddress, FeedFraming, FeedSource, PatternSource, RabbitSource, Reading, Source, SourceCounters, SourceKind,
    SourceOptions, StreamSource, SubjectSource, feed_address, nats_address,
};
pub use template::{Blank, Template};
pub use tls::{TrustError, system_tls};
pub use trouble::UrlError;

pub use amqp::address as amqp_address;
pub use resp::address as redis_address;
