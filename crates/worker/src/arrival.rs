//! Before a client is in: PROXY header, TLS or not, the request of HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use jackfield_framing::http::{self, BodyKind, CONTINUE, Head};
use jackfield_framing::{WebSocket, proxy};
use jackfield_model::Uuid;
use jackfield_model::app::Header;
use jackfield_session::{Endpoint, Session, Tick, Visitor};

use crate::connection::{Arrival, Connection, Phase, Stage};
use crate::door::{self, Binding, HEAD_LIMIT, HttpDoor, Visit, Way};
use crate::floor::{Floor, GOODBYE};
use crate::gate::Face;

/// The first byte of every TLS connection: a record of the handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Ticks that a connection may wait for its next request.
pub(crate) const IDLE: Tick = 300;

impl Floor {
    /// Takes the next step of a client that is not in; how many bytes it took, `None` where more are needed.
    pub(crate) fn arrive(&mut self, slot: usize, connection: &mut Connection, bytes: &[u8]) -> Option<usize> {
        let Phase::Arriving(arrival) = &mut connection.phase else { return None };
        match arrival.stage {
            Stage::Proxy => self.proxy(slot, connection, bytes),
            Stage::Guess if arrival.gate.tls.is_some() => self.guess(slot, connection, bytes),
            Stage::Guess => {
                arrival.stage = Stage::Inside;
                Some(0)
            }
            // Who a client is shows only when the handshake is over, and before that nobody is in.
            Stage::Inside if connection.pipe.is_handshaking() => None,
            Stage::Inside => {
                let gate = Arc::clone(&arrival.gate);
                let remote = arrival.remote;
                match &gate.face {
                    Face::Plain(endpoint, binding) => {
                        self.come_in(slot, connection, (endpoint, binding.as_ref()), remote);
                        Some(0)
                    }
                    Face::Http(door) => match (&gate.otherwise, http::looks_like_http(bytes)) {
                        (Some(_), None) => None,
                        (Some((endpoint, binding)), Some(false)) => {
                            self.come_in(slot, connection, (endpoint, binding.as_ref()), remote);
                            Some(0)
                        }
                        _ => self.request(slot, connection, door, bytes),
                    },
                }
            }
        }
    }

    fn proxy(&mut self, slot: usize, connection: &mut Connection, bytes: &[u8]) -> Option<usize> {
        let Phase::Arriving(arrival) = &mut connection.phase else { return None };
        match proxy::parse(bytes) {
            Ok(None) => None,
            Ok(Some(header)) => {
                arrival.stage = Stage::Guess;
                arrival.remote = header.source.unwrap_or(arrival.remote);
                let remote = arrival.remote;
                if !self.enter(slot, remote.ip()) {
                    self.part(slot, connection, Some(door::too_many()));
                    return Some(bytes.len());
                }
                Some(header.length)
            }
            Err(error) => {
                self.plan.counters.proxy_errors.add(1);
                tracing::debug!(peer = %arrival.remote, %error, "a proxy's connection is closed");
                self.part(slot, connection, None);
                Some(bytes.len())
            }
        }
    }

    fn guess(&mut self, slot: usize, connection: &mut Connection, bytes: &[u8]) -> Option<usize> {
        let Phase::Arriving(arrival) = &mut connection.phase else { return None };
        let keeper = arrival.gate.tls.as_ref()?;
        if *bytes.first()? == TLS_HANDSHAKE {
            self.plan.counters.tls_handshakes.add(1);
            match jackfield_tls::Stream::accept(keeper.current()) {
                Ok(mut stream) => {
                    stream.feed(bytes);
                    connection.pipe.tls = Some(Box::new(stream));
                    arrival.stage = Stage::Inside;
                }
                Err(error) => {
                    tracing::error!(%error, "TLS cannot be spoken");
                    self.part(slot, connection, None);
                }
            }
            return Some(bytes.len());
        }
        if arrival.gate.also_plain {
            arrival.stage = Stage::Inside;
            return Some(0);
        }
        let answer = match http::looks_like_http(bytes) {
            None => return None,
            Some(true) => Some(door::speaks_tls()),
            Some(false) => None,
        };
        self.plan.counters.tls_errors.add(1);
        self.part(slot, connection, answer);
        Some(bytes.len())
    }

    /// Reads a request and goes where it leads.
    fn request(
        &mut self,
        slot: usize,
        connection: &mut Connection,
        door: &Arc<HttpDoor>,
        bytes: &[u8],
    ) -> Option<usize> {
        let Phase::Arriving(arrival) = &mut connection.phase else { return None };
        arrival.is_idle &= bytes.is_empty();
        let head = match http::parse(bytes, HEAD_LIMIT) {
            Ok(None) => return None,
            Ok(Some(head)) => head,
            Err(error) => {
                self.part(slot, connection, Some(door::malformed(&error)));
                return Some(bytes.len());
            }
        };
        let peer = arrival.remote;
        let remote = SocketAddr::new(door.client_address(&head, peer.ip()), peer.port());
        let (body, length) = match self.body(slot, arrival, door, &head, bytes) {
            Ok(Some(body)) => body,
            Ok(None) => return None,
            Err(answer) => {
                self.part(slot, connection, Some(answer));
                return Some(bytes.len());
            }
        };
        let id = Uuid::new_v4();
        let visit = Visit { remote, client: id.to_string(), query: Some(&head) };
        let way = door.route(&head, &body, &visit, &self.hub);
        if remote.ip() != peer.ip() && matches!(way, Way::Open { .. }) && !self.enter(slot, remote.ip()) {
            self.part(slot, connection, Some(door::too_many()));
            return Some(bytes.len());
        }
        match way {
            Way::Answer(mut answer) => {
                if head.method == "HEAD"
                    && let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n")
                {
                    answer.truncate(end + 4);
                }
                self.part(slot, connection, Some(answer));
                Some(bytes.len())
            }
            Way::AnswerAndStay(answer) => {
                self.plan.counters.uplinks.add(u64::from(head.method == "POST"));
                self.outbox.send(slot as u32, answer.into());
                connection.patience = self.now.tick + IDLE;
                if let Phase::Arriving(arrival) = &mut connection.phase {
                    arrival.is_idle = true;
                    arrival.continued = false;
                }
                Some(length)
            }
            Way::HandOver => {
                connection.phase = Phase::Leaving(Box::new((remote, bytes.to_vec())));
                Some(bytes.len())
            }
            Way::Open { answer, endpoint, channel, first } => {
                self.outbox.send(slot as u32, answer.into());
                // A raw one is never asked about.
                let is_asked = !endpoint.dialect.needs_no_connect();
                let headers = if is_asked { door.told(&head) } else { Vec::new() };
                self.open(slot, connection, &endpoint, (id, remote, channel, headers));
                if let Phase::Open(session, _) = &mut connection.phase
                    && !first.is_empty()
                {
                    session.receive(&first, true, &mut self.turn(slot, connection.generation));
                    self.carry_out(slot, connection);
                }
                Some(length)
            }
        }
    }

    /// The body of a request, where one is read here, and the length of it all; an error is an answer.
    #[expect(clippy::type_complexity, reason = "a body and its end, one of the three things that reading can come to")]
    fn body<'b>(
        &mut self,
        slot: usize,
        arrival: &mut Arrival,
        door: &HttpDoor,
        head: &Head<'_>,
        bytes: &'b [u8],
    ) -> Result<Option<(std::borrow::Cow<'b, [u8]>, usize)>, Vec<u8>> {
        let Some(limit) = door.body_limit(head) else {
            // A body that nobody reads makes whatever follows it unreadable; all of these answers end the connection,
            // but those of OPTIONS, which look at it themselves.
            return Ok(Some((std::borrow::Cow::Borrowed(&[]), head.length)));
        };
        let kind = head.body().map_err(|error| door::malformed(&error))?;
        match http::read_body(&bytes[head.length..], kind, limit) {
            Ok(Some(body)) => Ok(Some((body.data, head.length + body.length))),
            Ok(None) => {
                if head.expects_continue() && !arrival.continued && kind != BodyKind::None {
                    arrival.continued = true;
                    self.outbox.send(slot as u32, bytes::Bytes::from_static(CONTINUE));
                }
                Ok(None)
            }
            Err(error) => Err(door.bad_body(head, &error)),
        }
    }

    /// Lets a client of a plain listener in.
    pub(crate) fn come_in(
        &mut self,
        slot: usize,
        connection: &mut Connection,
        (endpoint, binding): (&Arc<Endpoint>, Option<&Binding>),
        remote: SocketAddr,
    ) {
        let id = Uuid::new_v4();
        let visit = Visit { remote, client: id.to_string(), query: None };
        match binding.map(|binding| binding.0(&visit)).transpose() {
            Ok(channel) => self.open(slot, connection, endpoint, (id, remote, channel, Vec::new())),
            Err(what) => {
                tracing::warn!(listener = %endpoint.listener, %what, "a client cannot be bound to a channel");
                self.part(slot, connection, None);
            }
        }
    }

    fn open(
        &mut self,
        slot: usize,
        connection: &mut Connection,
        endpoint: &Arc<Endpoint>,
        (id, remote, channel, headers): (Uuid, SocketAddr, Option<Arc<str>>, Vec<Header>),
    ) {
        let identity = connection.pipe.tls.as_ref().filter(|_| endpoint.user_from_certificate);
        let visitor = Visitor {
            id,
            remote,
            channel,
            identity: identity.and_then(|tls| tls.identity()).map(|identity| identity.name().into()),
            uplink: endpoint.is_emulated().then(Uuid::new_v4),
            headers,
        };
        let session = Session::open(endpoint, visitor, &mut self.turn(slot, connection.generation));
        connection.phase = Phase::Open(Box::new(session), WebSocket::new());
        connection.patience = Tick::MAX;
        self.carry_out(slot, connection);
    }

    /// Says the last words, if any, to somebody who will not come in.
    pub(crate) fn part(&mut self, slot: usize, connection: &mut Connection, answer: Option<Vec<u8>>) {
        self.outbox.send(slot as u32, answer.unwrap_or_default().into());
        connection.phase = Phase::Closing;
        connection.patience = self.now.tick + GOODBYE;
    }
}
