//! What time it is on the other side.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::Value;

/// The clock of a server, as far as its answers tell: behind by what the last one took, and never ahead, so that what is
/// measured by it is too old rather than too young.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Option<(Instant, Duration)>>);

impl Clock {
    /// By an answer to TIME. A server that does not tell leaves it as it was.
    pub(super) fn set(&self, answer: &Value) {
        if let Ok((seconds, micros)) = redis::from_redis_value_ref::<(u64, u64)>(answer) {
            let time = Duration::from_secs(seconds) + Duration::from_micros(micros);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), time));
        }
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The milliseconds since 1970 that it will show after a while.
    pub(super) fn after(&self, span: Duration) -> Option<u64> {
        let (at, time) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        u64::try_from((time + at.elapsed() + span).as_millis()).ok()
    }
}
