//! How many connections each address holds, over all workers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

const TABLES: usize = 16;

/// An address as it is counted: of IPv6 only the network of a household, whose owner chooses the rest at will.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Counted(NonZeroU64);

impl Counted {
    /// What an address counts as; `None` for this machine, which needs no protection from itself.
    pub(crate) fn of(address: IpAddr) -> Option<Self> {
        let address = address.to_canonical();
        if address.is_loopback() {
            return None;
        }
        let number = match address {
            // Nobody has an IPv6 address that begins so: the lowest networks are reserved.
            IpAddr::V4(v4) => (1 << 32) | u64::from(v4.to_bits()),
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        Some(Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN)))
    }
}

/// The counts. Touched when connections come and go, never in between.
#[derive(Debug)]
pub(crate) struct Addresses {
    tables: [Mutex<HashMap<Counted, u32>>; TABLES],
    limit: u32,
}

impl Addresses {
    /// `limit` 0: any number.
    pub(crate) fn new(limit: u32) -> Self {
        Self { tables: Default::default(), limit }
    }

    fn table(&self, address: Counted) -> MutexGuard<'_, HashMap<Counted, u32>> {
        // The low bits of an IPv4 address, and of an IPv6 network, are those that differ between neighbours.
        let bits = address.0.get();
        self.tables[(bits ^ (bits >> 32)) as usize % TABLES].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection in; false, and it is not counted, if its address has as many as it may.
    pub(crate) fn enter(&self, address: Counted) -> bool {
        if self.limit == 0 {
            return true;
        }
        let mut table = self.table(address);
        let count = table.entry(address).or_insert(0);
        if *count >= self.limit {
            return false;
        }
        *count += 1;
        true
    }

    /// Counts it out again.
    pub(crate) fn leave(&self, address: Counted) {
        let mut table = self.table(address);
        if let Some(count) = table.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                table.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_count() {
        let addresses = Addresses::new(2);
        let counted = |text: &str| Counted::of(text.parse().unwrap()).unwrap();
        let one = counted("192.0.2.1");
        assert!(addresses.enter(one) && addresses.enter(one) && !addresses.enter(one));
        assert!(addresses.enter(counted("192.0.2.2")));
        addresses.leave(one);
        assert!(addresses.enter(one));
        assert_eq!(counted("2001:db8::1"), counted("2001:db8::ffff:2"));
        assert_ne!(counted("2001:db8:0:1::1"), counted("2001:db8:0:2::1"));
        assert_eq!(counted("::ffff:192.0.2.1"), one);
        assert_eq!(Counted::of("127.0.0.9".parse().unwrap()), None);
        assert_eq!(Counted::of("::1".parse().unwrap()), None);
    }

    #[test]
    fn no_limit_keeps_no_books() {
        let addresses = Addresses::new(0);
        let one = Counted::of("192.0.2.1".parse().unwrap()).unwrap();
        assert!((0..1000).all(|_| addresses.enter(one)));
        assert!(addresses.tables.iter().all(|table| table.lock().unwrap().is_empty()));
    }
}
