//! What a coordinator asks of its driver.

use bytes::Bytes;

use crate::Response;

/// Names a request that waits for its answer. The driver gives each request another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

/// Names an append. They rise by one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AppendId(pub u64);

/// One record of the compacted topic that holds the coordinator's state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Which thing it tells of.
    pub key: Bytes,
    /// How it is now; `None` if it is gone (a tombstone).
    pub value: Option<Bytes>,
}

/// How an append ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    /// It is durable: it is there when the records are replayed.
    Durable,
    /// It is not known to be. It may be there all the same.
    Failed,
}

/// Something to do. Effects are carried out in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Append these records as one batch, all or none of them; then call
    /// [`Coordinator::handle_appended`](crate::Coordinator::handle_appended), for one append after
    /// the other in the order given here.
    Append {
        /// Its name.
        id: AppendId,
        /// At most [`MAX_APPEND`](crate::limits::MAX_APPEND) bytes of them.
        records: Vec<Record>,
    },
    /// Answer a request. Every request is answered once, unless its asker was said to be gone.
    Reply {
        /// The request.
        token: Token,
        /// The answer.
        response: Response,
    },
}
