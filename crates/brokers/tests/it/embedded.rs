//! The embedded queue, through its port with a stock Redis client as the application.

use std::net::SocketAddr;
use std::sync::Arc;

use jackfield_bridge::Queue;
use jackfield_brokers::embedded::{self, EmbeddedQueue};
use jackfield_brokers::{OpenError, Options, dead_letters};
use jackfield_testkit::queue_contract::{self, Bench};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::letters::letters;
use crate::redis_app::RedisApp;

/// A queue whose port is served until this is dropped.
struct Served {
    queue: Arc<EmbeddedQueue>,
    address: SocketAddr,
    listener: JoinHandle<std::io::Result<()>>,
}

impl Served {
    fn new(options: Options) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (queue, listener) = embedded::open(options, Some(any)).unwrap();
        let listener = listener.unwrap();
        let address = listener.address();
        Self { queue, address, listener: tokio::spawn(listener.run()) }
    }

    fn app(&self) -> RedisApp {
        RedisApp::new(&format!("redis://{}", self.address), "jackfield")
    }

    fn opener(&self) -> impl Fn(&str) -> Arc<dyn Queue> + use<> {
        let queue = Arc::clone(&self.queue);
        move |node| -> Arc<dyn Queue> { queue.reopen(node) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract() {
    let served = Served::new(Options::default());
    let mut app = served.app();
    queue_contract::run(&mut Bench { app: &mut app, open: &served.opener() }).await;
    queue_contract::depth(&mut Bench { app: &mut app, open: &served.opener() }, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses() {
    let served = Served::new(Options { max_backlog: 10, ..Options::default() });
    let mut app = served.app();
    queue_contract::full(&mut Bench { app: &mut app, open: &served.opener() }).await;
    let served = Served::new(Options { max_memory_bytes: 10_000, ..Options::default() });
    let mut app = served.app();
    queue_contract::full(&mut Bench { app: &mut app, open: &served.opener() }).await;
}

#[tokio::test]
async fn other_machines_are_kept_out() {
    let everywhere = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    let error = embedded::open(Options::default(), everywhere).unwrap_err();
    assert!(matches!(error, OpenError::BeyondLoopback(_)));
    let told = Options { listen_beyond_loopback: true, ..Options::default() };
    assert!(embedded::open(told, everywhere).is_ok());
    let served = Served::new(Options::default());
    let taken = embedded::open(Options::default(), Some(served.address)).unwrap_err();
    assert!(matches!(taken, OpenError::Listen { .. }), "{taken}");
}

/// Sends bytes in one go and reads until so many have come back.
async fn exchange(stream: &mut TcpStream, request: &str, reply: &str) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut found = vec![0; reply.len()];
    let read = stream.read_exact(&mut found);
    let read = tokio::time::timeout(std::time::Duration::from_secs(20), read).await;
    read.expect("a reply in time").unwrap();
    assert_eq!(String::from_utf8(found).unwrap(), reply);
}

fn request(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let bulk = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
    format!("*{}\r\n{}", words.len(), words.iter().map(bulk).collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_end_by_a_change_or_in_time_and_pipelines_keep_their_order() {
    let served = Served::new(Options::default());
    let mut one = TcpStream::connect(served.address).await.unwrap();
    let mut two = TcpStream::connect(served.address).await.unwrap();
    // The PING stands behind the wait, as with Redis.
    let waits = [request("BLPOP l 0"), request("PING")].concat();
    one.write_all(waits.as_bytes()).await.unwrap();
    exchange(&mut two, &request("RPUSH l a"), ":1\r\n").await;
    exchange(&mut one, "", "*2\r\n$1\r\nl\r\n$1\r\na\r\n+PONG\r\n").await;
    exchange(&mut one, &request("BLPOP l 0.01"), "*-1\r\n").await;
    exchange(&mut one, &request("XGROUP CREATE s g $ MKSTREAM"), "+OK\r\n").await;
    let read = request("XREADGROUP GROUP g c COUNT 1 BLOCK 0 STREAMS s >");
    one.write_all(read.as_bytes()).await.unwrap();
    let transaction = [request("MULTI"), request("XADD s 1-1 k v"), request("EXEC")].concat();
    exchange(&mut two, &transaction, "+OK\r\n+QUEUED\r\n*1\r\n$3\r\n1-1\r\n").await;
    let entry = "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nk\r\n$1\r\nv\r\n";
    exchange(&mut one, "", entry).await;
    exchange(&mut one, "GET / HTTP/1.1\r\n", "-ERR Protocol error: expected '*', got 'G'\r\n").await;
    assert_eq!(one.read(&mut [0; 1]).await.unwrap(), 0);
    exchange(&mut two, &request("QUIT"), "+OK\r\n").await;
    assert_eq!(two.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_while_it_waits_takes_nothing() {
    let served = Served::new(Options::default());
    let mut one = TcpStream::connect(served.address).await.unwrap();
    exchange(&mut one, &request("PING"), "+PONG\r\n").await;
    one.write_all(request("BLPOP l 0").as_bytes()).await.unwrap();
    one.shutdown().await.unwrap();
    // The end of the stream is seen while it waits, and the server hangs up.
    assert_eq!(one.read(&mut [0; 1]).await.unwrap(), 0);
    let mut two = TcpStream::connect(served.address).await.unwrap();
    exchange(&mut two, &request("RPUSH l a"), ":1\r\n").await;
    exchange(&mut two, &request("LLEN l"), ":1\r\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_put_back_and_dropped() {
    let served = Served::new(Options::default());
    let dead = dead_letters("embedded", &format!("redis://{}", served.address), Options::default()).unwrap();
    letters(&mut Bench { app: &mut served.app(), open: &served.opener() }, &*dead).await;
}
