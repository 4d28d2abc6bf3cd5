//! Every command of the application, applied.

use std::sync::Arc;

use jackfield_hub::control::{ControlError, Outcome, apply};
use jackfield_hub::namespace::Namespaces;
use jackfield_hub::{Address, Hub, Mail, Mailbox, Membership, Options};
use jackfield_model::app::{Broadcast, Command, Ejection, HistoryQuery, Publish, Send, Target};
use jackfield_model::client::{PresenceStats, Push};
use jackfield_model::{ClientError, ClientInfo, Disconnect, Payload, Position, Uuid};

use crate::mailboxes;

const NOW: u64 = 1_000;

struct House {
    hub: Hub,
    boxes: Vec<Arc<Mailbox>>,
}

/// Two workers; channels in `full:` have all there is.
fn house() -> House {
    let full = Options { presence: true, join_leave: true, history_size: 3, history_ttl: 10_000, ..Options::default() };
    let namespaces =
        Namespaces { named: [("full".to_owned(), Arc::new(full))].into_iter().collect(), ..Namespaces::default() };
    let boxes = mailboxes(2);
    House { hub: Hub::new(namespaces, boxes.clone(), 300, 7), boxes }
}

impl House {
    fn apply(&self, command: &Command) -> Result<Outcome, ControlError> {
        let (done, outcome) = std::sync::mpsc::channel();
        apply(&self.hub, command, NOW, Box::new(move |outcome| done.send(outcome).unwrap()));
        outcome.try_recv().expect("no log, hence at once")
    }

    fn mail(&self, worker: usize) -> Vec<Mail> {
        let mut mail = Vec::new();
        self.boxes[worker].take(&mut mail);
        mail
    }

    fn arrive(&self, user: &str, number: u32) -> (Arc<ClientInfo>, Address) {
        let client = Uuid::from_u128(u128::from(number));
        let info = Arc::new(ClientInfo { user: user.into(), client, ..ClientInfo::default() });
        let address = Address { worker: (number % 2) as u16, slot: number, generation: 1 };
        assert!(self.hub.arrive(&info, address, 0));
        (info, address)
    }

    fn join(&self, channel: &str, info: &Arc<ClientInfo>, worker: u16) {
        self.hub.subscribe(channel, Membership { worker, info, counted: true, announced: true }, None, NOW).unwrap();
        self.mail(usize::from(worker));
    }
}

fn publish(channel: &str, data: &'static str) -> Command {
    Command::Publish(Publish { channel: channel.into(), data: Payload::json(data), ..Publish::default() })
}

fn published(outcome: Outcome) -> Option<u64> {
    let Outcome::Published(published) = outcome else { panic!("{outcome:?}") };
    published.position.map(|position| position.offset)
}

fn unknown() -> Result<Outcome, ControlError> {
    Err(ControlError::Refused(ClientError::UNKNOWN_CHANNEL))
}

fn not_available() -> Result<Outcome, ControlError> {
    Err(ControlError::Refused(ClientError::NOT_AVAILABLE))
}

#[test]
fn publish_numbers_keeps_and_mails_to_those_who_care() {
    let house = house();
    let (ann, _) = house.arrive("ann", 1);
    house.join("full:a", &ann, 1);
    assert_eq!(published(house.apply(&publish("full:a", "1")).unwrap()), Some(1));
    assert_eq!(published(house.apply(&publish("full:a", "2")).unwrap()), Some(2));
    let skipping = Publish { channel: "full:a".into(), skip_history: true, ..Publish::default() };
    assert_eq!(published(house.apply(&Command::Publish(skipping)).unwrap()), None);
    assert_eq!(published(house.apply(&publish("bare", "1")).unwrap()), None);
    assert_eq!(house.apply(&publish("no:such", "1")), unknown());
    assert!(house.mail(0).is_empty());
    let offsets: Vec<u64> = house.mail(1).iter().map(offset).collect();
    assert_eq!(offsets, [1, 2, 0]);
}

fn offset(mail: &Mail) -> u64 {
    let Mail::Channel { parcel, .. } = mail else { panic!("{mail:?}") };
    let Push::Publication(_, publication) = parcel.push() else { panic!("{parcel:?}") };
    publication.offset
}

#[test]
fn tags_and_time_travel_with_a_publication() {
    let house = house();
    let tags = Some(Arc::new([("a".to_owned(), "b".to_owned())].into_iter().collect()));
    let tagged = Publish { channel: "full:a".into(), tags: tags.clone(), ..Publish::default() };
    house.apply(&Command::Publish(tagged)).unwrap();
    let page = house.hub.history("full:a", 1, (None, None), false, NOW).unwrap();
    assert_eq!(page.publications[0].tags, tags);
    assert_eq!(page.publications[0].time, NOW);
    assert_eq!(page.publications[0].info, None);
}

#[test]
fn broadcast_answers_for_each_channel() {
    let house = house();
    let channels = ["full:a", "no:such", "bare", "full:b"];
    let broadcast = Broadcast { channels: channels.map(Arc::from).to_vec(), ..Broadcast::default() };
    let Outcome::Broadcast(results) = house.apply(&Command::Broadcast(broadcast)).unwrap() else { panic!() };
    let offsets: Vec<_> = results.into_iter().map(|one| one.map(|p| p.position.map(|p| p.offset))).collect();
    assert_eq!(offsets, [Ok(Some(1)), Err(ClientError::UNKNOWN_CHANNEL), Ok(None), Ok(Some(1))]);
}

#[test]
fn history_presence_and_statistics() {
    let house = house();
    for data in ["1", "2", "3", "4"] {
        house.apply(&publish("full:a", data)).unwrap();
    }
    let query = |limit, since, reverse| {
        let query = HistoryQuery { channel: "full:a".into(), limit, since, from: None, reverse };
        match house.apply(&Command::History(query)) {
            Ok(Outcome::History(page)) => Ok((page.publications.iter().map(|p| p.offset).collect(), page.position)),
            Err(error) => Err(error),
            outcome => panic!("{outcome:?}"),
        }
    };
    let (all, top): (Vec<u64>, Position) = query(-1, None, false).unwrap();
    assert_eq!((all, top.offset), (vec![2, 3, 4], 4));
    assert_eq!(query(0, None, false).unwrap().0, [0; 0]);
    assert_eq!(query(1, None, true).unwrap().0, [4]);
    let since = Position { offset: 3, epoch: Arc::clone(&top.epoch) };
    assert_eq!(query(-1, Some(since), false).unwrap().0, [4]);
    let elsewhere = Position { offset: 3, epoch: "other".into() };
    assert_eq!(query(-1, Some(elsewhere), false), Err(ControlError::Refused(ClientError::UNRECOVERABLE_POSITION)));

    let members = [house.arrive("ann", 1).0, house.arrive("ann", 2).0, house.arrive("bob", 3).0];
    for info in &members {
        house.join("full:a", info, 0);
    }
    let Ok(Outcome::Presence(present)) = house.apply(&Command::Presence("full:a".into())) else { panic!() };
    assert_eq!(present.len(), 3);
    let stats = house.apply(&Command::PresenceStats("full:a".into()));
    assert_eq!(stats, Ok(Outcome::PresenceStats(PresenceStats { num_clients: 3, num_users: 2 })));
    assert_eq!(house.apply(&Command::Presence("full:nobody".into())), Ok(Outcome::Presence(Vec::new())));
}

#[test]
fn what_a_namespace_has_not_is_refused() {
    let house = house();
    let history = |channel: &str| Command::History(HistoryQuery { channel: channel.into(), ..HistoryQuery::default() });
    for (channel, refused) in [("bare", not_available()), ("no:such", unknown())] {
        assert_eq!(house.apply(&history(channel)), refused);
        assert_eq!(house.apply(&Command::Presence(channel.into())), refused);
        assert_eq!(house.apply(&Command::PresenceStats(channel.into())), refused);
    }
    assert_eq!(house.hub.channels(), 0);
}

#[test]
fn send_reaches_every_connection_of_a_user() {
    let house = house();
    let (_, first) = house.arrive("ann", 1);
    let (_, second) = house.arrive("ann", 2);
    house.arrive("bob", 3);
    house.arrive("", 4);
    let send = |user: &str| house.apply(&Command::Send(Send { user: user.into(), data: Payload::json("1") }));
    assert_eq!(send("ann"), Ok(Outcome::Connections(2)));
    let to = |worker| match house.mail(worker).as_slice() {
        [Mail::Direct(address, parcel)] if matches!(parcel.push(), Push::Message(_)) => *address,
        mail => panic!("{mail:?}"),
    };
    assert_eq!((to(1), to(0)), (first, second));
    assert_eq!(send("eve"), Ok(Outcome::Connections(0)));
    assert_eq!(send(""), Ok(Outcome::Connections(0)), "nobody is called nobody");
}

#[test]
fn disconnect_must_match_all_that_is_given() {
    let house = house();
    let (ann, at) = house.arrive("ann", 1);
    house.arrive("ann", 3);
    let (nobody, _) = house.arrive("", 5);
    let end = |user: Option<&str>, client| {
        let target = Target { user: user.map(Arc::from), client, session: None };
        let ejection = Ejection { target, whitelist: Vec::new(), disconnect: Disconnect::FORCE };
        let Ok(Outcome::Connections(count)) = house.apply(&Command::Disconnect(ejection)) else { panic!() };
        assert_eq!(count, house.mail(1).len(), "the count is what was told");
        count
    };
    assert_eq!(end(Some("ann"), None), 2);
    assert_eq!(end(None, Some(ann.client)), 1);
    assert_eq!(end(Some("ann"), Some(ann.client)), 1);
    assert_eq!(end(Some("bob"), Some(ann.client)), 0);
    assert_eq!(end(Some("ann"), Some(nobody.client)), 0);
    assert_eq!(end(None, Some(nobody.client)), 1);
    assert_eq!(end(None, None), 0, "nobody means nobody, not everybody");
    assert_eq!(end(Some("eve"), None), 0);
    house.hub.depart(&ann, at);
    assert_eq!(end(None, Some(ann.client)), 0);
    assert!(!house.hub.is_connected(ann.client));
}

#[test]
fn a_full_worker_refuses_publications_until_its_mail_is_taken() {
    let house = house();
    let (ann, _) = house.arrive("ann", 1);
    house.join("full:a", &ann, 1);
    let mut taken = 0;
    while house.apply(&publish("full:a", "1")).is_ok() {
        taken += 1;
        assert!(taken < 1_000_000, "a mailbox without an end");
    }
    assert_eq!(house.apply(&publish("full:a", "1")), Err(ControlError::Busy));
    // Nothing of a refused publication remains: its number is the next one's.
    assert_eq!(house.hub.history("full:a", 0, (None, None), false, NOW).unwrap().position.offset, taken);
    // Channels that this worker does not care for are as before.
    assert_eq!(published(house.apply(&publish("full:b", "1")).unwrap()), Some(1));
    let both = |first: &str, second: &str| {
        let channels = vec![Arc::from(first), Arc::from(second)];
        house.apply(&Command::Broadcast(Broadcast { channels, ..Broadcast::default() }))
    };
    assert_eq!(both("full:a", "full:b"), Err(ControlError::Busy));
    assert!(both("full:b", "full:a").is_ok(), "what is half done is finished");
    assert_eq!(house.mail(1).len() as u64, taken + 1);
    assert!(house.apply(&publish("full:a", "1")).is_ok());
}

#[test]
fn a_channel_that_was_only_looked_at_is_forgotten() {
    let house = house();
    for n in 0..100 {
        house.hub.history(&format!("full:{n}"), 0, (None, None), false, NOW).unwrap();
    }
    assert_eq!(house.hub.channels(), 100);
    for round in 0..64 {
        house.hub.sweep(round, NOW + 5_000);
    }
    assert_eq!(house.hub.channels(), 100);
    house.apply(&publish("full:7", "1")).unwrap();
    for round in 0..64 {
        house.hub.sweep(round, NOW + 10_001);
    }
    assert_eq!(house.hub.channels(), 1, "its epoch and top are kept");
}
