//! What the application does to connections that are open.

use std::sync::Arc;

use jackfield_model::app::{
    Block, ClientCall, Ejection, InvalidTokens, Refresh, Revocation, Subscribe, Target, Unsubscribe,
};
use jackfield_model::client::Unsubscribed;
use jackfield_model::{ClientError, Disconnect, Millis, Uuid};

use crate::bans::{TokenMarks, Void};
use crate::census::Census;
use crate::hub::Hub;
use crate::mailbox::Mail;
use crate::people::Address;

/// What sessions are told to do. Each looks for itself whether it is meant: who lived at an address may have gone.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionOrder {
    /// To ask its client something.
    Call(Uuid, Arc<ClientCall>),
    /// To write itself into a list.
    Describe(Target, Census),
    /// To end.
    Disconnect(Ejection),
    /// To move its expiry.
    Refresh(Refresh),
    /// To enter a channel.
    Subscribe(Subscribe),
    /// To leave a channel.
    Unsubscribe(Unsubscribe),
    /// To end if it came by a token that is void now.
    VoidToken,
}

impl Hub {
    /// Ends connections that match all that is given; returns how many were told.
    pub fn eject(&self, ejection: Ejection) -> usize {
        let target = ejection.target.clone();
        self.tell(&target, SessionOrder::Disconnect(ejection))
    }

    /// Tells every connection that matches all that is given; returns how many were told.
    pub fn tell(&self, target: &Target, order: SessionOrder) -> usize {
        let addresses = self.find(target);
        let order = Arc::new(order);
        for address in &addresses {
            self.post(*address, Mail::Order(*address, Arc::clone(&order)));
        }
        addresses.len()
    }

    /// Tells one connection.
    pub(crate) fn tell_one(&self, address: Address, order: SessionOrder) {
        self.post(address, Mail::Order(address, Arc::new(order)));
    }

    pub(crate) fn find(&self, target: &Target) -> Vec<Address> {
        let one = match (target.client, target.session) {
            (Some(client), _) => Some(self.people.of_client(client)),
            (None, Some(session)) => Some(self.people.of_session(session)),
            (None, None) => None,
        };
        match (one, &target.user) {
            (Some(one), Some(user)) => {
                let of_user = self.people.of_user(user);
                one.into_iter().filter(|address| of_user.contains(address)).collect()
            }
            (Some(one), None) => one.into_iter().collect(),
            (None, Some(user)) => self.people.of_user(user),
            (None, None) => Vec::new(),
        }
    }

    /// Keeps a user out, and ends its connections; returns how many.
    pub fn block(&self, block: &Block) -> usize {
        self.bans.block(block);
        let target = Target { user: Some(Arc::clone(&block.user)), ..Target::default() };
        let disconnect = Disconnect { reason: "user blocked".into(), ..Disconnect::PERMISSION_DENIED };
        self.eject(Ejection { target, whitelist: Vec::new(), disconnect })
    }

    /// Lets a user in again.
    pub fn unblock(&self, user: &str) {
        self.bans.unblock(user);
    }

    /// Voids a token, and ends connections that came by it.
    pub fn revoke(&self, revocation: &Revocation) {
        self.bans.revoke(revocation);
        // Which connection came by which token only the sessions know.
        let order = Arc::new(SessionOrder::VoidToken);
        for mailbox in &self.mailboxes {
            mailbox.post(Mail::OrderAll(Arc::clone(&order)));
        }
    }

    /// Voids old tokens of a user, and ends connections that came by them; returns how many were told.
    pub fn invalidate(&self, tokens: &InvalidTokens) -> usize {
        self.bans.invalidate(tokens);
        let target = Target { user: Some(Arc::clone(&tokens.user)), ..Target::default() };
        self.tell(&target, SessionOrder::VoidToken)
    }

    /// Whether a user is kept out.
    #[must_use]
    pub fn is_blocked(&self, user: &str, now: Millis) -> bool {
        self.bans.is_blocked(user, now)
    }

    /// Whether and how a token is void, whatever it says.
    #[must_use]
    pub fn void(&self, user: &str, marks: TokenMarks<'_>, now: Millis) -> Option<Void> {
        self.bans.void(user, marks, now)
    }

    /// Tells every subscriber of a channel that what it knows of it is not enough, or is void.
    pub fn invalidate_state(&self, channel: &str, unsubscribed: &Unsubscribed) -> Result<(), ClientError> {
        self.known(channel, |_| true)?;
        let table = self.directory.table(channel);
        let Some(entry) = table.channels.get(channel) else { return Ok(()) };
        for mailbox in self.each_worker(entry.workers) {
            mailbox.post(Mail::Lost { key: entry.key, unsubscribed: unsubscribed.clone() });
        }
        Ok(())
    }
}
