//! One count for all nodes: which channels are in use anywhere, and how many connections a user has.
//!
//! Every channel and every user has a *home*, one of the nodes, which all nodes find by the same hash. A node tells the home
//! what comes and goes on its own side; the home puts the nodes together, tells the application when a channel gets its first
//! subscriber anywhere or loses its last, and ends the connection by which a user has too many.
//!
//! When nodes come or go a few homes move: each node tells the new home what it has there. What an orderly move brings is no
//! news. After a loss `occupied` may be told once more: for the channels that a lost home kept count of, because nobody knows
//! whether it still told it; and when a node comes back that was only cut off, because either side may have told `vacated`
//! of a channel that was in use on the other. So what was told last of a channel is true again when all have met.
//!
//! The way is one: own changes and words of other nodes come in by one queue, lines go out by the ordered words of the node.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use jackfield_hub::Hub;
use jackfield_model::app::{Ejection, Target};
use jackfield_model::{ClientId, Disconnect};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::ask::Ask;
use crate::home::{Home, home_of};
use crate::note::Note;
use crate::words::Words;

/// Lines of one word.
const CHUNK: usize = 512;
/// Changes that are put into words together.
const TOGETHER: usize = 1024;
/// How long a lost node may have been cut off only.
const MAY_RETURN: Duration = Duration::from_secs(600);
/// After how long all know of a node that has returned, and of all others.
const SETTLE: Duration = Duration::from_secs(10);
/// Channels that are remembered for its return.
const MOST_DOUBTS: usize = 100_000;

/// What a node tells a home.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Line {
    /// A channel has subscribers here, or none any more.
    Channel { name: Arc<str>, in_use: bool, moved: bool },
    /// A connection of a user is here, or no more; `limit`: how many there may be.
    User { user: Arc<str>, client: ClientId, is_here: bool, limit: u32, moved: bool },
    /// I told this of a channel while some of us did not hear each other.
    Doubt { name: Arc<str>, in_use: bool },
}

/// Several lines.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Ledger {
    /// All that this node has follows; what is not in it, is no more.
    pub(crate) first: bool,
    /// That was all.
    pub(crate) last: bool,
    pub(crate) lines: Vec<Line>,
}

/// What the registrar is told.
#[derive(Debug)]
pub(crate) enum Change {
    /// A channel has its first subscriber on this node, or lost its last.
    Channel(Arc<str>, bool),
    Arrived(Arc<str>, ClientId, u32),
    Departed(Arc<str>, ClientId),
    /// A node's lines.
    Heard(Arc<str>, Ledger),
    /// These nodes are there now; of those that are not any more, these were lost.
    Nodes(Vec<Arc<str>>, Vec<Arc<str>>),
    /// A node wants to hear all that concerns it.
    Recount(Arc<str>),
    /// Words may have been lost, in both directions.
    Interrupted,
    /// This node stood still: the others may have moved its homes.
    StoodStill,
    /// Tell me when all that came before this is said.
    Flush(oneshot::Sender<()>),
}

/// What is here.
#[derive(Debug, Default)]
struct Own {
    channels: HashSet<Arc<str>>,
    users: HashMap<Arc<str>, (u32, Vec<ClientId>)>,
}

impl Own {
    fn lines(&self) -> impl Iterator<Item = Line> + '_ {
        let channels = self.channels.iter().map(|name| channel(name, true, false));
        let users = self.users.iter().flat_map(|(user, (limit, clients))| {
            clients.iter().map(|client| Line::User {
                user: Arc::clone(user),
                client: *client,
                is_here: true,
                limit: *limit,
                moved: false,
            })
        });
        channels.chain(users)
    }
}

/// The registrar of a node.
pub(crate) struct Registrar {
    hub: Arc<Hub>,
    me: Arc<str>,
    words: Words,
    changes: mpsc::UnboundedReceiver<Change>,
    /// All nodes, this one among them.
    nodes: Vec<Arc<str>>,
    own: Own,
    home: Home,
    /// Nodes that were lost, and when: they may only have been cut off.
    lost: HashMap<Arc<str>, Instant>,
    /// What this node told of channels since then.
    doubts: HashMap<Arc<str>, bool>,
    /// When all will have met again.
    settle: Option<Instant>,
    /// What is in doubt was said to whoever keeps count.
    is_said: bool,
    /// Nodes that were asked to name all they have when things had settled.
    expected: HashSet<Arc<str>>,
    /// What is to be said to whom.
    out: HashMap<Arc<str>, Vec<Line>>,
}

impl Registrar {
    pub(crate) fn new(hub: Arc<Hub>, me: Arc<str>, words: Words, changes: mpsc::UnboundedReceiver<Change>) -> Self {
        let nodes = vec![Arc::clone(&me)];
        let (own, home, lost) = (Own::default(), Home::default(), HashMap::new());
        Self {
            hub,
            me,
            words,
            changes,
            nodes,
            own,
            home,
            lost,
            doubts: HashMap::new(),
            settle: None,
            is_said: false,
            expected: HashSet::new(),
            out: HashMap::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        let mut together = Vec::with_capacity(64);
        loop {
            let settle = self.settle;
            let settling = async {
                match settle {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                count = self.changes.recv_many(&mut together, TOGETHER) => if count == 0 { return },
                () = settling => self.settle(),
            }
            let mut flushed = Vec::new();
            for change in together.drain(..) {
                self.take(change, &mut flushed);
            }
            self.speak();
            for flushed in flushed {
                // Who asked may have gone.
                let _ = flushed.send(());
            }
        }
    }

    fn take(&mut self, change: Change, flushed: &mut Vec<oneshot::Sender<()>>) {
        match change {
            Change::Channel(name, in_use) => {
                let line = channel(&name, in_use, false);
                if in_use {
                    self.own.channels.insert(name);
                } else {
                    self.own.channels.remove(&name);
                }
                self.tell_home(line);
            }
            Change::Arrived(user, client, limit) => {
                let known = self.own.users.entry(Arc::clone(&user)).or_default();
                known.0 = limit;
                known.1.push(client);
                self.tell_home(Line::User { user, client, is_here: true, limit, moved: false });
            }
            Change::Departed(user, client) => self.departed(user, client),
            Change::Heard(from, ledger) => self.hear(&from, ledger),
            Change::Nodes(nodes, lost) => self.move_homes(nodes, &lost),
            Change::Recount(node) => {
                self.announce(&node);
                for (name, in_use) in self.doubts.clone() {
                    if home_of(&name, &self.nodes) == Some(&node) {
                        self.tell_home(Line::Doubt { name, in_use });
                    }
                }
            }
            Change::Interrupted => {
                self.settle_later();
                self.words.say(None, &Note::Recount { from: Arc::clone(&self.me) });
                for node in self.nodes.clone() {
                    self.announce(&node);
                }
            }
            Change::StoodStill => {
                self.home = Home::default();
                self.words.say(None, &Note::Recount { from: Arc::clone(&self.me) });
                let me = Arc::clone(&self.me);
                for line in self.own.lines().collect::<Vec<_>>() {
                    if self.home_of(&line) == me {
                        self.hear_line(&me, moved(line));
                    }
                }
            }
            Change::Flush(sender) => flushed.push(sender),
        }
    }

    fn departed(&mut self, user: Arc<str>, client: ClientId) {
        let Some((limit, clients)) = self.own.users.get_mut(&user) else { return };
        let (limit, before) = (*limit, clients.len());
        clients.retain(|known| *known != client);
        let is_known = clients.len() < before;
        if clients.is_empty() {
            self.own.users.remove(&user);
        }
        if is_known {
            self.tell_home(Line::User { user, client, is_here: false, limit, moved: false });
        }
    }

    fn home_of(&self, line: &Line) -> Arc<str> {
        Arc::clone(home_of(key(line), &self.nodes).unwrap_or(&self.me))
    }

    fn tell_home(&mut self, line: Line) {
        let home = self.home_of(&line);
        self.tell(home, line);
    }

    fn tell(&mut self, home: Arc<str>, line: Line) {
        if home == self.me {
            self.hear_line(&home, line);
        } else {
            self.out.entry(home).or_default().push(line);
        }
    }

    /// Says what has gathered.
    fn speak(&mut self) {
        for (node, lines) in mem::take(&mut self.out) {
            for chunk in lines.chunks(CHUNK) {
                self.say(&node, Ledger { lines: chunk.to_vec(), ..Ledger::default() });
            }
        }
    }

    fn say(&self, node: &Arc<str>, ledger: Ledger) {
        self.words.say(Some(Arc::clone(node)), &Note::Ledger { from: Arc::clone(&self.me), ledger });
    }

    /// Tells a node all that it is home of.
    fn announce(&mut self, node: &Arc<str>) {
        if *node == self.me {
            return;
        }
        // What gathered before would otherwise come after.
        self.speak();
        let lines: Vec<Line> = self.own.lines().filter(|line| self.home_of(line) == *node).collect();
        if lines.is_empty() {
            return self.say(node, Ledger { first: true, last: true, ..Ledger::default() });
        }
        let count = lines.chunks(CHUNK).len();
        for (nth, chunk) in lines.chunks(CHUNK).enumerate() {
            self.say(node, Ledger { first: nth == 0, last: nth + 1 == count, lines: chunk.to_vec() });
        }
    }

    /// Other nodes are there now.
    fn move_homes(&mut self, mut nodes: Vec<Arc<str>>, lost: &[Arc<str>]) {
        nodes.push(Arc::clone(&self.me));
        nodes.sort_unstable();
        let before = mem::replace(&mut self.nodes, nodes);
        let gone: Vec<Arc<str>> = before.iter().filter(|node| !self.nodes.contains(node)).cloned().collect();
        let now = Instant::now();
        self.lost.retain(|_, since| now.duration_since(*since) < MAY_RETURN);
        let returned: Vec<Arc<str>> = self.nodes.iter().filter(|node| self.lost.contains_key(*node)).cloned().collect();
        self.lost.extend(lost.iter().map(|node| (Arc::clone(node), now)));
        for line in self.own.lines().collect::<Vec<_>>() {
            let (old, new) = (home_of(key(&line), &before).cloned(), self.home_of(&line));
            let Some(old) = old.filter(|old| *old != new) else { continue };
            let is_news = lost.contains(&old) || !returned.is_empty();
            if !gone.contains(&old) {
                self.tell(old, away(line.clone()));
            }
            self.tell(new, if is_news { line } else { moved(line) });
        }
        let (me, nodes) = (Arc::clone(&self.me), mem::take(&mut self.nodes));
        self.home.keep(|name| home_of(name, &nodes) == Some(&me));
        self.nodes = nodes;
        for node in gone {
            for name in self.home.lose(&node) {
                self.tell_app(&name, false);
            }
        }
        if !returned.is_empty() {
            self.lost.retain(|node, _| !returned.contains(node));
            self.settle_later();
        }
        if self.lost.is_empty() && self.settle.is_none() {
            self.doubts = HashMap::new();
        }
    }

    /// All know the same nodes again: whoever keeps count of a channel in doubt says whether it is in use after all.
    fn settle(&mut self) {
        self.settle = None;
        if mem::replace(&mut self.is_said, true) {
            // Nothing was interrupted since it was said, so it was heard; others may still return.
            if self.lost.is_empty() {
                self.doubts = HashMap::new();
            }
            return;
        }
        // What is said now is heard; of what was said before nobody knows.
        self.words.say(None, &Note::Recount { from: Arc::clone(&self.me) });
        self.expected = self.nodes.iter().filter(|node| **node != self.me).cloned().collect();
        for (name, in_use) in self.doubts.clone() {
            self.tell_home(Line::Doubt { name, in_use });
        }
        self.settle = Some(Instant::now() + SETTLE);
    }

    fn settle_later(&mut self) {
        self.settle = Some(Instant::now() + SETTLE);
        self.is_said = false;
    }

    fn tell_app(&mut self, name: &Arc<str>, in_use: bool) {
        // Whoever told a node that is not the home knows other nodes than that one does.
        let is_home = home_of(name, &self.nodes) == Some(&self.me);
        if !is_home {
            self.settle_later();
        }
        if (!is_home || !self.lost.is_empty() || self.settle.is_some()) && self.doubts.len() < MOST_DOUBTS {
            self.doubts.insert(Arc::clone(name), in_use);
        }
        self.hub.tell_occupancy(name, in_use);
    }

    fn hear(&mut self, from: &Arc<str>, ledger: Ledger) {
        if ledger.first {
            if !self.expected.remove(from) {
                // It may know other nodes than this one does, and leave out what it tells another home.
                self.settle_later();
            }
            self.home.begin_recount(from);
        }
        for line in ledger.lines {
            self.hear_line(from, line);
        }
        if ledger.last {
            for name in self.home.end_recount(from) {
                self.is_said = false;
                self.tell_app(&name, false);
            }
        }
    }

    /// As the home: what a node says of itself.
    fn hear_line(&mut self, from: &Arc<str>, line: Line) {
        match line {
            Line::Channel { name, in_use: true, moved } => {
                if self.home.occupied(&name, from) && !moved {
                    self.tell_app(&name, true);
                }
            }
            Line::Channel { name, in_use: false, moved } => {
                if self.home.vacated(&name, from) && !moved {
                    self.tell_app(&name, false);
                }
            }
            Line::Doubt { name, in_use } => {
                if self.home.is_in_use(&name) != in_use {
                    // Somebody may not have named all it has yet: then this is in doubt as well.
                    self.settle_later();
                    self.tell_app(&name, !in_use);
                }
            }
            Line::User { user, client, is_here: true, limit, moved } => {
                let count = self.home.arrived(&user, from, client);
                if !moved && limit != 0 && count > limit as usize {
                    self.eject(from, user, client);
                }
            }
            Line::User { user, client, is_here: false, .. } => self.home.departed(&user, from, client),
        }
    }

    /// A user has too many: the last that came goes.
    fn eject(&self, node: &Arc<str>, user: Arc<str>, client: ClientId) {
        let target = Target { client: Some(client), user: Some(user), ..Target::default() };
        let ejection = Ejection { target, whitelist: Vec::new(), disconnect: Disconnect::CONNECTION_LIMIT };
        if *node == self.me {
            self.hub.eject(ejection);
        } else {
            // Nobody waits for what comes of it.
            let ask = Box::new(Ask::Disconnect(ejection));
            self.words.say(Some(Arc::clone(node)), &Note::Ask { from: Arc::clone(&self.me), id: 0, ask });
        }
    }
}

fn channel(name: &Arc<str>, in_use: bool, moved: bool) -> Line {
    Line::Channel { name: Arc::clone(name), in_use, moved }
}

fn key(line: &Line) -> &str {
    match line {
        Line::Channel { name, .. } | Line::Doubt { name, .. } => name,
        Line::User { user, .. } => user,
    }
}

/// The same, as no news.
fn moved(mut line: Line) -> Line {
    match &mut line {
        Line::Channel { moved, .. } | Line::User { moved, .. } => *moved = true,
        Line::Doubt { .. } => {}
    }
    line
}

/// The same for the old home, which does not keep it any more.
fn away(line: Line) -> Line {
    let mut line = moved(line);
    match &mut line {
        Line::Channel { in_use: here, .. } | Line::User { is_here: here, .. } => *here = false,
        Line::Doubt { .. } => {}
    }
    line
}
