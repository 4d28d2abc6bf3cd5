//! `jackfield dead`: what could not be handled, looked at and put back from the command line.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write as _};

use anyhow::Context;
use clap::{Args, Subcommand};
use jackfield_bridge::QueueError;
use jackfield_brokers::{DeadLetters, Done, Job, Letter, Wanted};
use jackfield_connectors::rfc3339;
use serde_json::json;

use crate::assemble;
use crate::cli::{Source, say};
use crate::config::{Config, Driver};

/// Longest part of a reason that a table shows.
const REASON: usize = 100;

/// `dead`.
#[derive(Debug, Subcommand)]
pub(crate) enum Dead {
    /// Show them, the oldest first.
    List(List),
    /// Put them back into the queue that they came from.
    Replay(Replay),
    /// Throw them away.
    Drop(Discard),
}

/// Which queue, and how it is told.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    source: Source,
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Only those whose reason holds this text.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Only those of this partition.
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,
    /// Only this one, by the id of its command or event. Repeatable.
    #[arg(long, value_name = "ID")]
    id: Vec<String>,
}

/// `dead list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    common: Common,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

/// Which are meant, where something is done with them.
#[derive(Debug, Args)]
struct Meant {
    #[command(flatten)]
    common: Common,
    /// All of them, without any other condition.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
}

/// `dead replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    meant: Meant,
    /// With new ids: a server drops a command whose id it has seen in the last 5 minutes.
    #[arg(long)]
    new_id: bool,
}

/// `dead drop`.
#[derive(Debug, Args)]
pub(crate) struct Discard {
    #[command(flatten)]
    meant: Meant,
    /// Do not ask before all are thrown away.
    #[arg(short, long)]
    yes: bool,
}

impl Dead {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::List(list) => {
                let (letters, common) = (list.common.open()?, &list.common);
                let wanted = common.wanted(Some(list.limit));
                let done = settle(&*letters, &wanted, Job::List, |_| ())?;
                if common.json {
                    done.iter().for_each(|one| say(&line(one)));
                } else if done.is_empty() {
                    say(&format!("no dead letters in {}", letters.describe()));
                } else {
                    say(&table(&done));
                }
                if done.len() == list.limit && !common.json {
                    say(&format!("these are the {} oldest; there may be more, --limit COUNT shows them", list.limit));
                }
                Ok(())
            }
            Self::Replay(replay) => {
                let letters = replay.meant.open()?;
                replay.meant.settle(&*letters, Job::Replay { new_id: replay.new_id })
            }
            Self::Drop(discard) => {
                let letters = discard.meant.open()?;
                if discard.meant.all && !discard.yes && !confirmed(&letters.describe())? {
                    say("nothing was dropped");
                    return Ok(());
                }
                discard.meant.settle(&*letters, Job::Drop)
            }
        }
    }
}

impl Common {
    fn open(&self) -> anyhow::Result<Box<dyn DeadLetters>> {
        let (config, _) = self.source.load(&[])?;
        if let Some(partition) = self.partition {
            let last = config.app_link.partitions.saturating_sub(1);
            anyhow::ensure!(
                partition as usize <= last,
                "there is no partition {partition}; they are 0 to {last} (app_link.partitions)"
            );
        }
        open(&config)
    }

    fn wanted(&self, limit: Option<usize>) -> Wanted {
        Wanted { ids: self.id.clone(), reason: self.reason.clone(), partition: self.partition, limit }
    }
}

impl Meant {
    fn open(&self) -> anyhow::Result<Box<dyn DeadLetters>> {
        let common = &self.common;
        let has_condition = !common.id.is_empty() || !common.reason.is_empty() || common.partition.is_some();
        anyhow::ensure!(has_condition || self.all, "which ones? say --id, --reason, --partition, or --all");
        anyhow::ensure!(
            !(has_condition && self.all),
            "--all is for no other condition; leave it out, or the conditions"
        );
        common.open()
    }

    fn settle(&self, letters: &dyn DeadLetters, job: Job) -> anyhow::Result<()> {
        let common = &self.common;
        let tell = |done: &[(Letter, Done)]| {
            if common.json {
                done.iter().for_each(|one| say(&line(one)));
            } else {
                say(&summary(done));
            }
        };
        let wanted = common.wanted(self.limit);
        let done = settle(letters, &wanted, job, tell)?;
        tell(&done);
        let is_there = |id: &&String| !done.iter().any(|(letter, _)| letter.id == **id);
        let missing: Vec<&str> = common.id.iter().filter(is_there).map(String::as_str).collect();
        if !missing.is_empty() && self.limit.is_none() {
            anyhow::bail!(
                "no dead letter has the id {}; `jackfield dead list` shows those that are there",
                missing.join(", ")
            );
        }
        Ok(())
    }
}

/// The dead letters of the queue that the configuration names.
fn open(config: &Config) -> anyhow::Result<Box<dyn DeadLetters>> {
    let link = &config.app_link;
    let (driver, url) = match link.driver {
        Driver::None => anyhow::bail!(
            "there is no queue to the application: app_link.driver is \"none\"; name the server's configuration with \
             --config FILE, or the queue with --set app_link.driver=redis --set app_link.url=redis://HOST:6379/0"
        ),
        Driver::Embedded if config.embedded.port == 0 => anyhow::bail!(
            "the queue is in the memory of the running server, at a port that it chose by itself; the server says which one \
             when it starts: --set embedded.port=PORT"
        ),
        Driver::Embedded => ("embedded", format!("redis://{}:{}", config.embedded.address, config.embedded.port)),
        Driver::Nats => ("nats", link.url.expose().to_owned()),
        Driver::Rabbitmq => ("rabbitmq", link.url.expose().to_owned()),
        Driver::Redis => ("redis", link.url.expose().to_owned()),
    };
    let options = assemble::queue_options(config, "dead");
    jackfield_brokers::dead_letters(driver, &url, options).context("open app_link")
}

/// Does a job. Where it ends early, what was done is told before the error.
fn settle(
    letters: &dyn DeadLetters,
    wanted: &Wanted,
    job: Job,
    tell: impl Fn(&[(Letter, Done)]),
) -> anyhow::Result<Vec<(Letter, Done)>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    let mut done = Vec::new();
    let settled = runtime.block_on(letters.settle(wanted, job, &mut done));
    let Err(error) = settled else { return Ok(done) };
    if !done.is_empty() {
        tell(&done);
    }
    let place = letters.describe();
    Err(match error {
        QueueError::Unreachable(reason) => anyhow::anyhow!(
            "cannot reach {place}: {reason}; is it running (the embedded queue lives in the running server), and is \
             app_link.url right?"
        ),
        QueueError::Full(reason) => anyhow::anyhow!(
            "{place} is full: {reason}; the rest stays among the dead letters, replay it when the queue has room"
        ),
        QueueError::Refused(reason) => anyhow::anyhow!("{place} refuses: {reason}"),
    })
}

/// Asks a person.
#[expect(clippy::print_stdout, reason = "a question to a person at a terminal")]
fn confirmed(place: &str) -> anyhow::Result<bool> {
    let input = std::io::stdin();
    anyhow::ensure!(input.is_terminal(), "nobody is there to be asked; say --yes to throw away all dead letters");
    print!("throw away all dead letters in {place}? they cannot be brought back [y/N] ");
    std::io::stdout().flush().context("write the question")?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer).context("read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn word(done: Done) -> &'static str {
    match done {
        Done::Dropped => "dropped",
        Done::Kept => "kept",
        Done::Listed => "listed",
        Done::Replayed => "replayed",
    }
}

/// What became of them, in a sentence.
fn summary(done: &[(Letter, Done)]) -> String {
    let count = |wanted| done.iter().filter(|(_, what)| *what == wanted).count();
    let mut parts = Vec::new();
    for what in [Done::Replayed, Done::Dropped] {
        if count(what) > 0 {
            parts.push(format!("{} {}", count(what), word(what)));
        }
    }
    let kept = count(Done::Kept);
    if kept > 0 {
        parts.push(format!(
            "{kept} kept: buried less than 5 minutes ago, a server would drop their ids; wait, or use --new-id"
        ));
    }
    if parts.is_empty() { "no dead letter is meant by this".to_owned() } else { parts.join(", ") }
}

/// One letter for a program.
fn line((letter, done): &(Letter, Done)) -> String {
    let mut object = json!({
        "time": letter.time,
        "queue": queue(letter),
        "partition": letter.partition,
        "type": letter.kind,
        "id": letter.id,
        "reason": letter.reason,
        "channel": letter.channel,
        "user": letter.user,
        "size": letter.size,
    });
    if *done != Done::Listed {
        object["done"] = word(*done).into();
    }
    object.to_string()
}

fn queue(letter: &Letter) -> &'static str {
    if letter.is_event { "events" } else { "commands" }
}

/// Letters for a person.
fn table(done: &[(Letter, Done)]) -> String {
    let head = ["when", "queue", "type", "about", "size", "id", "reason"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(done.iter().map(|(letter, _)| row(letter))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Writing into a text never fails. Sizes stand right, the last column as it is.
            let _ = match column {
                4 => write!(line, "{cell:>width$}  "),
                6 => write!(line, "{cell}"),
                _ => write!(line, "{cell:<width$}  "),
            };
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn row(letter: &Letter) -> [String; 7] {
    let about = match (&*letter.channel, &*letter.user) {
        ("", "") => "-".to_owned(),
        ("", user) => format!("user {user}"),
        (channel, _) => channel.to_owned(),
    };
    let cut: String = letter.reason.chars().take(REASON).collect();
    let reason = if cut.len() < letter.reason.len() { format!("{cut}...") } else { cut };
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    [
        if letter.time == 0 { "-".to_owned() } else { rfc3339(letter.time) },
        format!("{} {}", queue(letter), letter.partition),
        or_dash(&letter.kind),
        about,
        letter.size.to_string(),
        or_dash(&letter.id),
        or_dash(&reason),
    ]
    .map(|cell| shown(&cell))
}

/// Texts that clients may have chosen, without what a terminal would obey.
fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|letter| if letter.is_control() { letter.escape_default().collect() } else { vec![letter] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Letter {
        Letter {
            time: 1_700_000_000_123,
            partition: 3,
            id: "7".to_owned(),
            reason: "unknown\x1b[2J channel".to_owned(),
            kind: "publish".to_owned(),
            channel: "room:1".to_owned(),
            size: 12,
            ..Letter::default()
        }
    }

    #[test]
    fn a_table_has_a_line_for_each_and_obeys_nobody() {
        let event = Letter { is_event: true, user: "42".to_owned(), time: 0, ..Letter::default() };
        let text = table(&[(letter(), Done::Listed), (event, Done::Listed)]);
        let lines: Vec<&str> = text.lines().collect();
        let wanted = [
            "when                      queue       type     about    size  id  reason",
            "2023-11-14T22:13:20.123Z  commands 3  publish  room:1     12  7   unknown\\u{1b}[2J channel",
            "-                         events 0    -        user 42     0  -   -",
        ];
        assert_eq!(lines, wanted);
    }

    #[test]
    fn a_line_is_an_object_and_a_summary_names_the_remedy() {
        let value: serde_json::Value = serde_json::from_str(&line(&(letter(), Done::Replayed))).unwrap();
        assert_eq!(
            (&value["queue"], &value["done"], &value["size"]),
            (&"commands".into(), &"replayed".into(), &12.into())
        );
        assert!(!line(&(letter(), Done::Listed)).contains("done"));
        let done = [Done::Replayed, Done::Replayed, Done::Kept].map(|what| (letter(), what));
        assert_eq!(
            summary(&done),
            "2 replayed, 1 kept: buried less than 5 minutes ago, a server would drop their ids; wait, or use --new-id"
        );
        assert_eq!(summary(&[]), "no dead letter is meant by this");
    }

    #[test]
    fn a_queue_that_is_not_there_is_told_with_the_remedy() {
        let says = |config: &Config| open(config).err().unwrap().to_string();
        let mut config = Config::default();
        assert!(says(&config).contains("--set app_link.driver=redis"));
        config.app_link.driver = Driver::Embedded;
        config.embedded.port = 0;
        assert!(says(&config).contains("--set embedded.port=PORT"));
    }
}
