//! Keeps a session up: connects, waits for its end, says that it was interrupted, and connects again.

use std::sync::Arc;
use std::time::Duration;

use jackfield_cluster::{EngineError, Incoming};
use tokio::sync::watch;

use super::desk::Desk;
use super::session::Session;
use super::wire::{Plan, Wire};

/// Pauses between attempts grow from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// How long a call waits for the first attempt.
const PATIENCE: Duration = Duration::from_secs(3);

/// How it stands with the broker.
pub(super) enum State<W> {
    Connecting,
    Down(EngineError),
    Up(Arc<Session<W>>),
}

/// Runs until it is aborted.
pub(super) async fn keep<P: Plan>(desk: Arc<Desk>, plan: Arc<P>, state: watch::Sender<State<P::Wire>>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match Session::open(&desk, &*plan).await {
            Ok(session) => {
                pause = FIRST_PAUSE;
                let session = Arc::new(session);
                state.send_replace(State::Up(Arc::clone(&session)));
                let error = session.ended().await;
                state.send_replace(State::Down(error.clone()));
                session.close().await;
                // The engine holds the other end.
                let _ = desk.incoming.send(Incoming::Interrupted(error.to_string()));
                error
            }
            Err(error) => error,
        };
        state.send_replace(State::Down(error));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// The session, or why there is none; waits only while the first attempt is under way.
pub(super) async fn session<W: Wire>(state: &watch::Sender<State<W>>) -> Result<Arc<Session<W>>, EngineError> {
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

fn connecting() -> EngineError {
    EngineError::Unreachable("still connecting, or reading history".to_owned())
}
