//! Dead letters as somebody looks through them who speaks to the queue's server and needs no node.

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use jackfield_bridge::QueueError;
use jackfield_model::Millis;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::registry::{OpenError, Options};

/// So long a server drops a command whose id it has seen, buried ones too.
const KNOWN_MILLIS: Millis = 300_000;

/// One dead letter, but for its data.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Letter {
    /// When it was written; 0 where nobody knows.
    pub time: Millis,
    /// Where it came from, and goes back to.
    pub partition: u32,
    /// An event that no handler could take; else a command that could not be done.
    pub is_event: bool,
    /// Id of the command or event; empty where it had none.
    pub id: String,
    /// Why it is here.
    pub reason: String,
    /// The method of a command, the type of an event.
    pub kind: String,
    /// The channel it is about, if any.
    pub channel: String,
    /// The user it is about, if any.
    pub user: String,
    /// Bytes of its payload or data.
    pub size: usize,
}

/// Which letters are meant. A letter must fit all that is given.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    /// One of these; empty: any.
    pub ids: Vec<String>,
    /// The reason holds this.
    pub reason: String,
    /// Of this partition.
    pub partition: Option<u32>,
    /// So many at most.
    pub limit: Option<usize>,
}

/// What is to be done with those that are meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Job {
    /// They are thrown away.
    Drop,
    /// They are told and stay.
    List,
    /// They go back into the queue that they came from.
    Replay {
        /// With a new id each.
        new_id: bool,
    },
}

/// What was done with one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Done {
    /// It is gone.
    Dropped,
    /// Nothing: it was buried so lately that a server would drop its id.
    Kept,
    /// It was only looked at.
    Listed,
    /// It is in its queue again.
    Replayed,
}

/// The dead letters of a queue.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Product and address, never a password.
    fn describe(&self) -> String;

    /// Does a job, and notes each letter that was meant with what was done, also where it fails later on. A listing is
    /// sorted by time. A letter leaves the dead ones only when it is surely in its queue.
    async fn settle(&self, wanted: &Wanted, job: Job, done: &mut Vec<(Letter, Done)>) -> Result<(), QueueError>;
}

/// The dead letters of a queue by the name of its driver; those of an embedded queue are a Redis' at its port.
pub fn dead_letters(driver: &str, url: &str, options: Options) -> Result<Box<dyn DeadLetters>, OpenError> {
    options.check()?;
    match driver {
        "nats" => Ok(Box::new(crate::nats::dead::NatsDead::open(url, &options)?)),
        "rabbitmq" => Ok(Box::new(crate::rabbitmq::dead::RabbitDead::open(url, &options)?)),
        "embedded" | "redis" => Ok(Box::new(crate::redis::dead::RedisDead::open(url, &options)?)),
        other => Err(OpenError::Driver(other.to_owned())),
    }
}

impl Wanted {
    pub(crate) fn fits(&self, letter: &Letter) -> bool {
        (self.ids.is_empty() || self.ids.contains(&letter.id))
            && (self.reason.is_empty() || letter.reason.contains(&self.reason))
            && self.partition.is_none_or(|partition| partition == letter.partition)
    }

    /// Whether so many are enough.
    pub(crate) fn is_full(&self, count: usize) -> bool {
        self.limit.is_some_and(|limit| count >= limit)
    }
}

impl Job {
    /// What it means for a letter.
    pub(crate) fn verdict(self, letter: &Letter) -> Done {
        match self {
            Self::Drop => Done::Dropped,
            Self::List => Done::Listed,
            Self::Replay { new_id } => {
                // An event's id is remembered by nobody, or by those who want to know that it comes again.
                let is_known = now().saturating_sub(letter.time) < KNOWN_MILLIS;
                if new_id || letter.is_event || !is_known { Done::Replayed } else { Done::Kept }
            }
        }
    }

    /// The id that a letter goes back with.
    pub(crate) fn id_of(self, letter: &Letter) -> String {
        let is_new = matches!(self, Self::Replay { new_id: true }) || letter.id.is_empty();
        if is_new { Uuid::now_v7().to_string() } else { letter.id.clone() }
    }
}

impl Letter {
    /// Reads the fields of one. A command's payload tells what it is about; of an event fields do.
    pub(crate) fn read(is_event: bool, partitions: u32, fields: &[(String, Bytes)]) -> Self {
        let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        let text = |name: &str| field(name).map_or_else(String::new, |value| lossy(value));
        let mut letter = Self { is_event, id: text("id"), reason: text("reason"), ..Self::default() };
        if is_event {
            (letter.kind, letter.channel, letter.user) = (text("type"), text("channel"), text("user"));
            letter.size = field("data").map_or(0, Bytes::len);
            let key = [text("client"), letter.channel.clone(), letter.user.clone()];
            let key = key.iter().find(|key| !key.is_empty()).map_or("", String::as_str);
            letter.partition = partition_of(key, partitions);
        } else {
            let payload = field("payload").map_or(&[][..], |payload| payload);
            letter.kind = text("method");
            letter.size = payload.len();
            let about: Map<String, Value> = serde_json::from_slice(payload).unwrap_or_default();
            let told = |name: &str| about.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            (letter.channel, letter.user) = (told("channel"), told("user"));
            let first = || about.get("channels").and_then(|channels| channels.get(0)).and_then(Value::as_str);
            if letter.channel.is_empty() {
                first().unwrap_or_default().clone_into(&mut letter.channel);
            }
            letter.partition = partition_of(&command_key(&about), partitions);
        }
        letter
    }
}

/// What decides the partition of a command: the first of these that it has, as whoever sends commands reckons.
fn command_key(payload: &Map<String, Value>) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(channel) = payload.get("channel") {
        return text(channel);
    }
    if let Some(channels) = payload.get("channels") {
        return channels.get(0).map(text).unwrap_or_default();
    }
    payload.get("user").or_else(|| payload.get("client")).map(text).unwrap_or_default()
}

fn partition_of(key: &str, partitions: u32) -> u32 {
    crc32fast::hash(key.as_bytes()) % partitions.max(1)
}

/// When an id was made; 0 where it does not tell.
pub(crate) fn born(id: &str) -> Millis {
    let time = Uuid::parse_str(id).ok().filter(|id| id.get_version_num() == 7).and_then(|id| id.get_timestamp());
    time.map_or(0, |time| {
        let (seconds, nanos) = time.to_unix();
        seconds * 1000 + Millis::from(nanos) / 1_000_000
    })
}

/// Sorts a listing, the oldest first, and leaves the rest out.
pub(crate) fn sort(done: &mut Vec<(Letter, Done)>, wanted: &Wanted) {
    done.sort_by_key(|(letter, _)| letter.time);
    done.truncate(wanted.limit.unwrap_or(usize::MAX));
}

fn lossy(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(payload: &'static str) -> Letter {
        let fields = [("id", "7"), ("method", "publish"), ("reason", "why"), ("payload", payload)];
        Letter::read(false, 8, &fields.map(|(name, value)| (name.to_owned(), Bytes::from_static(value.as_bytes()))))
    }

    #[test]
    fn a_command_goes_back_to_the_partition_of_what_it_is_about() {
        let one = command(r#"{"channel":"room:1","user":"7"}"#);
        assert_eq!(
            (one.channel.as_str(), one.user.as_str(), one.kind.as_str(), one.size),
            ("room:1", "7", "publish", 31)
        );
        assert_eq!(one.partition, partition_of("room:1", 8));
        let several = command(r#"{"channels":["a","b"]}"#);
        assert_eq!((several.channel.as_str(), several.partition), ("a", partition_of("a", 8)));
        assert_eq!(command(r#"{"user":"42"}"#).partition, partition_of("42", 8));
        assert_eq!(command(r#"{"client":"c"}"#).partition, partition_of("c", 8));
        for none in ["{}", "no json", "[]", r#"{"channels":[]}"#] {
            assert_eq!(command(none).partition, 0, "{none}");
        }
    }

    #[test]
    fn an_event_goes_back_to_the_partition_of_its_connection() {
        let fields = [("type", "message"), ("client", "c"), ("channel", "room:1"), ("user", "7"), ("data", "{}")];
        let fields = fields.map(|(name, value)| (name.to_owned(), Bytes::from_static(value.as_bytes())));
        let event = Letter::read(true, 8, &fields);
        assert_eq!((event.kind.as_str(), event.size, event.partition), ("message", 2, partition_of("c", 8)));
        assert_eq!(Letter::read(true, 8, &fields[2..3]).partition, partition_of("room:1", 8));
    }

    #[test]
    fn what_the_server_would_drop_is_kept() {
        let (young, old) = (Letter { time: now(), ..Letter::default() }, Letter::default());
        let replay = Job::Replay { new_id: false };
        assert_eq!((replay.verdict(&young), replay.verdict(&old)), (Done::Kept, Done::Replayed));
        assert_eq!(Job::Replay { new_id: true }.verdict(&young), Done::Replayed);
        assert_eq!(replay.verdict(&Letter { is_event: true, ..young.clone() }), Done::Replayed);
        assert_eq!((Job::Drop.verdict(&young), Job::List.verdict(&young)), (Done::Dropped, Done::Listed));
        let named = Letter { id: "7".to_owned(), ..young };
        assert_eq!(replay.id_of(&named), "7");
        assert_ne!(Job::Replay { new_id: true }.id_of(&named), "7");
        assert!(now() - born(&replay.id_of(&old)) < 60_000);
        assert_eq!((born("7"), born("")), (0, 0));
    }

    #[test]
    fn a_letter_fits_all_that_is_asked_for() {
        let letter =
            Letter { id: "7".to_owned(), reason: "unknown channel".to_owned(), partition: 3, ..Letter::default() };
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
        let fits = |ids, reason: &str, partition| {
            Wanted { ids, reason: reason.to_owned(), partition, limit: None }.fits(&letter)
        };
        assert!(fits(vec![], "", None) && fits(ids(&["1", "7"]), "channel", Some(3)));
        assert!(!fits(ids(&["1"]), "", None) && !fits(vec![], "late", None) && !fits(vec![], "", Some(4)));
        assert!(!Wanted::default().is_full(9) && Wanted { limit: Some(2), ..Wanted::default() }.is_full(2));
    }
}
