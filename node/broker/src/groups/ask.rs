//! The way of a request to the coordinator's task, and of its answer back.
//!
//! Requests wait in a bounded channel, answers come by one channel each. Whoever no longer waits
//! for an answer is noted as gone, so that the coordinator forgets the request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_group::{Request, Response, Token};
use tokio::sync::{Notify, mpsc, oneshot};

/// Requests that wait for the coordinator. Each takes it some microseconds.
const WAITING: usize = 256;

/// How long an answer may take that depends on nothing but this node: many times what a disk needs.
/// Kafka waits for 5 s there, for disks of data centers.
const ANSWER: Duration = Duration::from_secs(30);

/// Why there is no answer. What was asked for may be done all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AskError {
    /// The node is about to stop.
    #[error("the node is shutting down: try again later")]
    ShuttingDown,
    /// The coordinator, or the disk under it, does not get on.
    #[error("the coordinator did not answer within {ANSWER:?}: try again")]
    TimedOut,
}

/// The node's group coordinator, for whoever asks it something.
pub struct Groups {
    asked: mpsc::Sender<Asked>,
    tokens: AtomicU64,
    gone: Arc<Gone>,
}

/// A request on its way.
pub(super) struct Asked {
    pub(super) token: Token,
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Response>,
}

/// Where requests come out.
pub(crate) struct Inbox {
    pub(super) asked: mpsc::Receiver<Asked>,
    pub(super) gone: Arc<Gone>,
}

/// Requests whose answers nobody waits for any more; no more than there are requests.
#[derive(Default)]
pub(super) struct Gone {
    tokens: Mutex<Vec<Token>>,
    moved: Notify,
}

impl Gone {
    fn note(&self, token: Token) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).push(token);
        self.moved.notify_one();
    }

    /// Waits until somebody is gone. May be dropped while it waits, and nothing is lost.
    pub(super) async fn next(&self) -> Vec<Token> {
        loop {
            let tokens =
                std::mem::take(&mut *self.tokens.lock().unwrap_or_else(PoisonError::into_inner));
            if !tokens.is_empty() {
                return tokens;
            }
            self.moved.notified().await;
        }
    }
}

/// Waits for one answer; tells the coordinator if it stops waiting.
struct Waiting<'a> {
    token: Token,
    answer: oneshot::Receiver<Response>,
    gone: &'a Gone,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            // Closed first: a request that is still in the channel is then not begun.
            self.answer.close();
            self.gone.note(self.token);
        }
    }
}

impl Groups {
    pub(crate) fn new() -> (Groups, Inbox) {
        let (sender, asked) = mpsc::channel(WAITING);
        let gone = Arc::new(Gone::default());
        let groups = Groups { asked: sender, tokens: AtomicU64::new(0), gone: gone.clone() };
        (groups, Inbox { asked, gone })
    }

    /// Asks the coordinator, and waits for its answer.
    ///
    /// Members that join or fetch an assignment wait for each other, for as long as the
    /// coordinator's timers let them; every other answer comes within half a minute, or an error
    /// does. Dropping the future takes the request back, unless it was done by then.
    ///
    /// # Errors
    /// If there is no answer; what was asked for may be done all the same.
    pub async fn ask(&self, request: Request) -> Result<Response, AskError> {
        let waits_for_others = matches!(request, Request::Join(_) | Request::Sync(_));
        let asking = self.put(request);
        if waits_for_others {
            return asking.await;
        }
        tokio::time::timeout(ANSWER, asking).await.unwrap_or(Err(AskError::TimedOut))
    }

    async fn put(&self, request: Request) -> Result<Response, AskError> {
        let place = self.asked.reserve().await.map_err(|_| AskError::ShuttingDown)?;
        let token = Token(self.tokens.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        let mut waiting = Waiting { token, answer: answered, gone: &self.gone, answered: false };
        place.send(Asked { token, request, answer });
        let response = (&mut waiting.answer).await;
        // Also where the coordinator's task ended: it needs not be told.
        waiting.answered = true;
        response.map_err(|_| AskError::ShuttingDown)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use tidegate_group::request::View;

    fn request() -> Request {
        Request::View(View { group: "g".to_owned() })
    }

    #[tokio::test]
    async fn whoever_stops_waiting_is_noted_as_gone() {
        let (groups, mut inbox) = Groups::new();
        {
            let asking = groups.ask(request());
            tokio::pin!(asking);
            assert_eq!((&mut asking).now_or_never(), None);
        }
        let asked = inbox.asked.recv().await.unwrap();
        assert!(asked.answer.is_closed());
        assert_eq!(inbox.gone.next().await, [asked.token]);
    }

    #[tokio::test]
    async fn an_answer_leaves_nobody_gone_and_an_end_is_told() {
        let (groups, mut inbox) = Groups::new();
        let answering = async {
            let asked = inbox.asked.recv().await.unwrap();
            let response = Response::Heartbeat(Ok(()));
            asked.answer.send(response).unwrap();
            inbox
        };
        let (answer, inbox) = tokio::join!(groups.ask(request()), answering);
        assert_eq!(answer, Ok(Response::Heartbeat(Ok(()))));
        assert_eq!(inbox.gone.next().now_or_never(), None);
        drop(inbox);
        assert_eq!(groups.ask(request()).await, Err(AskError::ShuttingDown));
    }
}
