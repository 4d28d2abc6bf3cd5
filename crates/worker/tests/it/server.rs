//! A crew in this process, and a client that blocks.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use jackfield_bridge::Door;
use jackfield_framing::client::{self, Opcode, ServerFrames};
use jackfield_hub::namespace::Permission;
use jackfield_hub::{Hub, Namespaces, Options, Publishing};
use jackfield_model::{Disconnect, Payload};
use jackfield_session::{Dialect, Endpoint, Framing, Settings};
use jackfield_worker::{Compression, Crew, Face, Gate, HttpDoor, Listener, Plan, Seat, SocketOptions, WebSocketRoute};

/// Far beyond what any step here takes; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Server {
    pub(crate) hub: Arc<Hub>,
    /// Where WebSockets are opened.
    pub(crate) sockets: SocketAddr,
    /// Where commands are lines.
    pub(crate) lines: SocketAddr,
    /// A port whose socket all workers share, where HTTP and lines are told apart by their first bytes.
    pub(crate) faces: SocketAddr,
    crew: Option<Crew>,
}

fn endpoint(framing: Framing) -> Endpoint {
    Endpoint::new("test", Dialect::CentrifugoJson, framing)
}

impl Server {
    pub(crate) fn start(workers: usize, backlog_bytes: usize) -> Self {
        let any = Permission { client: true, subscriber: false, anonymous: true };
        let options = Options { subscribe: any, publish: any, ..Options::default() };
        let kept = Options { history_size: 20, history_ttl: u64::MAX / 2, read_history: any, ..options.clone() };
        let named = [("kept".to_owned(), Arc::new(kept))].into_iter().collect();
        let namespaces = Namespaces { without: Some(Arc::new(options)), named, ..Namespaces::default() };
        let seats: Vec<Seat> = (0..workers).map(|_| Seat::new().unwrap()).collect();
        let hub = Arc::new(Hub::new(namespaces, seats.iter().map(Seat::mailbox).collect(), 300, 1));
        let settings = Settings { allow_anonymous_without_token: true, message_rate: 0, ..Settings::default() };
        let route = WebSocketRoute::new(&endpoint(Framing::WEBSOCKET), None, true);
        let door = HttpDoor { websockets: HashMap::from([("/ws".to_owned(), route)]), ..HttpDoor::default() };
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = |face| Listener::bind(any_port, workers, Gate::plain(face), &SocketOptions::default()).unwrap();
        let door = Arc::new(door);
        let sockets = listen(Face::Http(Arc::clone(&door)));
        let shared = TcpListener::bind(any_port).unwrap();
        let faces = shared.local_addr().unwrap();
        let otherwise = Some((Arc::new(endpoint(Framing::Lines)), None));
        let gate = Gate { otherwise, ..Gate::plain(Face::Http(door)) };
        let shared = Listener::adopt(shared, workers, gate, &SocketOptions::default()).unwrap();
        let lines = listen(Face::Plain(Arc::new(endpoint(Framing::Lines)), None));
        let plan = Plan {
            settings: Arc::new(settings),
            hub: Arc::clone(&hub),
            door: Door::closed(),
            backlog_bytes,
            handshake_ticks: 100,
            connection_limit: 10_000,
            address_limit: 0,
            trusted: Arc::default(),
            compression: Compression::default(),
            declared: Arc::default(),
            hand_over: None,
            counters: Arc::default(),
            seed: 1,
        };
        let (at_sockets, at_lines) = (sockets.address(), lines.address());
        let crew = Crew::start(seats, vec![sockets, lines, shared], &plan).unwrap();
        Self { hub, sockets: at_sockets, lines: at_lines, faces, crew: Some(crew) }
    }

    /// How many connections each worker has.
    pub(crate) fn loads(&self) -> Vec<usize> {
        self.crew.as_ref().map(Crew::loads).unwrap_or_default()
    }

    pub(crate) fn publish(&self, channel: &str, json: String) {
        let publishing = Publishing { data: Payload::json(json), ..Publishing::default() };
        self.hub.publish_and_forget(channel, publishing, 1).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.hub.shut_down(&Disconnect::SHUTDOWN);
        if let Some(crew) = self.crew.take() {
            crew.join();
        }
    }
}

/// The bytes of a text message.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    client::mask_frame(Opcode::Text, text.as_bytes(), [1, 2, 3, 4], &mut out);
    out
}

/// The bytes of a handshake.
pub(crate) fn hello() -> Vec<u8> {
    client::request("127.0.0.1", "/ws", &[])
}

/// What a client reads.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Word {
    /// A Close frame.
    Close(u16),
    /// No more bytes.
    End,
    Text(String),
}

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    bytes: Vec<u8>,
    at: usize,
}

impl Client {
    /// A socket, and nothing said.
    pub(crate) fn dial(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, bytes: Vec::new(), at: 0 }
    }

    /// A client that is in, and subscribed.
    pub(crate) fn join(server: &Server, channel: &str) -> Self {
        let mut client = Self::dial(server.sockets);
        client.write(&[hello(), frame(&greeting(channel))].concat());
        client.upgraded();
        assert!(client.text().contains(r#""id":1,"connect""#));
        assert!(client.text().contains(r#""id":2,"subscribe""#));
        client
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.write(&frame(text));
    }

    /// Reads more; false at the end.
    fn more(&mut self) -> bool {
        if self.at > 1 << 20 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        let mut buffer = [0; 16 * 1024];
        let count = self.socket.read(&mut buffer).unwrap();
        self.bytes.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// Reads the answer to a handshake.
    pub(crate) fn upgraded(&mut self) {
        let length = loop {
            match self.bytes[self.at..].windows(4).position(|window| window == b"\r\n\r\n") {
                Some(place) => break place + 4,
                None => assert!(self.more(), "no answer to the handshake"),
            }
        };
        assert!(self.bytes[self.at..].starts_with(b"HTTP/1.1 101 "), "{:?}", String::from_utf8_lossy(&self.bytes));
        self.at += length;
    }

    pub(crate) fn next(&mut self) -> Word {
        loop {
            let rest = &self.bytes[self.at..];
            if let Some((total, opcode, range)) = ServerFrames::decode(rest) {
                let payload = &rest[range];
                let word = match opcode {
                    Opcode::Close => Word::Close(u16::from_be_bytes([payload[0], payload[1]])),
                    _ => Word::Text(String::from_utf8(payload.to_vec()).unwrap()),
                };
                self.at += total;
                return word;
            }
            if !self.more() {
                assert!(self.at == self.bytes.len(), "the end came within a frame");
                return Word::End;
            }
        }
    }

    pub(crate) fn text(&mut self) -> String {
        match self.next() {
            Word::Text(text) => text,
            word => panic!("{word:?}"),
        }
    }

    /// Everything up to the end, as text.
    pub(crate) fn rest(&mut self) -> String {
        while self.more() {}
        String::from_utf8(self.bytes[self.at..].to_vec()).unwrap()
    }
}

/// `connect` and `subscribe` in one message.
pub(crate) fn greeting(channel: &str) -> String {
    format!("{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"{channel}\"}}}}")
}
