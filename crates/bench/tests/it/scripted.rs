//! A server that plays a script to one connection: what `limit` never does.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread::JoinHandle,
};

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// One connection, past the handshake and the first command frame.
pub(crate) struct Client {
    stream: TcpStream,
}

/// Accepts one connection and lets the script have it.
pub(crate) fn serve(script: fn(Client)) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("ws://{}/connection/websocket", listener.local_addr().expect("an address"));
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).expect("a request");
        }
        stream.write_all(SWITCH).expect("the answer is taken");
        let mut client = Client { stream };
        let greeting = client.text();
        assert!(greeting.starts_with(r#"{"id":1,"connect""#), "{greeting}");
        script(client);
    });
    (url, thread)
}

impl Client {
    /// Bytes as they are, in pieces of one byte each when they are short.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        let size = u8::try_from(payload.len()).expect("a short payload");
        assert!(size < 126);
        self.stream.set_nodelay(true).expect("no delay");
        for byte in [&[0x80 | opcode, size], payload].concat() {
            self.stream.write_all(&[byte]).expect("the frame is taken");
        }
    }

    /// Opcode and payload of the next frame.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).expect("a header");
        assert_eq!(head[1] & 0x80, 0x80, "a client's frame is masked");
        let mut size = usize::from(head[1] & 0x7f);
        if size == 126 {
            let mut long = [0; 2];
            self.stream.read_exact(&mut long).expect("a length");
            size = usize::from(u16::from_be_bytes(long));
        }
        let mut mask = [0; 4];
        self.stream.read_exact(&mut mask).expect("a mask");
        let mut payload = vec![0; size];
        self.stream.read_exact(&mut payload).expect("a payload");
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        (head[0] & 0x0f, payload)
    }

    pub(crate) fn text(&mut self) -> String {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 1);
        String::from_utf8(payload).expect("UTF-8")
    }
}
