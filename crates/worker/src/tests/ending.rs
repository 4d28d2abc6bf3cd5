//! The end of a world: everything arrives, everybody goes, and nothing is left.

use jackfield_hub::Forgetting;

use super::Checked;
use super::ensure;
use super::world::{Tally, World};

/// Longer than anything is remembered.
const LONG: u64 = 40 * 24 * 3600 * 1000;

impl World {
    pub(super) fn finish(&mut self) -> Checked {
        self.note(|_| "everything arrives".to_owned());
        for (place, id) in std::mem::take(&mut self.orphans) {
            self.part(place, id)?;
        }
        self.arrive()?;
        for nth in 0..self.clients.len() {
            let client = &self.clients[nth];
            if client.link.is_some() {
                self.ears[&client.id].settled().map_err(|what| format!("client {nth} ({}): {what}", client.id))?;
            }
        }
        let connected = self.clients.iter().filter(|client| client.link.is_some()).count();
        ensure(self.node.hub.connections() == connected, || {
            format!("{} connections of {connected} clients", self.node.hub.connections())
        })?;
        for nth in 0..self.clients.len() {
            if let Some(place) = self.clients[nth].link {
                let id = self.clients[nth].id;
                self.clients[nth].hang_up();
                self.part(place, id)?;
            }
        }
        self.leave_nothing()
    }

    /// All mail, all that waits, all that is written.
    fn arrive(&mut self) -> Checked {
        for place in self.node.places() {
            if let Some(link) = self.node.link(place) {
                link.widen();
            }
        }
        for round in 0..1_000 {
            while self.is_logging() {
                self.log_step()?;
            }
            self.node.now.millis += 100;
            for nth in 0..self.node.workers() {
                self.node.take_mail(nth);
                self.node.work(nth, usize::MAX);
                self.node.keep_time(nth);
                self.node.flush(nth, usize::MAX);
            }
            self.hark()?;
            let mut read = 0;
            for nth in 0..self.clients.len() {
                if let Some(place) = self.clients[nth].link {
                    self.node.unblock(place);
                    read += self.node.link(place).map_or(0, |link| link.line.len());
                    self.read(nth, usize::MAX)?;
                }
            }
            if read == 0 && round > 20 {
                return Ok(());
            }
        }
        Err("it never ends".to_owned())
    }

    fn leave_nothing(&self) -> Checked {
        let hub = &self.node.hub;
        ensure(hub.connections() == 0, || format!("{} connections without a client", hub.connections()))?;
        for truth in &self.truths {
            if truth.options.presence {
                let present = hub.presence(&truth.name).map_err(|error| format!("{error:?}"))?;
                ensure(present.is_empty(), || format!("in {} are still {present:?}", truth.name))?;
            }
        }
        let info = hub.info();
        ensure(info.subscriptions == 0, || format!("subscriptions without a client: {info:?}"))?;
        for truth in self.truths.iter().filter(|truth| truth.options.has_state()) {
            // Values have no end of their own.
            let forgotten = hub.forget_now(&truth.name, Forgetting::Publications);
            forgotten.map_err(|error| format!("{error:?}"))?;
        }
        for round in 0..64 {
            hub.sweep(round, self.node.now.millis + LONG);
        }
        ensure(hub.channels() == 0, || format!("{} channels are left for ever", hub.channels()))
    }
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        let Self { heard, recovered, refused, restarts, closed, taken_back, deltas } = other;
        self.heard += heard;
        self.recovered += recovered;
        self.refused += refused;
        self.restarts += restarts;
        self.closed += closed;
        self.taken_back += taken_back;
        self.deltas += deltas;
    }
}
