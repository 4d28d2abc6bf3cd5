//! A master of Redis with two replicas, and three sentinels that watch them.

use super::super::{ServerControl, until};
use super::member::RedisMember;

/// What the sentinels call the master.
const NAME: &str = "main";
const REPLICAS: usize = 2;
const SENTINELS: usize = 3;

/// Three stores, of which one is the master, and three sentinels; killed when dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    stores: Vec<RedisMember>,
    sentinels: Vec<RedisMember>,
}

impl RedisSentinels {
    /// Starts all of them and waits until a failover would come to an end. It takes about a second from the loss on.
    #[must_use]
    pub fn started() -> Self {
        // At once, as the network is the machine's own.
        let mut master = RedisMember::new(&["repl-diskless-sync-delay 0"]);
        master.start();
        let (port, mut stores) = (master.port(), vec![master]);
        for _ in 0..REPLICAS {
            let line = format!("replicaof 127.0.0.1 {port}");
            let mut replica = RedisMember::new(&["repl-diskless-sync-delay 0", &line]);
            replica.start();
            stores.push(replica);
        }
        until("the replicas follow", || stores[1..].iter().all(|one| says(one, "master_link_status:up")));
        let lines = [
            format!("sentinel monitor {NAME} 127.0.0.1 {port} 2"),
            format!("sentinel down-after-milliseconds {NAME} 1000"),
            format!("sentinel failover-timeout {NAME} 3000"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            let mut sentinel = RedisMember::sentinel(&lines);
            sentinel.start();
            sentinels.push(sentinel);
        }
        let all = Self { stores, sentinels };
        all.wait_until_watched();
        all
    }

    fn wait_until_watched(&self) {
        until("the sentinels know each other and the replicas", || {
            self.sentinels.iter().all(|sentinel| {
                let master = sentinel.ask(&["sentinel", "master", NAME]).unwrap_or_default();
                let lines: Vec<&str> = master.lines().collect();
                let number = |name: &str| {
                    let place = lines.iter().position(|line| *line == name)?;
                    lines.get(place + 1)?.parse::<usize>().ok()
                };
                number("num-slaves") == Some(REPLICAS) && number("num-other-sentinels") == Some(SENTINELS - 1)
            })
        });
    }

    /// Where they are.
    #[must_use]
    pub fn url(&self) -> String {
        let places: Vec<String> = self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port())).collect();
        format!("redis+sentinel://{}/{NAME}", places.join(","))
    }

    /// The number of the store that the sentinels call the master.
    #[must_use]
    pub fn master(&self) -> Option<usize> {
        let running = self.sentinels.iter().filter(|sentinel| sentinel.runs());
        let said = running.filter_map(|one| one.ask(&["sentinel", "get-master-addr-by-name", NAME])).next()?;
        let port: u16 = said.lines().nth(1)?.parse().ok()?;
        self.stores.iter().position(|store| store.port() == port)
    }

    /// The URL of the master alone, as it is just now.
    #[must_use]
    pub fn master_url(&self) -> Option<String> {
        self.master().map(|number| format!("redis://127.0.0.1:{}", self.stores[number].port()))
    }

    /// Waits until another store than this one is the master and knows it.
    pub fn wait_for_successor(&self, of: usize) {
        until("another master", || {
            self.master().is_some_and(|number| number != of && says(&self.stores[number], "role:master"))
        });
    }

    /// The stores; the first was the first master.
    pub fn stores(&mut self) -> &mut [RedisMember] {
        &mut self.stores
    }

    /// The sentinels.
    pub fn sentinels(&mut self) -> &mut [RedisMember] {
        &mut self.sentinels
    }
}

impl ServerControl for RedisSentinels {
    fn stop(&mut self) {
        self.stores.iter_mut().chain(&mut self.sentinels).for_each(RedisMember::stop);
    }

    fn start(&mut self) {
        self.stores.iter_mut().chain(&mut self.sentinels).for_each(RedisMember::start);
        until("there is a master", || self.master().is_some_and(|number| says(&self.stores[number], "role:master")));
    }
}

fn says(member: &RedisMember, what: &str) -> bool {
    member.ask(&["info", "replication"]).is_some_and(|said| said.lines().any(|line| line.trim_end() == what))
}
