//! Feeds on TCP ports: in order, cut anywhere, dying in the middle, too fast, silent, or wrong.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jackfield_connectors::{FeedFraming, FeedSource, Form, Source, SourceKind, SourceOptions, Template, feed_address};
use jackfield_framing::{Measured, Wrap};
use jackfield_hub::namespace::{Namespaces, Options};
use jackfield_hub::{Forgetting, Hub, Journal, Order, Published, Ticket};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::world::{hub, kept, read, source, texts, until};

const HELLO: &[u8] = b"SUBSCRIBE *\n";
const LONG: Duration = Duration::from_secs(3600);
/// A busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(90);

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn feed(listener: &TcpListener, framing: &str) -> FeedSource {
    FeedSource {
        address: feed_address(&format!("tcp://{}", listener.local_addr().unwrap())).unwrap(),
        tls: None,
        framing: FeedFraming::parse(framing).unwrap(),
        hello: Bytes::from_static(HELLO),
        idle_timeout: Duration::ZERO,
        batch: 64,
    }
}

fn options(feed: FeedSource, channel: &str) -> SourceOptions {
    source("ticks", SourceKind::Feed(feed), channel)
}

/// Somebody dials and has said hello.
async fn dialled(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.expect("nobody dials").unwrap();
    let mut hello = [0; HELLO.len()];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(hello, HELLO);
    stream.set_nodelay(true).unwrap();
    stream
}

/// Whoever dialled has gone.
async fn left(mut stream: TcpStream) {
    let end = timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("the connection goes on");
    assert!(!matches!(end, Ok(1..)), "{end:?}");
}

fn up(source: &Source) -> bool {
    source.counters().up.load(Ordering::Relaxed)
}

/// Published, refused, lost.
fn counts(source: &Source) -> [u64; 3] {
    let counters = source.counters();
    [&counters.published, &counters.refused, &counters.lost].map(|count| count.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_are_published_in_order_wherever_they_are_cut() {
    const COUNT: usize = 20_000;
    let (listener, hub) = (listener().await, hub(None));
    let mut options = options(feed(&listener, "lines"), "kept:{field:market}.{field:at.tier}");
    options.key = Some(Template::parse("{field:symbol}").unwrap());
    options.form = Form::Json;
    let sources = [Source::new(options)];
    assert!(sources[0].needs_one_node());
    let reading = read(&sources, &hub);
    let mut stream = dialled(&listener).await;
    until("the source", async || up(&sources[0])).await;
    let tick = |n: usize| {
        format!(r#"{{"n":{n},"symbol":"S{}","market":"{}","at":{{"tier":{}}}}}"#, n % 500, ["eu", "us"][n % 2], n % 3)
    };
    let all: Vec<u8> = (0..COUNT).flat_map(|n| tick(n).into_bytes().into_iter().chain(*b"\n")).collect();
    let (mut rest, mut size) = (&all[..], 1);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        stream.write_all(piece).await.unwrap();
        (rest, size) = (after, size * 7 % 4093);
    }
    until("all", async || counts(&sources[0])[0] == COUNT as u64).await;
    for at in 0..6 {
        let channel = format!("kept:{}.{}", ["eu", "us"][at % 2], at % 3);
        let wanted: Vec<String> = (at..COUNT).step_by(6).map(tick).collect();
        assert_eq!(texts(&hub, &channel), wanted, "{channel}");
        assert_eq!(kept(&hub, &channel)[1].key().map(|key| &**key), Some(&*format!("S{}", at + 6)));
    }
    assert_eq!(counts(&sources[0]), [COUNT as u64, 0, 0]);
    reading.stop(Duration::from_secs(10)).await;
    left(stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_framings_are_understood() {
    let hub = hub(None);
    for word in ["lines", "varint", "u8", "u16be", "u16le", "u32be", "u32le", "fixed:5"] {
        let listener = listener().await;
        let channel = format!("kept:{}", word.replace(':', "_"));
        let sources = [Source::new(options(feed(&listener, word), &channel))];
        let reading = read(&sources, &hub);
        let mut stream = dialled(&listener).await;
        let messages: Vec<String> = (10_000..10_200).map(|n| n.to_string()).collect();
        for message in &messages {
            let message = message.as_bytes();
            let framed = match word {
                "lines" => Wrap::Lines.frame(message),
                "varint" => Wrap::Varint.frame(message),
                other => Measured::parse(other).unwrap().frame(message).unwrap(),
            };
            for byte in framed.chunks(1) {
                stream.write_all(byte).await.unwrap();
            }
        }
        until(word, async || counts(&sources[0])[0] == 200).await;
        assert_eq!(texts(&hub, &channel), messages, "{word}");
        reading.stop(Duration::from_secs(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_dies_in_the_middle_is_dialled_until_it_is_back() {
    let (first, hub) = (listener().await, hub(None));
    let place = first.local_addr().unwrap();
    let sources = [Source::new(options(feed(&first, "lines"), "kept:x"))];
    let reading = read(&sources, &hub);
    let mut stream = dialled(&first).await;
    stream.write_all(b"1\n2\n3").await.unwrap();
    until("two", async || texts(&hub, "kept:x") == ["1", "2"]).await;
    drop(stream);
    // It is back at once, and what was cut off is not glued to what comes.
    let mut stream = dialled(&first).await;
    stream.write_all(b"4\n5").await.unwrap();
    until("three", async || texts(&hub, "kept:x") == ["1", "2", "4"]).await;
    // It is gone for a while.
    drop((stream, first));
    until("the end", async || !up(&sources[0])).await;
    let again = TcpListener::bind(place).await.unwrap();
    let mut stream = dialled(&again).await;
    stream.write_all(b"6\n").await.unwrap();
    until("four", async || texts(&hub, "kept:x") == ["1", "2", "4", "6"]).await;
    assert!(up(&sources[0]));
    assert_eq!(counts(&sources[0]), [4, 0, 0]);
    reading.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_long_ends_the_connection_and_nothing_else() {
    let (listener, hub) = (listener().await, hub(None));
    let mut options = options(feed(&listener, "u32be"), "kept:x");
    options.max_bytes = 16;
    let sources = [Source::new(options)];
    let reading = read(&sources, &hub);
    let mut stream = dialled(&listener).await;
    stream.write_all(b"\0\0\0\x011\0\0\0\x00\0\0\0\x11").await.unwrap();
    left(stream).await;
    let mut stream = dialled(&listener).await;
    stream.write_all(b"\0\0\0\x012").await.unwrap();
    until("what came before and after", async || texts(&hub, "kept:x") == ["1", "2"]).await;
    reading.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_published_is_refused_and_the_next_goes_on() {
    let (listener, hub) = (listener().await, hub(None));
    let mut options = options(feed(&listener, "lines"), "kept:{field:market}");
    options.form = Form::Json;
    let sources = [Source::new(options)];
    let reading = read(&sources, &hub);
    let mut stream = dialled(&listener).await;
    let wrong =
        ["no JSON", "[1]", r#"{"symbol":1}"#, r#"{"market":null}"#, r#"{"market":"a b"}"#, r#"{"market":"\u0000"}"#];
    for wrong in wrong {
        stream.write_all(format!("{wrong}\n\r\n{{\"market\":\"eu\"}}\n").as_bytes()).await.unwrap();
    }
    stream.write_all(b"{\"market\":\"\xff\"}\n{\"market\":\"end\"}\n").await.unwrap();
    until("the last", async || !kept(&hub, "kept:end").is_empty()).await;
    assert_eq!(texts(&hub, "kept:eu"), [r#"{"market":"eu"}"#; 6]);
    until("the counts", async || counts(&sources[0]) == [7, 7, 0]).await;
    reading.stop(Duration::from_secs(10)).await;
}

/// A log that takes nothing until it is opened.
#[derive(Debug, Default)]
struct Gate {
    is_open: AtomicBool,
    refused: AtomicU64,
    taken: Mutex<Vec<Bytes>>,
}

impl Journal for Gate {
    fn take(&self, order: Order) -> Result<(), Order> {
        if !self.is_open.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(order);
        }
        self.taken.lock().unwrap().push(order.publishing.data.bytes);
        if let Some(Ticket::Then(then)) = order.ticket {
            then(Ok(Published::default()));
        }
        Ok(())
    }

    fn forget(&self, _: &str, _: Forgetting) {}
}

impl Gate {
    fn before(self: &Arc<Self>) -> Arc<Hub> {
        let durable = Options { durable: true, history_size: 1, history_ttl: 1000, ..Options::default() };
        let named = [("safe".to_owned(), Arc::new(durable))].into_iter().collect();
        let mut hub = Hub::new(Namespaces { named, without: None, ..Namespaces::default() }, Vec::new(), 1 << 30, 7);
        hub.set_journal(Arc::clone(self) as _);
        Arc::new(hub)
    }

    /// The hub was asked again and again since.
    async fn is_asked(&self) {
        let since = self.refused.load(Ordering::SeqCst);
        until("an attempt", async || self.refused.load(Ordering::SeqCst) > since + 20).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_that_is_behind_holds_the_feed_back() {
    const COUNT: usize = 16_384;
    let (listener, gate) = (listener().await, Arc::new(Gate::default()));
    let sources = [Source::new(options(feed(&listener, "lines"), "safe:x"))];
    let reading = read(&sources, &gate.before());
    let mut stream = dialled(&listener).await;
    let tick = |n: usize| format!("{{\"n\":{n:06},\"filler\":\"{}\"}}\n", "x".repeat(4000));
    let all: Vec<u8> = (0..COUNT).flat_map(|n| tick(n).into_bytes()).collect();
    // Until nothing has moved while the hub was asked many times: a reader that goes on makes room in that time.
    let (mut sent, mut blocked) = (0, 0);
    while sent < all.len() && blocked < 2 {
        match stream.try_write(&all[sent..]) {
            Ok(count) => (sent, blocked) = (sent + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                gate.is_asked().await;
                blocked += 1;
            }
        }
    }
    assert!(sent < all.len() / 2, "{sent} of {} bytes left the feed though the hub took nothing", all.len());
    assert!(gate.taken.lock().unwrap().is_empty());
    gate.is_open.store(true, Ordering::SeqCst);
    stream.write_all(&all[sent..]).await.unwrap();
    until("all", async || counts(&sources[0])[0] == COUNT as u64).await;
    let taken = std::mem::take(&mut *gate.taken.lock().unwrap());
    assert_eq!(taken.len(), COUNT);
    for (n, taken) in taken.iter().enumerate() {
        assert_eq!(taken, tick(n).trim_end(), "{n}");
    }
    assert_eq!(counts(&sources[0]), [COUNT as u64, 0, 0]);
    reading.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_heard_at_once_even_while_the_hub_takes_nothing() {
    let (listener, gate) = (listener().await, Arc::new(Gate::default()));
    let sources = [Source::new(options(feed(&listener, "lines"), "safe:x"))];
    let reading = read(&sources, &gate.before());
    let mut stream = dialled(&listener).await;
    stream.write_all(b"1\n").await.unwrap();
    gate.is_asked().await;
    assert!(timeout(PATIENCE, reading.stop(LONG)).await.is_ok(), "it goes on");
    left(stream).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_silent_is_dialled_again() {
    let (listener, hub) = (listener().await, hub(None));
    let idle = FeedSource { idle_timeout: Duration::from_millis(200), ..feed(&listener, "lines") };
    let sources = [Source::new(options(idle, "kept:x"))];
    let reading = read(&sources, &hub);
    let mut streams = Vec::new();
    for round in 1..4 {
        let mut stream = dialled(&listener).await;
        stream.write_all(format!("{round}\n").as_bytes()).await.unwrap();
        until("it", async || texts(&hub, "kept:x").last() == Some(&round.to_string())).await;
        // Nobody ends this connection but who waits in vain.
        streams.push(stream);
    }
    left(streams.remove(0)).await;
    assert_eq!(texts(&hub, "kept:x"), ["1", "2", "3"]);
    reading.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_with_whom_the_authorities_know() {
    let hub = hub(None);
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let server =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let server = server.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    for is_known in [false, true] {
        let listener = listener().await;
        let mut roots = RootCertStore::empty();
        if is_known {
            roots.add(cert.der().clone()).unwrap();
        }
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let client = client.with_safe_default_protocol_versions().unwrap();
        let tls = client.with_root_certificates(roots).with_no_client_auth();
        let from = FeedSource { tls: Some(Arc::new(tls)), ..feed(&listener, "lines") };
        let sources = [Source::new(options(from, "kept:x"))];
        let reading = read(&sources, &hub);
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        let accepted = acceptor.accept(stream).await;
        assert_eq!(accepted.is_ok(), is_known);
        if let Ok(mut stream) = accepted {
            let mut hello = [0; HELLO.len()];
            stream.read_exact(&mut hello).await.unwrap();
            stream.write_all(b"1\n").await.unwrap();
            stream.flush().await.unwrap();
            until("it", async || texts(&hub, "kept:x") == ["1"]).await;
            assert!(up(&sources[0]));
        } else {
            assert!(!up(&sources[0]));
        }
        reading.stop(Duration::from_secs(10)).await;
    }
}
