//! What the tests of several nodes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jackfield_hub::Wake;
use jackfield_model::{ClientInfo, Uuid};

pub(crate) const NOW: u64 = 1_000_000;

#[derive(Debug, Default)]
pub(crate) struct Asleep(AtomicBool);

impl Wake for Asleep {
    fn wake(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if condition() {
            return;
        }
        // Under paused time this costs nothing and lets every other task run first.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it did not come to pass");
}

pub(crate) fn somebody(number: u128) -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        client: Uuid::from_u128(number),
        user: format!("user{number}").into(),
        ..ClientInfo::default()
    })
}

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}
