//! How much a queue hands out at a time, and how long it waits for it; the numbers of the contract.

use std::collections::VecDeque;
use std::time::Duration;

use jackfield_bridge::Delivery;

/// The most commands handed out at a time.
pub(crate) const BATCH_COMMANDS: usize = 256;
/// The most bytes of payload handed out at a time; one command may be more by itself.
pub(crate) const BATCH_BYTES: usize = 4 << 20;
/// How long `receive` and `answers` wait.
pub(crate) const WAIT: Duration = Duration::from_secs(1);

/// Takes as many deliveries as may be handed out, at least one.
pub(crate) fn take(deliveries: &mut VecDeque<Delivery>) -> Vec<Delivery> {
    let (mut count, mut bytes) = (0, 0);
    for delivery in deliveries.iter().take(BATCH_COMMANDS) {
        bytes += delivery.payload.len();
        if count > 0 && bytes > BATCH_BYTES {
            break;
        }
        count += 1;
    }
    deliveries.drain(..count).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn deliveries(count: usize, bytes: usize) -> VecDeque<Delivery> {
        let payload = Bytes::from(vec![b'x'; bytes]);
        (0..count).map(|_| Delivery { payload: payload.clone(), ..Delivery::default() }).collect()
    }

    #[test]
    fn a_batch_is_bounded_in_number_and_weight() {
        let mut small = deliveries(300, 10);
        assert_eq!((take(&mut small).len(), small.len()), (256, 44));
        let mut large = deliveries(3, 3 << 20);
        assert_eq!((take(&mut large).len(), large.len()), (1, 2));
        let mut huge = deliveries(1, 9 << 20);
        assert_eq!(take(&mut huge).len(), 1);
        assert!(take(&mut huge).is_empty());
    }
}
