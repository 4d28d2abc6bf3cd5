//! Keeps the numbers of a connection's events without a gap, though some were never handed to the queue.
//!
//! Events are numbered at the door. One that is refused afterwards, or answered from memory, leaves a number that nobody
//! will see; those behind it move up. Only connections to which that happened have an entry.

use std::collections::HashMap;

use jackfield_model::ClientId;

/// Numbers of one connection that were given to nothing: above each, how many there are up to there. Rising.
#[derive(Debug, Default)]
struct Unsaid(Vec<(u64, u64)>);

impl Unsaid {
    fn skip(&mut self, seq: u64) {
        let place = self.0.partition_point(|(above, _)| *above < seq);
        let before = place.checked_sub(1).map(|before| self.0[before]);
        for (_, count) in &mut self.0[place..] {
            *count += 1;
        }
        match before {
            // No event lies between the two, so one entry says it.
            Some((above, count)) if above + 1 == seq => self.0[place - 1] = (seq, count + 1),
            _ => self.0.insert(place, (seq, before.map_or(1, |(_, count)| count + 1))),
        }
    }

    /// How far an event moves up.
    fn before(&self, seq: u64) -> u64 {
        let place = self.0.partition_point(|(above, _)| *above < seq);
        place.checked_sub(1).map_or(0, |before| self.0[before].1)
    }

    /// Nothing up to here will be asked for again.
    fn forget(&mut self, seq: u64) {
        let place = self.0.partition_point(|(above, _)| *above < seq);
        self.0.drain(..place.saturating_sub(1));
    }
}

/// Numbers that were given to nothing, by connection.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    of: HashMap<ClientId, Unsaid>,
    /// Entries beyond which those of connections that are gone are looked for.
    most: usize,
}

impl Numbers {
    /// An event has a number and is not handed to the queue.
    pub(crate) fn skip(&mut self, client: ClientId, seq: u64) {
        // What did not come through the door with a number has none to give back.
        if seq != 0 {
            self.of.entry(client).or_default().skip(seq);
        }
    }

    /// How far an event moves up.
    pub(crate) fn before(&self, client: ClientId, seq: u64) -> u64 {
        self.of.get(&client).map_or(0, |unsaid| unsaid.before(seq))
    }

    /// An event is in the queue; with the last one of a connection all is forgotten.
    pub(crate) fn said(&mut self, client: ClientId, seq: u64, is_last: bool) {
        if is_last {
            self.of.remove(&client);
        } else if let Some(unsaid) = self.of.get_mut(&client) {
            unsaid.forget(seq);
        }
    }

    /// Forgets connections that are gone, where nobody is told of an end. Call when no notice waits.
    pub(crate) fn sweep(&mut self, is_there: impl Fn(ClientId) -> bool) {
        const LEAST: usize = 1024;
        if self.of.len() > self.most.max(LEAST) {
            self.of.retain(|client, _| is_there(*client));
            self.most = self.of.len() * 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_behind_move_up_and_those_before_do_not() {
        let (mut numbers, client) = (Numbers::default(), ClientId::from_u128(1));
        for seq in [3, 4, 7] {
            numbers.skip(client, seq);
        }
        let moved = |numbers: &Numbers, seqs: &[u64]| -> Vec<u64> {
            seqs.iter().map(|seq| seq - numbers.before(client, *seq)).collect()
        };
        assert_eq!(moved(&numbers, &[1, 2, 5, 6, 8, 9]), [1, 2, 3, 4, 5, 6]);
        numbers.skip(client, 6);
        assert_eq!(moved(&numbers, &[1, 2, 5, 8, 9]), [1, 2, 3, 4, 5]);
        numbers.said(client, 5, false);
        assert_eq!(moved(&numbers, &[8, 9]), [4, 5]);
        assert_eq!(numbers.before(ClientId::from_u128(2), 9), 0);
        numbers.said(client, 8, true);
        assert_eq!(numbers.before(client, 9), 0);
    }

    #[test]
    fn a_client_that_is_refused_again_and_again_takes_no_room() {
        let (mut numbers, client) = (Numbers::default(), ClientId::from_u128(1));
        for seq in 2..10_000 {
            numbers.skip(client, seq);
        }
        assert_eq!(numbers.of[&client].0.len(), 1);
        assert_eq!(10_000 - numbers.before(client, 10_000), 2);
    }

    #[test]
    fn connections_that_are_gone_are_forgotten() {
        let mut numbers = Numbers::default();
        for client in 1..=2000 {
            numbers.skip(ClientId::from_u128(client), 1);
        }
        numbers.sweep(|client| client.as_u128() <= 10);
        assert_eq!(numbers.of.len(), 10);
        numbers.skip(ClientId::from_u128(3000), 0);
        assert_eq!(numbers.of.len(), 10);
    }
}
