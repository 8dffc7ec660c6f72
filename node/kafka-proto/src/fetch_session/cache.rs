//! All sessions of a node: which there are, and which make room for others.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;

use super::fetch::{Fetch, FetchKind, FetchTarget, forgotten, requested};
use super::session::{FINAL_EPOCH, INITIAL_EPOCH, Session, next_epoch};
use crate::error_code::ErrorCode;
use crate::fetch_response::{FetchAnswer, PartitionAnswer, RecordsLen, TOPIC_IDS_SINCE};
use crate::limits;

/// "No session" on the wire.
const NO_SESSION: i32 = 0;

/// What the sessions of a node may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionLimits {
    /// Most sessions. 0 turns them off: every fetch then names all its partitions.
    pub sessions: usize,
    /// Most partitions of all sessions together.
    pub partitions: usize,
    /// A session unused for longer makes room for any other; one older than this makes room for a
    /// larger one.
    pub evict_after: Duration,
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            sessions: limits::DEFAULT_FETCH_SESSIONS,
            partitions: limits::DEFAULT_FETCH_SESSION_PARTITIONS,
            evict_after: Duration::from_secs(120),
        }
    }
}

/// One node's fetch sessions. The order of calls stands in the [module](super).
///
/// Every `now` is the time since a start of the driver's choice.
#[derive(Debug)]
pub struct FetchSessions {
    limits: SessionLimits,
    sessions: HashMap<i32, Session>,
    /// Partitions of all sessions together.
    partitions: usize,
    /// The one unused for longest first.
    by_use: BTreeSet<(Duration, i32)>,
    /// Those old enough to make room for a larger one, the smallest first.
    evictable: BTreeSet<(usize, i32)>,
    evictions: u64,
}

impl FetchSessions {
    /// No sessions yet.
    #[must_use]
    pub fn new(limits: SessionLimits) -> FetchSessions {
        FetchSessions {
            limits,
            sessions: HashMap::new(),
            partitions: 0,
            by_use: BTreeSet::new(),
            evictable: BTreeSet::new(),
            evictions: 0,
        }
    }

    /// Sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Partitions of all sessions together.
    #[must_use]
    pub const fn partitions(&self) -> usize {
        self.partitions
    }

    /// Sessions that had to make room, since the start.
    #[must_use]
    pub const fn evictions(&self) -> u64 {
        self.evictions
    }

    /// What to read for a request.
    ///
    /// Takes note of the changes that the request makes to its session, and of its epoch: the same
    /// request a second time is refused.
    pub fn handle_request(&mut self, now: Duration, version: i16, request: &FetchRequest) -> Fetch {
        let id = request.session_id;
        let epoch = request.session_epoch;
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            // Who names all partitions has no more use for the session he names.
            self.remove(id);
            let kind = match epoch {
                FINAL_EPOCH => FetchKind::Sessionless,
                _ => FetchKind::Full { uses_ids: version >= TOPIC_IDS_SINCE },
            };
            return Fetch { kind, targets: requested(version, request) };
        }
        let Some(session) = self.sessions.get(&id) else {
            return Fetch::refused(ErrorCode::FetchSessionIdNotFound);
        };
        if session.epoch != epoch {
            return Fetch::refused(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_ids != (version >= TOPIC_IDS_SINCE) {
            return Fetch::refused(ErrorCode::FetchSessionTopicIdError);
        }
        self.go_on(now, version, id, request)
    }

    /// The next fetch of a session that is known to be in the request's epoch.
    fn go_on(&mut self, now: Duration, version: i16, id: i32, request: &FetchRequest) -> Fetch {
        let asked = requested(version, request);
        let Some(mut session) = self.detach(id) else {
            return Fetch::refused(ErrorCode::FetchSessionIdNotFound);
        };
        for target in &asked {
            session.upsert(target.clone());
        }
        for key in forgotten(version, request) {
            session.forget(&key);
        }
        if session.len() == 0 {
            return Fetch { kind: FetchKind::Sessionless, targets: asked };
        }
        if self.partitions + session.len() > self.limits.partitions {
            // No room for what it has become. The client names everything again, and is then
            // weighed against the others as a new session is.
            self.evictions += 1;
            return Fetch::refused(ErrorCode::FetchSessionIdNotFound);
        }
        session.epoch = next_epoch(session.epoch);
        session.used = now;
        let kind = FetchKind::Incremental { id, epoch: session.epoch };
        let targets = session.targets();
        self.attach(now, id, session);
        Fetch { kind, targets }
    }

    /// The answer to a fetch.
    ///
    /// `results` are what was found for [`Fetch::targets`], in the same order; a target without a
    /// result is not told of. `random` chooses the id if a session begins.
    pub fn handle_results<R: RecordsLen>(
        &mut self,
        now: Duration,
        random: u32,
        fetch: Fetch,
        results: impl IntoIterator<Item = PartitionAnswer<R>>,
    ) -> FetchAnswer<R> {
        let results = fetch.targets.into_iter().zip(results);
        match fetch.kind {
            FetchKind::Refused(error) => FetchAnswer::new(error, NO_SESSION),
            FetchKind::Sessionless => whole(NO_SESSION, results),
            FetchKind::Full { uses_ids } => {
                let results: Vec<_> = results.collect();
                let id = self.begin(now, random, uses_ids, &results);
                whole(id, results)
            }
            FetchKind::Incremental { id, epoch } => match self.sessions.get_mut(&id) {
                Some(session) if session.epoch == epoch => {
                    let news = results.filter(|(target, answer)| session.has_news(target, answer));
                    whole(id, news)
                }
                Some(_) => FetchAnswer::new(ErrorCode::InvalidFetchSessionEpoch, id),
                None => FetchAnswer::new(ErrorCode::FetchSessionIdNotFound, NO_SESSION),
            },
        }
    }

    /// Begins a session over these partitions if there is room; its id, or that there is none.
    fn begin<R>(
        &mut self,
        now: Duration,
        random: u32,
        uses_ids: bool,
        results: &[(FetchTarget, PartitionAnswer<R>)],
    ) -> i32 {
        if !self.make_room(now, results.len()) {
            return NO_SESSION;
        }
        let mut session = Session::new(now, uses_ids);
        for (target, answer) in results {
            session.upsert(target.clone());
            session.told(target, answer);
        }
        let id = self.unused_id(random);
        self.attach(now, id, session);
        id
    }

    /// Makes room for a session of so many partitions, if those in its way are stale or worth less.
    fn make_room(&mut self, now: Duration, partitions: usize) -> bool {
        if self.limits.sessions == 0 || partitions == 0 {
            return false;
        }
        let mut too_many = (self.sessions.len() + 1).saturating_sub(self.limits.sessions);
        let mut over = (self.partitions + partitions).saturating_sub(self.limits.partitions);
        let mut victims = HashSet::new();
        for (size, id) in self.expendable(now, partitions) {
            if too_many == 0 && over == 0 {
                break;
            }
            if victims.insert(id) {
                too_many = too_many.saturating_sub(1);
                over = over.saturating_sub(size);
            }
        }
        // Nobody is turned out for a session that still has no room.
        if too_many > 0 || over > 0 {
            return false;
        }
        self.evictions += victims.len() as u64;
        victims.into_iter().for_each(|id| self.remove(id));
        true
    }

    /// The sessions that make room for one of so many partitions, with their sizes: those that are
    /// stale, unused for longest first; then those that are not new and smaller, smallest first.
    fn expendable(&self, now: Duration, partitions: usize) -> impl Iterator<Item = (usize, i32)> {
        let evict_after = self.limits.evict_after;
        let stale = self.by_use.iter();
        let stale = stale.take_while(move |(used, _)| now.saturating_sub(*used) > evict_after);
        let stale = stale.filter_map(|(_, id)| Some((self.sessions.get(id)?.len(), *id)));
        let smaller = self.evictable.iter().take_while(move |(size, _)| *size < partitions);
        stale.chain(smaller.copied())
    }

    /// The id that the random number says, or the next one that is free. Never 0, never negative.
    fn unused_id(&self, random: u32) -> i32 {
        let mut id = (random & i32::MAX.unsigned_abs()).cast_signed().max(1);
        while self.sessions.contains_key(&id) {
            id = id.checked_add(1).unwrap_or(1);
        }
        id
    }

    fn attach(&mut self, now: Duration, id: i32, session: Session) {
        self.partitions += session.len();
        self.by_use.insert((session.used, id));
        if now.saturating_sub(session.created) > self.limits.evict_after {
            self.evictable.insert((session.len(), id));
        }
        self.sessions.insert(id, session);
    }

    fn detach(&mut self, id: i32) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        self.partitions -= session.len();
        self.by_use.remove(&(session.used, id));
        self.evictable.remove(&(session.len(), id));
        Some(session)
    }

    fn remove(&mut self, id: i32) {
        drop(self.detach(id));
    }
}

/// An answer that tells of all these partitions.
fn whole<R>(
    session_id: i32,
    results: impl IntoIterator<Item = (FetchTarget, PartitionAnswer<R>)>,
) -> FetchAnswer<R> {
    let mut answer = FetchAnswer::new(ErrorCode::None, session_id);
    for (target, partition) in results {
        answer.push(target.topic, partition);
    }
    answer
}
