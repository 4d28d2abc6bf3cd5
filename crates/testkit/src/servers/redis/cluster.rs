//! A Redis Cluster: masters that share the slots, each with as many replicas as asked for.

use super::super::{ServerControl, free_port, until};
use super::member::RedisMember;

/// The slots of any cluster.
const SLOTS: usize = 16_384;
/// Why no full coverage: what the other masters have must go on where one is lost.
const LINES: [&str; 4] = [
    "cluster-enabled yes",
    "cluster-node-timeout 1500",
    "cluster-require-full-coverage no",
    "cluster-replica-validity-factor 0",
];

/// A running cluster; killed when dropped.
#[derive(Debug)]
pub struct RedisCluster {
    masters: usize,
    /// The first masters, then their replicas: number `n` is a replica of `n % masters`.
    members: Vec<RedisMember>,
}

impl RedisCluster {
    /// Starts one and waits until all of it knows itself whole.
    #[must_use]
    pub fn started(masters: usize, replicas: usize) -> Self {
        let mut members = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..masters * (1 + replicas) {
            let bus = free_port();
            let line = format!("cluster-port {bus}");
            let mut member = RedisMember::new(&[&LINES[..], &[&line]].concat());
            member.start();
            members.push(member);
            buses.push(bus);
        }
        let cluster = Self { masters, members };
        cluster.form(&buses);
        cluster
    }

    fn form(&self, buses: &[u16]) {
        for (number, member) in self.members.iter().enumerate() {
            // Different epochs, or the masters would have to quarrel about them first.
            tell(member, &["cluster", "set-config-epoch", &(number + 1).to_string()]);
            if number < self.masters {
                let (from, to) = (number * SLOTS / self.masters, (number + 1) * SLOTS / self.masters - 1);
                tell(member, &["cluster", "addslotsrange", &from.to_string(), &to.to_string()]);
            }
            if number > 0 {
                let (port, bus) = (member.port().to_string(), buses[number].to_string());
                tell(&self.members[0], &["cluster", "meet", "127.0.0.1", &port, &bus]);
            }
        }
        let known = format!("cluster_known_nodes:{}", self.members.len());
        until("the members of the cluster know each other", || {
            self.members.iter().all(|member| says(member, &["cluster", "info"], &known))
        });
        for (number, member) in self.members.iter().enumerate().skip(self.masters) {
            let master = &self.members[number % self.masters];
            let id = master.ask(&["cluster", "myid"]).expect("the id of a master");
            until("a replica knows its master", || member.ask(&["cluster", "replicate", &id]).is_some());
        }
        until("the cluster is whole", || {
            self.members.iter().enumerate().all(|(number, member)| {
                says(member, &["cluster", "info"], "cluster_state:ok")
                    && says(member, &["cluster", "info"], "cluster_slots_ok:16384")
                    && (number < self.masters || says(member, &["info", "replication"], "master_link_status:up"))
            })
        });
    }

    /// Where it is: two of the masters, as a cluster tells the rest by itself.
    #[must_use]
    pub fn url(&self) -> String {
        let places: Vec<String> = self.members.iter().take(2).map(|one| format!("127.0.0.1:{}", one.port())).collect();
        format!("redis+cluster://{}", places.join(","))
    }

    /// The URL of one member alone.
    #[must_use]
    pub fn member_url(&self, number: usize) -> String {
        format!("redis://127.0.0.1:{}", self.members[number].port())
    }

    /// The processes: the first masters, then their replicas.
    pub fn members(&mut self) -> &mut [RedisMember] {
        &mut self.members
    }

    /// Waits until a running member that is a master serves the slots of this one.
    pub fn wait_for_successor(&self, of: usize) {
        until("a replica has taken over", || {
            let replicas =
                self.members.iter().enumerate().filter(|(number, _)| number % self.masters == of % self.masters);
            let mut successors = replicas.filter(|(number, member)| *number != of && member.runs());
            successors.any(|(_, member)| {
                says(member, &["info", "replication"], "role:master")
                    && says(member, &["cluster", "info"], "cluster_state:ok")
            })
        });
    }

    /// The number of the first master that serves a key.
    #[must_use]
    pub fn master_of(&self, key: &str) -> usize {
        let slot =
            self.members.iter().filter(|member| member.runs()).find_map(|one| one.ask(&["cluster", "keyslot", key]));
        let slot: usize = slot.and_then(|slot| slot.parse().ok()).expect("the slot of a key");
        (0..self.masters).find(|number| slot < (number + 1) * SLOTS / self.masters).expect("a master for each slot")
    }
}

impl ServerControl for RedisCluster {
    fn stop(&mut self) {
        self.members.iter_mut().for_each(RedisMember::stop);
    }

    fn start(&mut self) {
        self.members.iter_mut().for_each(RedisMember::start);
        until("the cluster is whole again", || {
            self.members.iter().all(|member| {
                says(member, &["cluster", "info"], "cluster_state:ok")
                    && says(member, &["cluster", "info"], "cluster_slots_ok:16384")
            })
        });
    }
}

fn tell(member: &RedisMember, request: &[&str]) {
    assert!(member.ask(request).is_some(), "the member at port {} refuses {request:?}", member.port());
}

fn says(member: &RedisMember, request: &[&str], what: &str) -> bool {
    member.ask(request).is_some_and(|said| said.lines().any(|line| line.trim_end() == what))
}
