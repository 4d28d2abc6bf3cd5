//! Publications under way: who has to get them still, and how long deliveries took.

use std::collections::VecDeque;

use hdrhistogram::Histogram;

use crate::report;

/// Publications in the order of their stamps.
#[derive(Debug)]
pub(crate) struct Flights {
    under_way: VecDeque<Flight>,
    landed: usize,
    pub(crate) tally: Tally,
    /// Deliveries of publications that were under way no longer, or never.
    pub(crate) unexpected: u64,
}

#[derive(Debug)]
struct Flight {
    stamp: u64,
    missing: u32,
}

/// What is counted anew when the steady part begins.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) done: u64,
    pub(crate) deliveries: u64,
    pub(crate) latency: Histogram<u64>,
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { sent: 0, done: 0, deliveries: 0, latency: report::histogram()? })
    }
}

impl Flights {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { under_way: VecDeque::new(), landed: 0, tally: Tally::new()?, unexpected: 0 })
    }

    /// Notes a publication and returns its stamp: the wanted time, or the next free one after it.
    pub(crate) fn depart(&mut self, wanted: u64, subscribers: u32) -> u64 {
        let stamp = match self.under_way.back() {
            Some(last) => wanted.max(last.stamp + 1),
            None => wanted,
        };
        self.tally.sent += 1;
        if subscribers == 0 {
            self.tally.done += 1;
        } else {
            self.under_way.push_back(Flight { stamp, missing: subscribers });
        }
        stamp
    }

    #[inline]
    pub(crate) fn arrive(&mut self, stamp: u64, now: u64) {
        let place = self.under_way.partition_point(|flight| flight.stamp < stamp);
        let flight = self.under_way.get_mut(place);
        let Some(flight) = flight.filter(|flight| flight.stamp == stamp && flight.missing > 0) else {
            self.unexpected += 1;
            return;
        };
        self.tally.deliveries += 1;
        self.tally.latency.saturating_record(now.saturating_sub(stamp));
        flight.missing -= 1;
        if flight.missing > 0 {
            return;
        }
        self.tally.done += 1;
        self.landed += 1;
        while self.under_way.front().is_some_and(|first| first.missing == 0) {
            self.under_way.pop_front();
            self.landed -= 1;
        }
    }

    /// Publications that some subscriber has not got yet.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len() - self.landed
    }

    /// Deliveries that are still to come.
    pub(crate) fn missing(&self) -> u64 {
        self.under_way.iter().map(|flight| u64::from(flight.missing)).sum()
    }

    pub(crate) fn restart_tally(&mut self) -> anyhow::Result<()> {
        self.tally = Tally::new()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_lands_with_its_last_delivery() {
        let mut flights = Flights::new().unwrap();
        let first = flights.depart(1_000, 2);
        let second = flights.depart(1_000, 1);
        assert_eq!((first, second), (1_000, 1_001));
        flights.arrive(second, 5_000);
        assert_eq!((flights.under_way(), flights.missing()), (1, 2));
        flights.arrive(second, 5_000);
        assert_eq!(flights.unexpected, 1, "a second copy");
        flights.arrive(first, 5_000);
        flights.arrive(first, 6_000);
        assert_eq!((flights.under_way(), flights.missing()), (0, 0));
        assert_eq!((flights.tally.done, flights.tally.deliveries), (2, 3));
        flights.arrive(first, 6_000);
        assert_eq!(flights.unexpected, 2, "a copy that comes late");
    }
}
