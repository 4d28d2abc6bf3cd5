//! What waits until the node has read a channel from the broker: nobody enters or reads a channel that is not there yet.

use jackfield_hub::Ticket;
use jackfield_model::app::Subscribe as Order;
use jackfield_model::client::{Answer, History, Subscribe};
use jackfield_model::{ClientError, Grant, Position};

use crate::calls::{Pending, PendingKind};
use crate::command::connect::{self, Welcome};
use crate::command::{self, Refusal};
use crate::entry::Door;
use crate::session::{Session, State, reply};
use crate::turn::Turn;

/// What is done when the channel is there.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// The client enters a channel.
    Entry(Box<Subscribe<'static>>, Box<Grant>, Door),
    /// The client reads a channel's history.
    History(Box<History<'static>>),
    /// The application puts the client into a channel.
    Order(Box<Order>),
    /// The client comes in, and into channels with that.
    Welcome(Box<Welcome>),
}

impl Waiting {
    /// Whether the client is on its way into this channel.
    pub(crate) fn enters(&self, channel: &str) -> bool {
        matches!(self, Self::Entry(wish, ..) if wish.channel == channel)
    }
}

impl Session {
    /// Puts something off until a channel can be entered and read.
    pub(crate) fn wait_for(&mut self, channel: &str, id: u32, what: Waiting, turn: &Turn<'_>) {
        self.wait_for_position((channel, None), id, what, turn);
    }

    /// The same, at a position that the client has from elsewhere.
    pub(crate) fn wait_for_position(
        &mut self,
        (channel, since): (&str, Option<&Position>),
        id: u32,
        what: Waiting,
        turn: &Turn<'_>,
    ) {
        let call = self.next_call();
        self.pending.push(Pending::new(call, id, PendingKind::Channel(what)));
        turn.hub.warm_at(channel, since, Some(Ticket::Session(turn.address, call)));
    }

    /// The channel is there.
    pub(crate) fn go_on(&mut self, id: u32, what: Waiting, turn: &mut Turn<'_>) {
        match what {
            Waiting::Entry(wish, grant, door) => {
                match command::subscribe::enter_again(self, id, &wish, (*grant, door), turn) {
                    Ok(Some(subscribed)) => reply(turn, id, Ok(Answer::Subscribe(Box::new(subscribed)))),
                    Ok(None) => {}
                    Err(Refusal::Error(error)) => reply(turn, id, Err(error)),
                    Err(Refusal::Close(disconnect)) => self.close(disconnect, turn),
                }
            }
            Waiting::History(history) => match command::history::read(self, id, *history, turn) {
                Ok(Some(answer)) => reply(turn, id, Ok(answer)),
                Ok(None) => {}
                Err(error) => reply(turn, id, Err(error)),
            },
            Waiting::Order(order) => self.be_subscribed(&order, turn),
            Waiting::Welcome(welcome) => connect::welcome(self, id, *welcome, turn),
        }
    }

    /// The channel could not be read.
    pub(crate) fn give_up(&mut self, id: u32, what: &Waiting, error: ClientError, turn: &mut Turn<'_>) {
        match what {
            Waiting::Entry(..) | Waiting::History(_) => reply(turn, id, Err(error)),
            Waiting::Order(order) => {
                // Nobody waits for an answer; whoever gave the order was told how many it reached.
                tracing::debug!(channel = %order.channel, ?error, "a client was not put into a channel");
            }
            Waiting::Welcome(_) => {
                self.state = State::Refused;
                self.refuse(id, error, turn);
            }
        }
    }
}
