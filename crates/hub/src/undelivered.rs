//! Tells of what was meant for a user that is not there: a `send`, or a publication into its personal channel.

use std::fmt;
use std::sync::{Arc, OnceLock};

use jackfield_model::Payload;
use jackfield_model::app::Command;

use crate::control::{Done, Outcome};
use crate::hub::Hub;
use crate::peers::Peers;

/// Something that found nobody.
#[derive(Clone, Debug, PartialEq)]
pub struct Undelivered {
    /// The command's id; empty where it has none.
    pub command: Arc<str>,
    /// For whom it was.
    pub user: Arc<str>,
    /// The personal channel it was published into; `None`: it was sent.
    pub channel: Option<Arc<str>>,
    /// What was said.
    pub data: Payload,
}

/// Hears of what found nobody. It must not block.
pub type Teller = Arc<dyn Fn(Undelivered) + Send + Sync>;

/// The one who hears it, and how personal channels begin.
#[derive(Default)]
pub(crate) struct Regrets(OnceLock<(Option<String>, Teller)>);

impl fmt::Debug for Regrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Regrets").field(&self.0.get().is_some()).finish()
    }
}

impl Hub {
    /// Has a teller hear of what finds nobody; false if another does already. `personal`: how the names of personal
    /// channels begin, where users have them.
    pub fn regret(&self, personal: Option<String>, teller: Teller) -> bool {
        self.regrets.0.set((personal, teller)).is_ok()
    }

    /// Whether a user has a connection.
    #[must_use]
    pub fn is_online(&self, user: &str) -> bool {
        self.people.has_user(user)
    }

    /// Lets the teller hear what comes of a command before whoever waits for it does.
    pub(crate) fn regretting(&self, id: &str, command: &Command, done: Done) -> Done {
        let Some((personal, teller)) = self.regrets.0.get() else { return done };
        let absent = |channel: &Arc<str>| {
            let user = channel.strip_prefix(personal.as_deref()?)?;
            let is_one = !user.is_empty() && !user.contains(&self.namespaces.user_separator);
            (is_one && !self.is_online(user)).then(|| (Arc::from(user), Arc::clone(channel)))
        };
        // By the place of each channel in the command.
        let (absent, data): (Vec<_>, _) = match command {
            Command::Broadcast(all) => (all.channels.iter().map(absent).collect(), &all.publish.data),
            Command::Publish(publish) => (vec![absent(&publish.channel)], &publish.data),
            Command::Send(send) => (Vec::new(), &send.data),
            _ => return done,
        };
        let sent_to = if let Command::Send(send) = command { Some(Arc::clone(&send.user)) } else { None };
        if sent_to.is_none() && absent.iter().all(Option::is_none) {
            return done;
        }
        let (command, data, teller) = (Arc::from(id), data.clone(), Arc::clone(teller));
        let peers = self.peers.get().cloned();
        Box::new(move |outcome| {
            let word =
                move |user, channel| Undelivered { command: Arc::clone(&command), user, channel, data: data.clone() };
            match (&outcome, sent_to) {
                // All nodes were asked.
                (Ok(Outcome::Connections(0)), Some(user)) => teller(word(user, None)),
                (Ok(Outcome::Published(published)), _) if published.suppressed.is_none() => {
                    regret(absent.into_iter().flatten().collect(), word, teller, peers);
                }
                (Ok(Outcome::Broadcast(results)), _) => {
                    let taken = |result: &Result<crate::Published, _>| {
                        result.as_ref().is_ok_and(|published| published.suppressed.is_none())
                    };
                    let missed = absent.into_iter().zip(results).filter(|(_, result)| taken(result));
                    regret(missed.filter_map(|(absent, _)| absent).collect(), word, teller, peers);
                }
                _ => {}
            }
            done(outcome);
        })
    }
}

/// Tells of what found nobody on any node.
fn regret(
    absent: Vec<(Arc<str>, Arc<str>)>,
    word: impl Fn(Arc<str>, Option<Arc<str>>) -> Undelivered + Send + 'static,
    teller: Teller,
    peers: Option<Arc<dyn Peers>>,
) {
    let Some(peers) = peers.filter(|_| !absent.is_empty()) else {
        return absent.into_iter().for_each(|(user, channel)| teller(word(user, Some(channel))));
    };
    let users = absent.iter().map(|(user, _)| Arc::clone(user)).collect();
    let tell = move |nowhere: Vec<Arc<str>>| {
        for (user, channel) in absent.into_iter().filter(|(user, _)| nowhere.contains(user)) {
            teller(word(user, Some(channel)));
        }
    };
    peers.absent(users, Box::new(tell));
}
