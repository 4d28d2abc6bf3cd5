//! The floor: what the same deliveries cost when nothing but the system calls is done.
//!
//! One epoll loop that knows just enough of the protocol for the generator: it answers the
//! handshake and the first commands with canned replies, and writes each publication with one
//! `send` per subscriber in a plain loop. No limits, no rights, no timers, no pings: nobody should
//! serve clients with it.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read, Write},
    mem,
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Parser;
use memchr::memmem;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use sha1::{Digest, Sha1};
use slab::Slab;

const LISTENER: Token = Token(usize::MAX);
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CONNECTED: &[u8] = br#"{"id":1,"connect":{"client":"c","version":"limit","ping":25,"pong":true}}"#;

/// A bare server that writes prepared frames: the cost that no real server can be below
#[derive(Debug, Parser)]
#[command(name = "limit")]
struct Arguments {
    /// Port on 127.0.0.1; 0 takes a free one. The address is printed on stdout
    #[arg(long, default_value_t = 8400)]
    port: u16,

    /// Write all publications that came with one read in one piece to each subscriber
    #[arg(long)]
    gather: bool,

    /// Path on which text frames are answered with themselves
    #[arg(long, value_name = "PATH", default_value = "/echo")]
    echo: String,
}

fn main() -> anyhow::Result<()> {
    let mut limit = Limit::new(Arguments::parse())?;
    announce(limit.listener.local_addr()?);
    limit.serve()
}

#[expect(clippy::print_stdout, reason = "whoever started this with port 0 reads the port here")]
fn announce(address: SocketAddr) {
    println!("{address}");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Client,
    Echo,
    Http,
}

#[derive(Debug)]
struct Peer {
    stream: TcpStream,
    kind: Kind,
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
    /// What the socket did not take. Without bound: the generator always reads.
    backlog: Vec<u8>,
    channels: Vec<u32>,
}

/// Subscribers of a channel, and the frames that go to them next.
#[derive(Debug, Default)]
struct Channel {
    subscribers: Vec<u32>,
    frames: Vec<u8>,
}

#[derive(Debug)]
struct Limit {
    arguments: Arguments,
    poll: Poll,
    listener: TcpListener,
    peers: Slab<Peer>,
    names: HashMap<Box<[u8]>, u32>,
    channels: Vec<Channel>,
    /// Channels whose frames wait to be written.
    dirty: Vec<u32>,
    /// Replies to the frame in hand, joined by newlines.
    reply: Vec<u8>,
    /// Finished frames to the peer in hand.
    answers: Vec<u8>,
}

impl Limit {
    fn new(arguments: Arguments) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into()).with_context(|| format!("bind to {address}"))?;
        socket.listen(4096)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            arguments,
            poll,
            listener,
            peers: Slab::new(),
            names: HashMap::new(),
            channels: Vec::new(),
            dirty: Vec::new(),
            reply: Vec::new(),
            answers: Vec::new(),
        })
    }

    fn serve(&mut self) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 65_536];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                Err(_) => continue,
                Ok(()) => {}
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let index = event.token().0;
                if event.is_writable() && self.peers.contains(index) {
                    self.peers[index].flush();
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read(index, &mut buffer, event.is_read_closed());
                }
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error).context("accept"),
            };
            stream.set_nodelay(true)?;
            let entry = self.peers.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            entry.insert(Peer {
                stream,
                kind: Kind::Http,
                rest: Vec::new(),
                backlog: Vec::new(),
                channels: Vec::new(),
            });
        }
    }

    fn read(&mut self, index: usize, buffer: &mut [u8], ends: bool) {
        loop {
            let Some(peer) = self.peers.get_mut(index) else {
                return;
            };
            let size = match peer.stream.read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => return self.remove(index),
                Ok(size) => size,
            };
            let stays = if peer.rest.is_empty() {
                self.take(index, &mut buffer[..size])
            } else {
                let mut whole = mem::take(&mut peer.rest);
                whole.extend_from_slice(&buffer[..size]);
                self.take(index, &mut whole)
            };
            self.flush(index);
            if !stays {
                return self.remove(index);
            }
            if size < buffer.len() && !ends {
                return;
            }
        }
    }

    /// Handles the whole frames in these bytes and keeps the rest; false when the peer leaves.
    fn take(&mut self, index: usize, bytes: &mut [u8]) -> bool {
        let mut used = 0;
        if self.peers[index].kind == Kind::Http {
            match memmem::find(bytes, b"\r\n\r\n") {
                Some(end) => {
                    used = end + 4;
                    if !self.upgrade(index, used, bytes) {
                        return false;
                    }
                }
                None if bytes.len() > 8192 => return false,
                None => {}
            }
        }
        while self.peers[index].kind != Kind::Http
            && let Some((opcode, header, size)) = frame_bounds(&bytes[used..])
        {
            let frame = &mut bytes[used..used + header + size];
            used += header + size;
            let (head, payload) = frame.split_at_mut(header);
            unmask(&head[header - 4..], payload);
            match (opcode, self.peers[index].kind) {
                (8, _) => {
                    frame_into(8, payload, &mut self.answers);
                    self.flush(index);
                    return false;
                }
                (_, Kind::Echo) => frame_into(opcode, payload, &mut self.answers),
                _ => self.commands(index, payload),
            }
            if !self.arguments.gather {
                self.flush(index);
            }
        }
        if used < bytes.len() {
            self.peers[index].rest = bytes[used..].to_vec();
        }
        true
    }

    fn upgrade(&mut self, index: usize, end: usize, bytes: &[u8]) -> bool {
        let head = String::from_utf8_lossy(&bytes[..end]);
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        let key = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
        });
        let Some(key) = key else { return false };
        let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        let accept = STANDARD.encode(digest);
        let peer = &mut self.peers[index];
        peer.kind = if path == self.arguments.echo { Kind::Echo } else { Kind::Client };
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        peer.send(answer.as_bytes());
        true
    }

    fn commands(&mut self, index: usize, payload: &[u8]) {
        self.reply.clear();
        for line in payload.split(|byte| *byte == b'\n') {
            self.command(index, line);
        }
        if !self.reply.is_empty() {
            frame_into(1, &self.reply, &mut self.answers);
        }
    }

    /// Reads `{"id":N,"VERB":...}`; anything else, such as the pong `{}`, is passed over.
    fn command(&mut self, index: usize, line: &[u8]) {
        let Some(after) = line.strip_prefix(br#"{"id":"#) else {
            return;
        };
        let digits = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (id, after) = after.split_at(digits);
        let Some(body) = after.strip_prefix(br#",""#) else {
            return;
        };
        if !self.reply.is_empty() {
            self.reply.push(b'\n');
        }
        if body.starts_with(b"connect\"") {
            self.reply.extend_from_slice(CONNECTED);
        } else if body.starts_with(b"publish\"") {
            self.publish(body);
            self.reply_to(id, b"publish", b"{}");
        } else if body.starts_with(b"subscribe\"") {
            self.subscribe(index, channel_of(body));
            self.reply_to(id, b"subscribe", b"{}");
        } else if body.starts_with(b"rpc\"") {
            self.reply_to(id, b"rpc", &[br#"{"data":"#, data_of(body), b"}"].concat());
        }
    }

    fn reply_to(&mut self, id: &[u8], verb: &[u8], result: &[u8]) {
        let parts: [&[u8]; 7] = [br#"{"id":"#, id, br#",""#, verb, br#"":"#, result, b"}"];
        for part in parts {
            self.reply.extend_from_slice(part);
        }
    }

    fn subscribe(&mut self, index: usize, name: &[u8]) {
        let number = match self.names.get(name) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.channels.len()).unwrap_or(u32::MAX);
                self.names.insert(name.into(), number);
                self.channels.push(Channel::default());
                number
            }
        };
        let subscriber = u32::try_from(index).unwrap_or(u32::MAX);
        self.channels[number as usize].subscribers.push(subscriber);
        self.peers[index].channels.push(number);
    }

    /// Prepares the one frame of a publication.
    fn publish(&mut self, body: &[u8]) {
        let (name, data) = (channel_of(body), data_of(body));
        let Some(number) = self.names.get(name).copied() else {
            return;
        };
        let frames = &mut self.channels[number as usize].frames;
        if frames.is_empty() {
            self.dirty.push(number);
        }
        let parts: [&[u8]; 5] = [br#"{"push":{"channel":""#, name, br#"","pub":{"data":"#, data, b"}}}"];
        header_into(1, parts.iter().map(|part| part.len()).sum(), frames);
        for part in parts {
            frames.extend_from_slice(part);
        }
    }

    /// The loop that all is about: one write per subscriber.
    fn flush(&mut self, index: usize) {
        while let Some(number) = self.dirty.pop() {
            let channel = &mut self.channels[number as usize];
            for subscriber in &channel.subscribers {
                self.peers[*subscriber as usize].send(&channel.frames);
            }
            channel.frames.clear();
        }
        if !self.answers.is_empty() {
            self.peers[index].send(&self.answers);
            self.answers.clear();
        }
    }

    fn remove(&mut self, index: usize) {
        let peer = self.peers.remove(index);
        for number in peer.channels {
            let subscribers = &mut self.channels[number as usize].subscribers;
            if let Some(place) = subscribers.iter().position(|other| *other as usize == index) {
                subscribers.swap_remove(place);
            }
        }
    }
}

impl Peer {
    /// An error shows itself at the next read, which removes the peer.
    #[inline]
    fn send(&mut self, bytes: &[u8]) {
        if !self.backlog.is_empty() {
            self.backlog.extend_from_slice(bytes);
            return;
        }
        let taken = match self.stream.write(bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(_) => return,
        };
        if taken < bytes.len() {
            self.backlog.extend_from_slice(&bytes[taken..]);
        }
    }

    fn flush(&mut self) {
        if !self.backlog.is_empty() {
            let backlog = mem::take(&mut self.backlog);
            self.send(&backlog);
        }
    }
}

/// Opcode, size of the header and size of the payload, when the whole masked frame is there.
fn frame_bounds(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (opcode, size) = (bytes.first()? & 0x0f, bytes.get(1)? & 0x7f);
    let (header, size) = match size {
        126 => (8, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (14, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        size => (6, usize::from(size)),
    };
    (bytes.len().checked_sub(header)? >= size).then_some((opcode, header, size))
}

fn unmask(mask: &[u8], payload: &mut [u8]) {
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

fn header_into(opcode: u8, size: usize, into: &mut Vec<u8>) {
    into.push(0x80 | opcode);
    match size {
        0..=125 => into.push(size as u8),
        126..=65_535 => {
            into.push(126);
            into.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            into.push(127);
            into.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
}

fn frame_into(opcode: u8, payload: &[u8], into: &mut Vec<u8>) {
    header_into(opcode, payload.len(), into);
    into.extend_from_slice(payload);
}

/// The channel name of a command body, as it stands in the JSON.
fn channel_of(body: &[u8]) -> &[u8] {
    let start = memmem::find(body, br#""channel":""#).map_or(body.len(), |at| at + 11);
    let end = memchr::memchr(b'"', &body[start..]).map_or(start, |at| start + at);
    &body[start..end]
}

/// The data of a command body whose last key it is.
fn data_of(body: &[u8]) -> &[u8] {
    let start = memmem::find(body, br#""data":"#).map_or(body.len(), |at| at + 7);
    body[start..].strip_suffix(b"}}").unwrap_or_default()
}
