//! Clients of y-websocket: let in by the token of their request, into one document, and from then on they say what Yjs says.
//!
//! They know no commands. The session gives itself two for them, `connect` and `subscribe`, so that tokens, proxies and the
//! options of namespaces decide here as everywhere; [`Session::follow_document`] reads the replies.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use jackfield_dialects::centrifugo::json;
use jackfield_documents::wire::{self, Message};
use jackfield_documents::{AwarenessError, DocumentError};
use jackfield_hub::documents::{Opened, payload};
use jackfield_hub::{Publishing, Receipt, Ticket};
use jackfield_model::client::{Answer, Push, Reply, Request, Subscribe};
use jackfield_model::{ClientError, Disconnect};

use crate::calls::{Pending, PendingKind};
use crate::command;
use crate::endpoint::Dialect;
use crate::session::{Session, State, bad_request, reply};
use crate::token::Right;
use crate::turn::{Effect, Turn};

/// The numbers of the session's own commands.
const CONNECT: u32 = 1;
const SUBSCRIBE: u32 = 2;
/// The number of what a client asked for in its own way.
const ASKED: u32 = 3;
/// An update in which nothing is said: what a client answers that has nothing new.
const NOTHING: &[u8] = &[0, 0];

/// What a session has of the document that it opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenDocument {
    /// The client was told that it may only read.
    is_told: bool,
}

impl Session {
    /// Takes the words by which a client comes in, and then its frames.
    pub(crate) fn receive_document(&mut self, frame: &[u8], turn: &mut Turn<'_>) {
        match self.state {
            State::Fresh => match json::connect_request(frame) {
                Ok(connect) => command::run(self, CONNECT, Request::Connect(connect), turn),
                Err(error) => self.close(bad_request(&error.to_string()), turn),
            },
            State::Connected => {
                self.count(turn);
                self.document_frame(frame, turn);
            }
            State::Connecting | State::Refused | State::Ended => {}
        }
        self.follow_document(turn);
    }

    /// Whether it is on its way into its document.
    pub(crate) fn is_opening_document(&self) -> bool {
        self.endpoint.dialect == Dialect::Yjs
            && self.pending.iter().any(|pending| {
                matches!(pending.kind, PendingKind::Channel(_) | PendingKind::Document | PendingKind::Subscribe(_))
            })
    }

    /// Does what follows from replies to the session's own commands; nobody else is to see them.
    pub(crate) fn follow_document(&mut self, turn: &mut Turn<'_>) {
        if self.endpoint.dialect != Dialect::Yjs {
            return;
        }
        let own = |effect: &Effect| matches!(effect, Effect::Reply(reply) if reply.id != ASKED);
        while let Some(place) = turn.effects.iter().position(own) {
            let Effect::Reply(Reply { id, outcome }) = turn.effects.remove(place) else { return };
            match (id, outcome) {
                (_, Err(error)) => self.deny(&error, turn),
                (CONNECT, Ok(_)) => self.enter_document(turn),
                (SUBSCRIBE, Ok(_)) => self.open_document(turn),
                _ => {}
            }
        }
    }

    /// Tells the client why, in the one way that it knows, and ends the connection.
    pub(crate) fn deny(&mut self, error: &ClientError, turn: &mut Turn<'_>) {
        self.say_denied(&error.message, turn);
        let disconnect = match error.code {
            109 | 110 => Disconnect::CONNECTION_EXPIRED,
            102 | 107 => Disconnect::BAD_REQUEST,
            103 | 106 => Disconnect::PERMISSION_DENIED,
            108 => Disconnect::NOT_AVAILABLE,
            111 => Disconnect::TOO_MANY_REQUESTS,
            _ if error.temporary => Disconnect::INTERNAL,
            // What the application says for good.
            _ => Disconnect::PERMISSION_DENIED,
        };
        self.close(Disconnect { reason: error.message.clone(), ..disconnect }, turn);
    }

    fn say_denied(&self, reason: &str, turn: &mut Turn<'_>) {
        say(Message::Denied(reason).to_vec().into(), turn);
    }

    /// The client is in; now into its document.
    fn enter_document(&mut self, turn: &mut Turn<'_>) {
        let Some(channel) = self.binding.clone() else { return };
        let options = turn.hub.namespaces().of(&channel);
        if options.is_some_and(|options| options.document.is_none()) {
            let reason = format!("{channel:?} is no document: its namespace needs document = \"yjs\"");
            return self.deny(&ClientError { message: reason.into(), ..ClientError::BAD_REQUEST }, turn);
        }
        // Whoever let it in may have put it there already.
        if self.is_in(&channel) {
            return self.open_document(turn);
        }
        let wish = Subscribe { channel: Cow::Borrowed(&channel), ..Subscribe::default() };
        command::run(self, SUBSCRIBE, Request::Subscribe(wish), turn);
    }

    /// The client is in the channel, so it hears what is said from now on; now what was said before.
    fn open_document(&mut self, turn: &mut Turn<'_>) {
        let Some(channel) = self.document() else { return };
        let call = self.next_call();
        let opened = turn.hub.documents().open(&channel, (turn.address, call));
        match opened {
            Opened::NoKeeper => {
                let message = "documents need an application that stores them: set app_link.driver, and rpc.without_namespace.proxy_enabled";
                return self.deny(&ClientError { message: message.into(), ..ClientError::NOT_AVAILABLE }, turn);
            }
            Opened::Later => self.pending.push(Pending::new(call, 0, PendingKind::Document)),
            Opened::Ready => {}
        }
        self.extras.get_or_insert_default().rare().document = Some(OpenDocument::default());
        if opened == Opened::Ready {
            self.greet(turn);
        }
    }

    /// The document is there: asks the client what it has, and tells it who is there.
    pub(crate) fn greet(&self, turn: &mut Turn<'_>) {
        let Some(channel) = self.document() else { return };
        let documents = turn.hub.documents();
        let frames = [documents.question(&channel), documents.present(&channel)];
        for frame in frames.into_iter().flatten() {
            say(frame, turn);
        }
    }

    /// The channel of its document, once it is in.
    fn document(&self) -> Option<Arc<str>> {
        let channel = self.binding.as_ref()?;
        Some(Arc::clone(&self.subscription(channel)?.name))
    }

    fn document_frame(&mut self, frame: &[u8], turn: &mut Turn<'_>) {
        let Some(channel) = self.document() else { return };
        let documents = turn.hub.documents();
        match wire::read(frame) {
            Ok(Message::Step1(state_vector)) => match documents.difference(&channel, state_vector) {
                // As the answer that it is: it may be longer than what may wait of the channel.
                Ok(Some(frame)) => reply(turn, ASKED, Ok(Answer::Rpc(payload(frame)))),
                Ok(None) => {}
                Err(error) => self.close(bad_request(&error.to_string()), turn),
            },
            Ok(Message::Step2(update) | Message::Update(update)) if update == NOTHING => {}
            Ok(Message::Step2(update)) => self.edit(&channel, update, None, turn),
            Ok(Message::Update(update)) => self.edit(&channel, update, Some(frame), turn),
            Ok(Message::Awareness(update)) => match documents.aware(&channel, update, self.awareness_owner()) {
                Ok((is_news, answer)) => {
                    answer.into_iter().for_each(|frame| say(frame, turn));
                    if is_news {
                        self.publish_frame(&channel, Bytes::copy_from_slice(frame), turn);
                    }
                }
                Err(AwarenessError::Malformed(error)) => self.close(bad_request(&error.to_string()), turn),
                Err(error) => self.say_denied(&error.to_string(), turn),
            },
            Ok(Message::QueryAwareness) => {
                documents.present(&channel).into_iter().for_each(|frame| say(frame, turn));
            }
            Ok(Message::Denied(_)) => {}
            Err(error) => self.close(bad_request(&error.to_string()), turn),
        }
    }

    /// An edit; `frame`: as others may hear it, where that is what came.
    fn edit(&mut self, channel: &Arc<str>, update: &[u8], frame: Option<&[u8]>, turn: &mut Turn<'_>) {
        let Some(options) = turn.hub.namespaces().of(channel) else { return };
        let may = self
            .publishes_in(channel)
            .unwrap_or_else(|| command::entitled(self, options.publish, Right::Publish, channel, turn));
        if !may {
            return self.tell_reader(frame.is_some(), turn);
        }
        match turn.hub.documents().admit(channel, update, options.document.unwrap_or(usize::MAX)) {
            Ok(()) => {
                let frame = match frame {
                    Some(frame) => Bytes::copy_from_slice(frame),
                    None => Message::Update(update).to_vec().into(),
                };
                self.publish_frame(channel, frame, turn);
            }
            Err(DocumentError::Malformed(error)) => self.close(bad_request(&error.to_string()), turn),
            Err(error @ DocumentError::TooLarge { .. }) => self.say_denied(&error.to_string(), turn),
        }
    }

    /// Who may only read is told so with its first edit; what it answers to a question of the server's is none.
    fn tell_reader(&mut self, is_edit: bool, turn: &mut Turn<'_>) {
        let rare = self.extras.as_mut().and_then(|extras| extras.rare.as_mut());
        let Some(document) = rare.and_then(|rare| rare.document.as_mut()) else { return };
        if is_edit && !std::mem::replace(&mut document.is_told, true) {
            self.say_denied("this document is read-only for you", turn);
        }
    }

    fn publish_frame(&mut self, channel: &Arc<str>, frame: Bytes, turn: &mut Turn<'_>) {
        let publishing = Publishing { data: payload(frame), info: Some(self.who_in(channel)), ..Publishing::default() };
        let call = self.await_answer(0, PendingKind::Raw);
        let ticket = Some(Ticket::Session(turn.address, call));
        match turn.hub.publish(channel, publishing, ticket, turn.now.millis) {
            // The broker's word is waited for: what it does not take the client must send again.
            Ok(Receipt::Later) => {}
            Ok(Receipt::Ready(_)) => self.forget(call),
            Err(_) => {
                self.forget(call);
                self.close(Disconnect::TOO_MANY_REQUESTS, turn);
            }
        }
    }

    /// Whose word its awareness is: a random number, as its id.
    fn awareness_owner(&self) -> u64 {
        self.id().as_u64_pair().1
    }

    /// The client is gone, or about to be: the others see its cursor go.
    pub(crate) fn leave_document(&mut self, turn: &mut Turn<'_>) {
        let rare = self.extras.as_mut().and_then(|extras| extras.rare.as_mut());
        let is_open = rare.is_some_and(|rare| rare.document.take().is_some());
        let Some(channel) = self.binding.clone().filter(|_| is_open) else { return };
        let documents = turn.hub.documents();
        if let Some(frame) = documents.absent(&channel, self.awareness_owner()) {
            let publishing =
                Publishing { data: payload(frame), info: Some(Arc::clone(&self.who)), ..Publishing::default() };
            if let Err(error) = turn.hub.publish_and_forget(&channel, publishing, turn.now.millis) {
                // The others see by their own clocks that nothing more comes of it.
                tracing::debug!(%channel, ?error, "the end of a client's awareness could not be told");
            }
        }
        documents.close(&channel);
    }
}

/// A frame for this client alone.
fn say(frame: Bytes, turn: &mut Turn<'_>) {
    turn.effects.push(Effect::Push(Push::Message(payload(frame))));
}
