//! kill -9 at full speed: every publication that was acknowledged is there, in order, in the same epoch.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;

use jackfield_hub::{Receipt, Ticket};
use jackfield_log::Fsync;

use crate::node::{Node, Outcome, text};

/// Says to this very program that it is the server, and where its log is.
const FOLDER: &str = "JACKFIELD_LOG_TEST_FOLDER";
const CHANNELS: usize = 8;
/// Publications that nobody has heard of yet.
const UNDER_WAY: usize = 2_000;

/// Not a test but the server that is killed: it publishes as fast as it can and says what was acknowledged.
#[test]
fn publishes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let node = Node::open(folder.as_ref(), Fsync::Always);
    let (acknowledge, acknowledged) = channel::<String>();
    let (slots, free) = channel();
    (0..UNDER_WAY).for_each(|_| slots.send(()).unwrap());
    let hub = Arc::clone(&node.hub);
    std::thread::spawn(move || {
        for n in 0_u64.. {
            free.recv().unwrap();
            let name = format!("c{}", n as usize % CHANNELS);
            let (slots, acknowledge, publishing) =
                (slots.clone(), acknowledge.clone(), text(format!("publication {n}")));
            let said = name.clone();
            let then = move |outcome: Outcome| {
                let position = outcome.unwrap().position.unwrap();
                _ = acknowledge.send(format!("{said} {} {} {n}\n", position.epoch, position.offset));
                _ = slots.send(());
            };
            let receipt = hub.publish(&name, publishing, Some(Ticket::Then(Box::new(then))), jackfield_log::now());
            assert_eq!(receipt, Ok(Receipt::Later));
        }
    });
    let mut out = std::io::stdout().lock();
    for line in acknowledged {
        out.write_all(line.as_bytes()).unwrap();
    }
}

/// What the server had acknowledged when it was killed after so many lines: channel, epoch, offset, number.
fn acknowledged_until_killed(folder: &std::path::Path, lines: usize) -> Vec<(String, String, u64, u64)> {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::publishes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut all = Vec::new();
    let mut reader = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 0 {
        // The last line may be torn like anything else; the harness says things too.
        if let [channel, epoch, offset, number] = line.split(' ').collect::<Vec<_>>()[..]
            && let (Ok(offset), Some(Ok(number))) = (offset.parse(), number.strip_suffix('\n').map(str::parse))
        {
            all.push((channel.to_owned(), epoch.to_owned(), offset, number));
        }
        if all.len() == lines {
            server.kill().unwrap();
        }
        line.clear();
    }
    server.wait().unwrap();
    all
}

#[test]
fn what_was_acknowledged_before_kill_9_is_there() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut lines = 1;
    let mut all = Vec::new();
    for round in 0_usize..20 {
        // From the first acknowledgement on, ever other moments.
        lines = (lines * 7919 + round) % 3_000 + 1;
        all.extend(acknowledged_until_killed(folder.path(), lines));
        let node = Node::open(folder.path(), Fsync::Never);
        assert!(!node.opening.has_jumped);
        for channel in (0..CHANNELS).map(|n| format!("c{n}")) {
            let (publications, top, epoch) = node.history(&channel);
            let offsets: Vec<u64> = publications.iter().map(|publication| publication.offset).collect();
            assert_eq!(offsets, (1..=top).collect::<Vec<_>>(), "{channel} has a gap");
            for (_, was, offset, number) in all.iter().filter(|(name, ..)| *name == channel) {
                assert_eq!(**was, *epoch, "{channel} has begun anew");
                let publication = &publications[*offset as usize - 1];
                assert_eq!(publication.data.bytes, format!("publication {number}"), "{channel} {offset}");
            }
        }
        node.stop();
    }
    assert!(all.len() > 10_000, "{}", all.len());
}
