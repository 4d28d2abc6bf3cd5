//! One count for all nodes: first and last subscribers, connections of a user, and questions to a client anywhere.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jackfield_cluster::{Cluster, ClusterOptions, MemoryBus};
use jackfield_hub::control::{ControlError, Outcome, apply, apply_named};
use jackfield_hub::{
    Address, Hub, Mail, Mailbox, Membership, Namespaces, Occupancy, Options, SessionOrder, Undelivered,
};
use jackfield_model::app::{ClientCall, Command, Publish, Target};
use jackfield_model::{ClientError, ClientInfo, Disconnect, Payload, Uuid};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::schedule::{Asleep, Dice, NOW, somebody, until};

/// What all nodes tell the application, in the order in which it was told.
type Book = Arc<Mutex<Vec<(bool, String)>>>;

struct Scribe(Book);

impl Occupancy for Scribe {
    fn occupied(&self, channel: &Arc<str>) {
        self.0.lock().unwrap().push((true, channel.to_string()));
    }

    fn vacated(&self, channel: &Arc<str>) {
        self.0.lock().unwrap().push((false, channel.to_string()));
    }
}

struct Node {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    cluster: Cluster,
}

impl Node {
    fn new(bus: &MemoryBus, name: &str, book: &Book) -> Self {
        let options = Options { occupancy_events: true, ..Options::default() };
        let namespaces =
            Namespaces { without: Some(Arc::new(options)), user_separator: ",".to_owned(), ..Namespaces::default() };
        let mailbox = Arc::new(Mailbox::new(Box::new(Asleep::default())));
        let hub = Arc::new(Hub::new(namespaces, vec![Arc::clone(&mailbox)], 1000, 7));
        assert!(hub.watch_occupancy(Arc::new(Scribe(Arc::clone(book)))));
        let about = ClusterOptions { uid: name.into(), name: name.to_owned(), version: "test".to_owned() };
        let cluster = Cluster::start(Arc::new(bus.engine(name)), Arc::clone(&hub), about, &Handle::current());
        Self { hub, mailbox, cluster }
    }

    fn enter(&self, channel: &str) {
        let info = somebody(1);
        let member = Membership { worker: 0, info: &info, counted: false, announced: false };
        self.hub.subscribe(channel, member, None, NOW).unwrap();
    }

    fn leave(&self, channel: &str) {
        let info = somebody(1);
        let member = Membership { worker: 0, info: &info, counted: false, announced: false };
        self.hub.unsubscribe(channel, member, true, NOW);
    }

    /// Takes what is in the mailbox.
    fn mail(&self) -> Vec<Mail> {
        let mut mails = Vec::new();
        self.mailbox.take(&mut mails);
        mails
    }
}

async fn nodes(bus: &MemoryBus, names: &[&str], book: &Book) -> Vec<Node> {
    let nodes: Vec<Node> = names.iter().map(|name| Node::new(bus, name, book)).collect();
    let all_know_all = || nodes.iter().all(|node| node.cluster.others().len() + 1 == names.len());
    until(all_know_all).await;
    // Homes have settled.
    tokio::time::sleep(Duration::from_secs(1)).await;
    nodes
}

async fn quiet() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

fn told(book: &Book) -> Vec<(bool, String)> {
    std::mem::take(&mut *book.lock().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_occupied_once_and_vacated_once_wherever_its_subscribers_are() {
    let (bus, book) = (MemoryBus::default(), Book::default());
    let nodes = nodes(&bus, &["one", "two", "three"], &book).await;
    for number in 0..20 {
        let channel = format!("room{number}");
        for node in &nodes {
            node.enter(&channel);
        }
        until(|| !book.lock().unwrap().is_empty()).await;
        quiet().await;
        assert_eq!(told(&book), [(true, channel.clone())]);
        nodes[0].leave(&channel);
        nodes[2].leave(&channel);
        quiet().await;
        assert_eq!(told(&book), []);
        nodes[1].leave(&channel);
        until(|| !book.lock().unwrap().is_empty()).await;
        quiet().await;
        assert_eq!(told(&book), [(false, channel)]);
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_that_come_and_go_in_order_tell_nothing_new() {
    let (bus, book) = (MemoryBus::default(), Book::default());
    let mut all = nodes(&bus, &["one", "two"], &book).await;
    let channels: Vec<String> = (0..50).map(|number| format!("room{number}")).collect();
    for channel in &channels {
        all[0].enter(channel);
    }
    until(|| book.lock().unwrap().len() == 50).await;
    assert!(told(&book).iter().all(|(occupied, _)| *occupied));
    // A third node becomes the home of some, and later goes down in order.
    let three = Node::new(&bus, "three", &book);
    until(|| three.cluster.others().len() == 2).await;
    quiet().await;
    assert_eq!(told(&book), []);
    for channel in &channels[..25] {
        all[0].leave(channel);
    }
    quiet().await;
    let mut vacated = told(&book);
    vacated.sort();
    let mut wanted: Vec<_> = channels[..25].iter().map(|channel| (false, channel.clone())).collect();
    wanted.sort();
    assert_eq!(vacated, wanted);
    three.cluster.stop().await;
    quiet().await;
    // So does one of the first two, whose channels others have as well.
    for channel in &channels[25..] {
        all[1].enter(channel);
    }
    quiet().await;
    assert_eq!(told(&book), []);
    let one = all.remove(0);
    for channel in &channels[25..] {
        one.leave(channel);
    }
    one.cluster.stop().await;
    quiet().await;
    assert_eq!(told(&book), []);
    for channel in &channels[25..] {
        all[0].leave(channel);
    }
    quiet().await;
    assert_eq!(told(&book).len(), 25);
}

#[tokio::test(start_paused = true)]
async fn what_only_a_lost_node_had_is_vacated() {
    let (bus, book) = (MemoryBus::default(), Book::default());
    let others = Book::default();
    let mut nodes =
        vec![Node::new(&bus, "one", &book), Node::new(&bus, "two", &others), Node::new(&bus, "three", &book)];
    until(|| nodes.iter().all(|node| node.cluster.others().len() == 2)).await;
    quiet().await;
    for number in 0..60 {
        nodes[0].enter(&format!("room{number}"));
        nodes[1].enter(&format!("room{number}"));
        nodes[1].enter(&format!("mine{number}"));
    }
    until(|| book.lock().unwrap().len() + others.lock().unwrap().len() == 120).await;
    told(&book);
    bus.cut("two");
    drop(nodes.remove(1));
    until(|| nodes[0].cluster.others().len() == 1 && nodes[1].cluster.others().len() == 1).await;
    quiet().await;
    let news = told(&book);
    // What the lost node itself kept count of may be told again; what it alone had and others kept count of is vacated.
    let vacated = news.iter().filter(|(occupied, _)| !*occupied).count();
    assert!(news.iter().all(|(occupied, channel)| *occupied == channel.starts_with("room")), "{news:?}");
    assert!((25..60).contains(&vacated), "two of three homes are left: {vacated}");
    for number in 0..60 {
        nodes[0].leave(&format!("room{number}"));
    }
    quiet().await;
    assert_eq!(told(&book).iter().filter(|(occupied, _)| !*occupied).count(), 60);
}

/// Subscribers come and go on nodes that are cut off for a while, shorter than their lease and longer: in the end what was
/// told last of every channel is true.
#[tokio::test(start_paused = true)]
async fn in_the_end_it_is_true() {
    let only = std::env::var("JACKFIELD_SIM_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    for seed in only.map_or(0..200, |seed| seed..seed + 1) {
        let played = tokio::spawn(play(seed)).await;
        assert!(played.is_ok(), "seed {seed}: again with JACKFIELD_SIM_SEED={seed}");
    }
}

async fn play(seed: u64) {
    const NAMES: [&str; 3] = ["one", "two", "three"];
    const CHANNELS: usize = 12;
    let (bus, book) = (MemoryBus::default(), Book::default());
    let mut dice = Dice(seed);
    let nodes = nodes(&bus, &NAMES, &book).await;
    let (mut members, mut is_cut) = ([[false; CHANNELS]; 3], [false; 3]);
    for _ in 0..200 {
        let which = dice.roll(3) as usize;
        match dice.roll(16) {
            0 if !is_cut.contains(&true) => {
                bus.cut(NAMES[which]);
                is_cut[which] = true;
            }
            1 | 2 if is_cut[which] => {
                bus.heal(NAMES[which]);
                is_cut[which] = false;
            }
            3 | 4 => tokio::time::sleep(Duration::from_millis(dice.roll(4000))).await,
            _ => {
                let number = dice.roll(CHANNELS as u64) as usize;
                let member = &mut members[which][number];
                *member = !*member;
                let channel = format!("room{number}");
                if *member { nodes[which].enter(&channel) } else { nodes[which].leave(&channel) }
            }
        }
    }
    for (which, name) in NAMES.iter().enumerate().filter(|(which, _)| is_cut[*which]) {
        let _ = which;
        bus.heal(name);
    }
    until(|| nodes.iter().all(|node| node.cluster.others().len() == 2)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let news = told(&book);
    for number in 0..CHANNELS {
        let channel = format!("room{number}");
        let last = news.iter().rfind(|(_, name)| *name == channel).is_some_and(|(occupied, _)| *occupied);
        let is_in_use = members.iter().any(|members| members[number]);
        assert_eq!(
            last,
            is_in_use,
            "{channel}: {:?}",
            news.iter().filter(|(_, name)| *name == channel).collect::<Vec<_>>()
        );
    }
    // And no leftovers: who leaves now is the last.
    for (which, members) in members.iter().enumerate() {
        for number in (0..CHANNELS).filter(|number| members[*number]) {
            nodes[which].leave(&format!("room{number}"));
        }
    }
    quiet().await;
    let mut last: std::collections::HashMap<String, bool> = std::collections::HashMap::new();
    for (occupied, channel) in news.into_iter().chain(told(&book)) {
        last.insert(channel, occupied);
    }
    assert!(last.values().all(|occupied| !occupied), "{last:?}");
}

fn arrive(node: &Node, user: &str, client: u128, slot: u32, limit: usize) -> bool {
    let info = ClientInfo { client: Uuid::from_u128(client), user: user.into(), ..ClientInfo::default() };
    node.hub.arrive(&info, Address { worker: 0, slot, generation: 1 }, limit)
}

#[tokio::test(start_paused = true)]
async fn a_user_has_no_more_connections_than_allowed_on_all_nodes_together() {
    let (bus, book) = (MemoryBus::default(), Book::default());
    let nodes = nodes(&bus, &["one", "two", "three"], &book).await;
    let ended = |node: &Node| {
        let mails = node.mail();
        let ends = |mail: &Mail| {
            matches!(mail, Mail::Order(_, order)
                if matches!(&**order, SessionOrder::Disconnect(end) if end.disconnect == Disconnect::CONNECTION_LIMIT))
        };
        mails.iter().filter(|mail| ends(mail)).count()
    };
    for number in 0..10 {
        let user = format!("user{number}");
        let client = |which: u128| u128::from(number as u8) * 10 + which + 1;
        let slot = number as u32 * 10;
        assert!(arrive(&nodes[0], &user, client(0), slot, 2));
        quiet().await;
        assert!(arrive(&nodes[1], &user, client(1), slot, 2));
        quiet().await;
        assert_eq!(nodes.iter().map(ended).sum::<usize>(), 0);
        assert!(arrive(&nodes[2], &user, client(2), slot, 2), "nobody here knows better yet");
        let mut counts = [0; 3];
        until(|| {
            for (count, node) in counts.iter_mut().zip(&nodes) {
                *count += ended(node);
            }
            counts[2] == 1
        })
        .await;
        assert_eq!(counts, [0, 0, 1], "the last that came goes");
        // Its end frees its place.
        let info = |which: u128| ClientInfo {
            client: Uuid::from_u128(client(which)),
            user: user.as_str().into(),
            ..ClientInfo::default()
        };
        let at = Address { worker: 0, slot, generation: 1 };
        nodes[2].hub.depart(&info(2), at);
        nodes[0].hub.depart(&info(0), at);
        quiet().await;
        assert!(arrive(&nodes[2], &user, client(3), slot + 1, 2));
        quiet().await;
        assert_eq!(nodes.iter().map(ended).sum::<usize>(), 0);
    }
}

async fn ask(node: &Node, target: Target) -> Result<Outcome, ControlError> {
    let call = ClientCall { target, method: "m".to_owned(), data: Payload::json("1"), timeout: 5000 };
    let (done, outcome) = oneshot::channel();
    apply(&node.hub, &Command::Call(call), NOW, Box::new(move |outcome| drop(done.send(outcome))));
    outcome.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_is_asked_on_whichever_node_it_is() {
    let (bus, book) = (MemoryBus::default(), Book::default());
    let nodes = nodes(&bus, &["one", "two", "three"], &book).await;
    assert!(arrive(&nodes[2], "ann", 1, 1, 0));
    assert!(arrive(&nodes[1], "bob", 2, 1, 0) && arrive(&nodes[2], "bob", 3, 2, 0));
    let target = |user: &str| Target { user: Some(user.into()), ..Target::default() };
    let answering = async {
        loop {
            for mail in nodes[2].mail() {
                if let Mail::Order(address, order) = mail
                    && let SessionOrder::Call(id, call) = &*order
                {
                    assert_eq!((&*call.method, address.slot), ("m", 1));
                    assert!(nodes[2].hub.answer(*id, Some(address), Ok("42".into())));
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (outcome, ()) = tokio::join!(ask(&nodes[0], target("ann")), answering);
    assert_eq!(outcome, Ok(Outcome::Answered("42".into())));
    // Nobody, several, and one that ends before it answers.
    let refused = |outcome: Result<Outcome, ControlError>| match outcome {
        Err(ControlError::Refused(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(ask(&nodes[0], target("eve")).await).code, ClientError::NOT_AVAILABLE.code);
    let error = refused(ask(&nodes[0], target("bob")).await);
    assert!(error.message.contains("2 connections match"), "{error:?}");
    let named = Target { client: Some(Uuid::from_u128(2)), ..Target::default() };
    let ending = async {
        until(|| !nodes[1].mail().is_empty()).await;
        let info = ClientInfo { client: Uuid::from_u128(2), user: "bob".into(), ..ClientInfo::default() };
        nodes[1].hub.depart(&info, Address { worker: 0, slot: 1, generation: 1 });
    };
    let (outcome, ()) = tokio::join!(ask(&nodes[0], named), ending);
    assert_eq!(refused(outcome).code, ClientError::NOT_AVAILABLE.code);
    // The node itself goes: who asked is told when its lease has run out, or its own time.
    let named = Target { client: Some(Uuid::from_u128(1)), ..Target::default() };
    let losing = async {
        until(|| !nodes[2].mail().is_empty()).await;
        bus.cut("three");
    };
    let (outcome, ()) = tokio::join!(ask(&nodes[0], named), losing);
    assert_eq!(refused(outcome).code, ClientError::NOT_AVAILABLE.code);
}

#[tokio::test(start_paused = true)]
async fn what_is_for_a_user_of_another_node_is_not_undelivered() {
    let (bus, book) = (MemoryBus::default(), Book::default());
    let nodes = nodes(&bus, &["one", "two"], &book).await;
    let words = Arc::new(Mutex::new(Vec::<Undelivered>::new()));
    let kept = Arc::clone(&words);
    assert!(nodes[0].hub.regret(Some("#".to_owned()), Arc::new(move |word| kept.lock().unwrap().push(word))));
    assert!(arrive(&nodes[1], "ann", 1, 1, 0));
    for (number, channel) in ["#ann", "#bob"].into_iter().enumerate() {
        let publish = Publish { channel: channel.into(), data: Payload::json("1"), ..Publish::default() };
        let (done, outcome) = oneshot::channel();
        let command = Command::Publish(publish);
        let then = Box::new(move |outcome| drop(done.send(outcome)));
        apply_named(&nodes[0].hub, (&format!("id-{number}"), &command), NOW, then);
        outcome.await.unwrap().unwrap();
    }
    quiet().await;
    let words = words.lock().unwrap();
    let missed: Vec<_> = words.iter().map(|word| (&*word.command, &*word.user)).collect();
    assert_eq!(missed, [("id-1", "bob")]);
}
