//! Reads a partition's log from where reading ended, or from its beginning.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jackfield_cluster::EngineError;
use tokio::time::Instant;

use super::desk::{Desk, millis};
use super::record::{self, Record};
use super::wire::Wire;

/// How long the record that was read last may take to come again.
const MEET: Duration = Duration::from_secs(3);
/// How often what has had its time is dropped.
const SWEEP: Duration = Duration::from_secs(15);

/// Reads until something fails.
pub(super) async fn follow<W: Wire>(desk: &Arc<Desk>, wire: &W, partition: u16) -> EngineError {
    reading(desk, wire, partition).await.err().unwrap_or_else(|| EngineError::Unreachable("a log ended".to_owned()))
}

async fn reading<W: Wire>(desk: &Arc<Desk>, wire: &W, partition: u16) -> Result<(), EngineError> {
    let last = desk.partition(partition).table.last();
    let mut log = wire.read(partition, last).await?;
    if last.is_some() {
        let records = match tokio::time::timeout(MEET, wire.next(&mut log)).await {
            Ok(came) => records(came?),
            Err(_) => Vec::new(),
        };
        // It must be there, and the same: else the log was cut, or it is another one.
        let goes_on = records
            .first()
            .is_some_and(|(number, record)| desk.partition(partition).table.ends_with(*number, record.as_ref()));
        if goes_on {
            desk.read(partition, records);
        } else {
            tracing::warn!(partition, "a log does not go on where it was read last: it is read from its beginning");
            drop(log);
            desk.partition(partition).table.begin_again();
            log = wire.read(partition, None).await?;
        }
    }
    let mut swept = Instant::now();
    loop {
        // Nothing may be given up here, or a record would be missing; probes come every second, so it is no long wait.
        let came = wire.next(&mut log).await?;
        if came.is_empty() {
            return Ok(());
        }
        desk.read(partition, records(came));
        if swept.elapsed() >= SWEEP {
            swept = Instant::now();
            desk.partition(partition).table.sweep(millis());
        }
    }
}

fn records(came: Vec<(u64, Bytes)>) -> Vec<(u64, Option<Record>)> {
    came.into_iter().map(|(number, bytes)| (number, record::read(&bytes))).collect()
}
