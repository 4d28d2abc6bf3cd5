//! The rules of what is spoken where: sizes, compression, dialects and framings, and feeds of raw clients.

use jackfield_framing::Measured;
use jackfield_session::MAX_DECLARED;

use super::DataForm;
use super::rules::Faults;
use super::template::{Template, Variable};
use super::{Config, Feed, PublishTo, RawDialect, TcpDialect, TcpListener, layout};

/// What a feed in a dialect without feeds hears.
const NO_FEED: &str = "has channel, event, publish_to or data, which only dialect = \"raw\" knows";

impl Config {
    /// The rules of endpoints and listeners one by one.
    pub(super) fn feed_rules(&self, faults: &mut Faults) {
        self.sizes(faults);
        for (index, endpoint) in self.raw.iter().enumerate() {
            let above = format!("raw[{index}]");
            faults.at_least_one(format!("{above}.message_size_limit"), endpoint.message_size_limit);
            match endpoint.dialect {
                RawDialect::Raw => self.feed(&above, &endpoint.feed, true, faults),
                RawDialect::Echo if endpoint.feed != Feed::default() => faults.add(above, NO_FEED),
                RawDialect::Echo => {}
            }
        }
        for (index, listener) in self.tcp.iter().enumerate() {
            let above = format!("tcp[{index}]");
            faults.at_least_one(format!("{above}.message_size_limit"), listener.message_size_limit);
            let has_fields = listener.dialect == TcpDialect::Fields;
            if has_fields || listener.dialect == TcpDialect::Raw {
                self.feed(&above, &listener.feed, false, faults);
            } else if listener.feed != Feed::default() {
                faults.add(&above, NO_FEED);
            }
            framing(&above, listener, faults);
            layout::rules(&above, listener, faults);
            if has_fields == listener.messages.is_empty() {
                let text = if has_fields {
                    "are none; declare them in [[tcp.messages]]"
                } else {
                    "are for dialect = \"fields\""
                };
                faults.add(format!("{above}.messages"), text);
            }
            if has_fields && listener.feed.data != DataForm::default() {
                faults
                    .add(format!("{above}.data"), "is for dialect = \"raw\"; what is declared says what messages hold");
            }
            place(&above, listener, faults);
        }
        let declared = self.tcp.iter().filter(|listener| Measured::parse(&listener.framing).is_some()).count();
        if declared > MAX_DECLARED {
            faults.add("tcp", format!("{declared} listeners have framings by length; at most {MAX_DECLARED} can"));
        }
        let mut shared = self.tcp.iter().enumerate().filter(|(_, listener)| listener.on_public_port);
        if let Some((first, _)) = shared.next() {
            for (index, _) in shared {
                let text = format!("is on for tcp[{first}] too, and first bytes tell no two apart; give one a port");
                faults.add(format!("tcp[{index}].on_public_port"), text);
            }
        }
    }

    fn sizes(&self, faults: &mut Faults) {
        let web = &self.websocket;
        for (key, number) in [
            ("websocket.message_size_limit", web.message_size_limit),
            ("websocket.decompressed_message_size_limit", web.decompressed_message_size_limit),
            ("websocket.compression_ratio_limit", web.compression_ratio_limit),
            ("sse.max_request_body_size", self.sse.max_request_body_size),
            ("http_stream.max_request_body_size", self.http_stream.max_request_body_size),
            ("emulation.max_request_body_size", self.emulation.max_request_body_size),
            ("uni_websocket.message_size_limit", self.uni_websocket.message_size_limit),
            ("uni_sse.max_request_body_size", self.uni_sse.max_request_body_size),
            ("uni_http_stream.max_request_body_size", self.uni_http_stream.max_request_body_size),
            ("yjs.message_size_limit", self.yjs.message_size_limit),
            ("yjs.compact_after", self.yjs.compact_after),
        ] {
            faults.at_least_one(key, number);
        }
        if !(1..=9).contains(&web.compression_level) {
            let text = format!("{} is no level; write 1 (fast) to 9 (small)", web.compression_level);
            faults.add("websocket.compression_level", text);
        }
    }

    /// The rules of what becomes of a raw client's messages.
    fn feed(&self, above: &str, feed: &Feed, has_query: bool, faults: &mut Faults) {
        let key = format!("{above}.channel");
        match Template::parse(&feed.channel) {
            Err(text) => faults.add(&key, format!("{:?} {text}", feed.channel)),
            Ok(template) => {
                let query = |variable: &Variable| matches!(variable, Variable::Query(_));
                if !has_query && template.variables().any(query) {
                    let text = "has a {query.NAME}, which a TCP client cannot fill";
                    faults.add(&key, format!("{:?} {text}", feed.channel));
                }
                if let Some(text) = self.namespace_fault(template.start()) {
                    faults.add(&key, format!("{:?} {text}", feed.channel));
                }
            }
        }
        if feed.channel.is_empty() && feed.publish_to == PublishTo::Channel {
            faults.add(&key, "is empty while publish_to is \"channel\"; name the channel");
        }
        if feed.event.is_empty() {
            faults.add(format!("{above}.event"), "is empty; write a name such as \"message\"");
        }
        if feed.publish_to == PublishTo::App {
            self.needs_messages(&format!("{above}.publish_to"), "is \"app\"", faults);
        }
    }
}

/// Which dialect goes with which framing.
fn framing(above: &str, listener: &TcpListener, faults: &mut Faults) {
    let framing = &*listener.framing;
    let measured = Measured::parse(framing);
    let is_common = matches!(framing, "lines" | "varint");
    let text = match listener.dialect {
        _ if !is_common && measured.is_none() => format!(
            "{framing:?} is no framing; write \"lines\", \"varint\", \"fixed:N\" with N from 1 to 65535, or \"u8\", \"u16be\", \"u16le\", \
             \"u32be\" or \"u32le\" for the length before each message"
        ),
        TcpDialect::CentrifugoJson if framing != "lines" => format!(
            "is {framing:?} while dialect is \"centrifugo-json\"; write \"lines\", or dialect = \"centrifugo-protobuf\""
        ),
        TcpDialect::CentrifugoProtobuf if framing == "lines" => {
            "is \"lines\" while dialect is \"centrifugo-protobuf\", whose messages may hold newlines; write \"varint\""
                .to_owned()
        }
        TcpDialect::CentrifugoProtobuf if framing != "varint" => {
            format!("is {framing:?} while dialect is \"centrifugo-protobuf\"; write \"varint\"")
        }
        TcpDialect::Fields if measured.is_none() => format!(
            "is {framing:?} while dialect is \"fields\"; write \"fixed:N\", or the integer that stands before each message, such as \"u16be\""
        ),
        TcpDialect::Echo | TcpDialect::Fields | TcpDialect::Raw if matches!(measured, Some(Measured::Fixed(length)) if usize::from(length) > listener.message_size_limit) =>
        {
            format!("is {framing:?}, more than message_size_limit, {}", listener.message_size_limit)
        }
        _ => return,
    };
    faults.add(format!("{above}.framing"), text);
}

/// A listener has a port of its own, with TLS and PROXY headers of its own, or none of all that.
fn place(above: &str, listener: &TcpListener, faults: &mut Faults) {
    if !listener.on_public_port {
        if listener.port.is_none() {
            faults.add(format!("{above}.port"), "is missing; write a port, or on_public_port = true");
        }
        return;
    }
    if listener.port.is_some() {
        faults.add(format!("{above}.port"), "is given while on_public_port is on; leave one of them out");
    }
    if listener.address != TcpListener::default().address {
        let text = "is given while on_public_port is on; http_server.address counts";
        faults.add(format!("{above}.address"), text);
    }
    if listener.tls.enabled {
        let text = "is on while on_public_port is on; http_server.tls counts";
        faults.add(format!("{above}.tls.enabled"), text);
    }
    if listener.proxy_protocol {
        let text = "is on while on_public_port is on; http_server.proxy_protocol counts";
        faults.add(format!("{above}.proxy_protocol"), text);
    }
}
