//! Dead letters as an operator handles them: one suite for every driver.

use std::time::Duration;

use bytes::Bytes;
use jackfield_bridge::{Delivery, Queue};
use jackfield_brokers::{DeadLetters, Done, Job, Letter, Wanted};
use jackfield_testkit::queue_contract::{AppSide, Bench, SentCommand};

/// A busy machine is slow.
const PATIENCE: Duration = Duration::from_secs(60);
const EVENT: [(&str, &str); 6] = [
    ("v", "1"),
    ("id", "e-1"),
    ("type", "message"),
    ("client", "00000000-0000-0000-0000-000000000001"),
    ("channel", "room:9"),
    ("data", "{\"n\":1}"),
];

fn command(number: u32) -> SentCommand {
    let channel = format!("room:{number}");
    let payload = Bytes::from(format!("{{\"channel\":\"{channel}\",\"user\":\"7\",\"data\":{number}}}"));
    let partition = crc32fast::hash(channel.as_bytes()) % 8;
    SentCommand { partition, id: format!("c-{number}"), method: "publish".to_owned(), payload }
}

/// Receives so many; errors pass.
async fn receive(queue: &dyn Queue, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    let receiving = async {
        while deliveries.len() < count {
            match queue.receive().await {
                Ok(more) => deliveries.extend(more),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, receiving).await.is_ok(), "{count} commands did not come");
    deliveries
}

async fn settle(dead: &dyn DeadLetters, wanted: Wanted, job: Job) -> Vec<(Letter, Done)> {
    let mut done = Vec::new();
    let settled = tokio::time::timeout(PATIENCE, dead.settle(&wanted, job, &mut done)).await;
    settled.expect("an end").unwrap();
    done
}

/// Lists until so many are there: what was looked at is back a moment later.
async fn listed(dead: &dyn DeadLetters, count: usize) -> Vec<Letter> {
    let listing = async {
        loop {
            let found = settle(dead, Wanted::default(), Job::List).await;
            assert!(found.iter().all(|(_, done)| *done == Done::Listed));
            if found.len() == count {
                return found.into_iter().map(|(letter, _)| letter).collect();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, listing).await.unwrap_or_else(|_| panic!("there are not {count} letters"))
}

fn by_id(id: &str) -> Wanted {
    Wanted { ids: vec![id.to_owned()], ..Wanted::default() }
}

fn by_reason(reason: &str) -> Wanted {
    Wanted { reason: reason.to_owned(), ..Wanted::default() }
}

fn words(done: &[(Letter, Done)]) -> Vec<(&str, Done)> {
    let mut words: Vec<_> = done.iter().map(|(letter, done)| (letter.id.as_str(), *done)).collect();
    words.sort_unstable_by_key(|(id, _)| *id);
    words
}

/// Six commands and an event are buried, listed, put back and dropped.
pub(crate) async fn letters(bench: &mut Bench<'_>, dead: &dyn DeadLetters) {
    let queue = (bench.open)("letters");
    let sent: Vec<SentCommand> = (0..6).map(command).collect();
    bench.app.send(&sent).await;
    let received = receive(&*queue, sent.len()).await;
    settle(dead, Wanted::default(), Job::Drop).await;
    listed(dead, 0).await;
    for delivery in &received {
        let is_odd = sent.iter().position(|command| command.id == delivery.id).unwrap() % 2 == 1;
        queue.bury(delivery, if is_odd { "an odd reason" } else { "an even reason" }).await.unwrap();
    }
    bench.app.bury_event(&EVENT, "the handler failed").await;
    told(&listed(dead, 7).await, &sent);
    let first = settle(dead, Wanted { limit: Some(3), ..Wanted::default() }, Job::List).await;
    assert_eq!(first.len(), 3);
    assert!(first.iter().map(|(letter, _)| letter.time).is_sorted());
    replayed(bench.app, (&*queue, dead), &sent[0]).await;
    listed(dead, 5).await;
    let dropped = settle(dead, by_reason("odd"), Job::Drop).await;
    assert_eq!(words(&dropped), [("c-1", Done::Dropped), ("c-3", Done::Dropped), ("c-5", Done::Dropped)]);
    listed(dead, 2).await;
    assert!(settle(dead, by_id("none"), Job::Drop).await.is_empty());
    listed(dead, 2).await;
    let elsewhere = Wanted { partition: Some((sent[2].partition + 1) % 8), ..by_id("c-2") };
    assert!(settle(dead, elsewhere, Job::Drop).await.is_empty());
    listed(dead, 2).await;
    let both = Wanted { ids: vec!["c-2".to_owned(), "c-4".to_owned()], limit: Some(1), ..Wanted::default() };
    assert_eq!(settle(dead, both, Job::Drop).await.len(), 1);
    listed(dead, 1).await;
    assert_eq!(settle(dead, Wanted::default(), Job::Drop).await.len(), 1);
    listed(dead, 0).await;
    queue.close().await;
}

/// Everything that a listing tells.
fn told(letters: &[Letter], sent: &[SentCommand]) {
    for command in sent {
        let letter = letters.iter().find(|letter| letter.id == command.id).unwrap();
        let (number, odd) = (command.id.strip_prefix("c-").unwrap(), ["an even reason", "an odd reason"]);
        let wanted = Letter {
            time: letter.time,
            partition: command.partition,
            is_event: false,
            id: command.id.clone(),
            reason: odd[number.parse::<usize>().unwrap() % 2].to_owned(),
            kind: "publish".to_owned(),
            channel: format!("room:{number}"),
            user: "7".to_owned(),
            size: command.payload.len(),
        };
        assert_eq!(*letter, wanted);
        assert_ne!(letter.time, 0);
    }
    let event = letters.iter().find(|letter| letter.is_event).unwrap();
    let texts = (event.id.as_str(), event.reason.as_str(), event.kind.as_str(), event.channel.as_str(), event.size);
    assert_eq!(texts, ("e-1", "the handler failed", "message", "room:9", 7));
}

/// A command goes back with a new id, because its own is known yet; an event goes back as it was.
async fn replayed(app: &mut dyn AppSide, (queue, dead): (&dyn Queue, &dyn DeadLetters), sent: &SentCommand) {
    let kept = settle(dead, by_id(&sent.id), Job::Replay { new_id: false }).await;
    assert_eq!(words(&kept), [(sent.id.as_str(), Done::Kept)]);
    listed(dead, 7).await;
    let back = settle(dead, by_id(&sent.id), Job::Replay { new_id: true }).await;
    assert_eq!(words(&back), [(sent.id.as_str(), Done::Replayed)]);
    let again = receive(queue, 1).await.remove(0);
    assert_eq!((again.method.as_str(), &again.payload), ("publish", &sent.payload));
    assert_eq!(again.receipt.partition, sent.partition);
    assert!(again.id != sent.id && !again.id.is_empty(), "{:?}", again.id);
    queue.acknowledge(&[again.receipt]).await.unwrap();
    listed(dead, 6).await;
    let back = settle(dead, by_reason("handler"), Job::Replay { new_id: false }).await;
    assert_eq!(words(&back), [("e-1", Done::Replayed)]);
    let event = tokio::time::timeout(PATIENCE, app.events(1)).await.expect("the event in time").remove(0);
    let wanted = EVENT.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    assert_eq!(event, wanted.into_iter().collect());
}
