//! Everybody comes back at once: what it costs to bring each one up to date.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::ensure;
use jackfield_hub::{Options, Publishing};
use jackfield_model::Payload;

use crate::house::{ANY, House, NOW, WORKERS, processor_millis};

pub(crate) fn run(clients: u32, channels: u32, missed: u32) -> anyhow::Result<()> {
    let feed = Options {
        history_size: missed.max(1) as usize,
        history_ttl: 600_000,
        force_recovery: true,
        subscribe: ANY,
        ..Options::default()
    };
    let house = Arc::new(House::new(vec![("feed", feed)]));
    // Everybody was at the first publication of its channel.
    publish(&house, channels, 1)?;
    publish(&house, channels, missed)?;
    let (start, processor) = (Instant::now(), processor_millis()?);
    let written: anyhow::Result<Vec<_>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..WORKERS)
            .map(|index| {
                let house = &house;
                scope.spawn(move || come_back(house, index, (clients, channels, missed)))
            })
            .collect();
        threads.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("a worker failed"))?).collect()
    });
    let bytes: usize = written?.into_iter().sum();
    let (seconds, processor) = (start.elapsed().as_secs_f64(), processor_millis()? - processor);
    let each = processor as f64 * 1000.0 / f64::from(clients.max(1));
    tell(&format!("{clients} clients caught up in {seconds:.2} s: {:.0} a second", f64::from(clients) / seconds));
    tell(&format!(
        "processor: {processor} ms, {each:.1} us for a connection, its subscription and {missed} missed publications"
    ));
    tell(&format!("bytes written: {:.1} MB", bytes as f64 / 1e6));
    Ok(())
}

fn publish(house: &House, channels: u32, count: u32) -> anyhow::Result<()> {
    for channel in 0..channels {
        for nth in 0..count {
            let data = format!(
                r#"{{"price":{nth},"name":"a feed with a text of usual length, as there are many","n":{channel}}}"#
            );
            let publishing = Publishing { data: Payload::json(data), ..Publishing::default() };
            let published = house.hub.publish_and_forget(&format!("feed:{channel}"), publishing, NOW.millis);
            published.map_err(|error| anyhow::anyhow!("failed to publish: {error:?}"))?;
        }
    }
    Ok(())
}

/// A worker's share of them: connected, subscribed, caught up, and what they are told checked.
fn come_back(house: &Arc<House>, index: u32, (clients, channels, missed): (u32, u32, u32)) -> anyhow::Result<usize> {
    let mut worker = house.worker(index);
    let mut sessions = Vec::new();
    let mut caught_up = 0;
    let last = format!(r#""offset":{},"#, missed + 1);
    for slot in 0..clients / WORKERS + u32::from(index < clients % WORKERS) {
        let mut session = worker.come(slot, "user")?;
        let channel = slot % channels;
        let words = format!(r#"{{"id":2,"subscribe":{{"channel":"feed:{channel}","recover":true,"offset":1}}}}"#);
        worker.say(&mut session, slot, &words)?;
        sessions.push(session);
        if slot % 256 == 255 {
            worker.deliver();
            worker.flush(|_, frame| caught_up += usize::from(is_caught_up(frame, &last)));
        }
    }
    worker.flush(|_, frame| caught_up += usize::from(is_caught_up(frame, &last)));
    ensure!(caught_up == sessions.len(), "{caught_up} of {} clients have caught up", sessions.len());
    Ok(worker.written)
}

/// Whether a reply lets somebody in with everything that was missed.
fn is_caught_up(frame: &[u8], last: &str) -> bool {
    let has = |what: &str| frame.windows(what.len()).any(|window| window == what.as_bytes());
    has(r#""recovered":true"#) && has(last)
}

#[expect(clippy::print_stdout, reason = "this is what was asked for")]
fn tell(line: &str) {
    println!("{line}");
}
