//! Keeps a session up: connects, waits for its end, and connects again.

use std::sync::Arc;
use std::time::Duration;

use jackfield_bridge::QueueError;
use lapin::uri::AMQPUri;
use tokio::sync::watch;

use super::session::{Inboxes, Session};
use super::topology::Topology;

/// How long connecting and declaring may take; a broker that has just started is slow with it.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// Pauses between attempts grow from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// How long a call waits for the first attempt.
const PATIENCE: Duration = Duration::from_secs(2);

/// How it stands with the broker.
#[derive(Clone)]
pub(super) enum State {
    Connecting,
    Down(QueueError),
    Up(Arc<Session>),
}

/// What the keeper needs to connect.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) uri: AMQPUri,
    pub(super) topology: Topology,
    pub(super) inboxes: Inboxes,
}

/// Runs until it is aborted.
pub(super) async fn keep(plan: Plan, state: watch::Sender<State>) {
    let (mut generation, mut pause) = (0_u32, FIRST_PAUSE);
    loop {
        generation = generation.wrapping_add(1);
        let opening = Session::open(&plan.uri, &plan.topology, generation, &plan.inboxes);
        let error = match tokio::time::timeout(OPEN_TIMEOUT, opening).await {
            Ok(Ok(session)) => {
                pause = FIRST_PAUSE;
                let session = Arc::new(session);
                state.send_replace(State::Up(Arc::clone(&session)));
                let error = session.ended().await;
                state.send_replace(State::Down(error.clone()));
                session.close().await;
                error
            }
            Ok(Err(error)) => error,
            Err(_) => QueueError::Unreachable("no connection in time".to_owned()),
        };
        state.send_replace(State::Down(error));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// The session, or why there is none; waits only while the first attempt is under way.
pub(super) async fn session(state: &watch::Sender<State>) -> Result<Arc<Session>, QueueError> {
    let mut changes = state.subscribe();
    let known = changes.wait_for(|state| !matches!(state, State::Connecting));
    match tokio::time::timeout(PATIENCE, known).await {
        Ok(Ok(state)) => match &*state {
            // It may have ended before the keeper heard of it.
            State::Up(session) => session.reason().map_or_else(|| Ok(Arc::clone(session)), Err),
            State::Down(error) => Err(error.clone()),
            State::Connecting => Err(connecting()),
        },
        Ok(Err(_)) | Err(_) => Err(connecting()),
    }
}

fn connecting() -> QueueError {
    QueueError::Unreachable("still connecting".to_owned())
}
