//! The machine: requests, timers and ended appends in, effects out.

mod admin;
mod append;
mod load;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidegate_types::TopicId;

use crate::classic::{self, ClassicGroup};
use crate::config::Config;
use crate::consumer::{self, ConsumerGroup};
use crate::effect::{AppendId, Effect, Token};
use crate::format::{Key, UptimeValue, encode};
use crate::group::{Group, Kind};
use crate::limits::{MAX_APPENDS_IN_FLIGHT, MAX_GROUP_ID, MAX_GROUPS};
use crate::offsets;
use crate::request::{Commit, ConsumerHeartbeat, FetchOffsets, Join, Leave, Request};
use crate::response::{JoinRefused, Response};
use crate::step::Step;
use crate::time::{Now, Stamp};
use crate::timers::{GroupTimer, Timer, Timers};
use crate::topics::Topics;
use crate::{GroupError, Record};

use append::InFlight;
use load::Loading;

/// Coordinates all groups of a site.
///
/// In the beginning the records are told, in the order of their log, by [`Coordinator::replay`];
/// then [`Coordinator::handle_loaded`] says that there are no more, and requests are taken. After
/// each call the driver takes every [`Coordinator::poll_effect`] and carries it out, and it calls
/// [`Coordinator::handle_timeout`] at [`Coordinator::next_timeout`] at the latest. Times must not
/// go back, the time of day excepted.
///
/// Where a request changes what is on record, its answer comes with the end of the append. Where
/// it only rests on what an append under way says of the group, it waits for that one.
#[derive(Debug)]
pub struct Coordinator {
    config: Config,
    groups: BTreeMap<Arc<str>, Group>,
    timers: Timers,
    effects: VecDeque<Effect>,
    /// Members that wait for their group: whose they are is asked only if an asker is gone.
    waiting: BTreeMap<Token, (Arc<str>, Arc<str>)>,
    appends: BTreeMap<AppendId, InFlight>,
    next_append: AppendId,
    /// `Some` until everything was replayed.
    loading: Option<Loading>,
    /// Running time that was on record when this began, less the monotonic time then.
    uptime: Uptime,
    topics_version: u64,
    memory: usize,
}

/// Running time, summed over restarts.
#[derive(Clone, Copy, Debug, Default)]
struct Uptime {
    before: Duration,
    began: Duration,
}

impl Uptime {
    fn stamp(self, now: Now) -> Stamp {
        let ran = now.monotonic.saturating_sub(self.began);
        Stamp { wall: now.wall, uptime: self.before.saturating_add(ran) }
    }
}

impl Coordinator {
    /// A coordinator that has read nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Coordinator {
        Coordinator {
            config,
            groups: BTreeMap::new(),
            timers: Timers::default(),
            effects: VecDeque::new(),
            waiting: BTreeMap::new(),
            appends: BTreeMap::new(),
            next_append: AppendId(1),
            loading: Some(Loading::default()),
            uptime: Uptime::default(),
            topics_version: 0,
            memory: 0,
        }
    }

    /// Whether requests are taken.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loading.is_none()
    }

    /// What all groups hold in memory, by estimate, in bytes.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// How many groups there are.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// When [`Coordinator::handle_timeout`] is to be called if nothing happens before.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// The next thing to do; `None` until something happens.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// A client asks.
    pub fn handle_request(
        &mut self,
        now: Now,
        token: Token,
        request: Request,
        topics: &dyn Topics,
    ) {
        if self.loading.is_some() {
            self.reply(token, Response::refusal(request, GroupError::CoordinatorLoadInProgress));
            return;
        }
        if self.appends.len() >= MAX_APPENDS_IN_FLIGHT && request.may_write() {
            self.reply(token, Response::refusal(request, GroupError::CoordinatorNotAvailable));
            return;
        }
        if let Err(error) = self.check(&request) {
            self.reply(token, Response::refusal(request, error));
            return;
        }
        match request {
            Request::Join(request) => self.join(now, token, request),
            Request::Sync(request) => {
                let id = request.group.clone();
                let refusal = Response::Sync(Err(GroupError::UnknownMemberId));
                self.in_classic(now, &id, (token, refusal), |group, step| {
                    let Kind::Classic(classic) = &mut group.kind else { return };
                    classic::sync(classic, &mut group.dirty, request, token, step);
                });
            }
            Request::Heartbeat(request) => {
                let id = request.group.clone();
                let refusal = Response::Heartbeat(Err(GroupError::UnknownMemberId));
                self.in_classic(now, &id, (token, refusal), |group, step| {
                    let Kind::Classic(classic) = &mut group.kind else { return };
                    let alive = classic::heartbeat(classic, &request, step);
                    step.reply(token, Response::Heartbeat(alive));
                });
            }
            Request::Leave(request) => self.leave(now, token, request),
            Request::ConsumerHeartbeat(request) => {
                self.consumer_heartbeat(now, token, request, topics);
            }
            Request::Commit(request) => self.commit(now, token, request, topics),
            Request::FetchOffsets(request) => self.fetch_offsets(token, request, topics),
            Request::DeleteOffsets(request) => {
                let id = request.group.clone();
                let refusal = Response::DeleteOffsets(Err(GroupError::GroupIdNotFound));
                self.in_group(now, &id, (token, refusal), |group, step| {
                    offsets::delete_offsets(group, request, token, step);
                });
            }
            Request::DeleteGroup(request) => {
                let refusal = Response::DeleteGroup(Err(GroupError::GroupIdNotFound));
                self.in_group(now, &request.group, (token, refusal), |group, step| {
                    admin::delete_group(group, token, step);
                });
            }
            Request::List(_)
            | Request::Describe(_)
            | Request::DescribeConsumer(_)
            | Request::View(_) => {
                let response = self.look(request);
                self.reply(token, response);
            }
        }
    }

    /// What can be checked without a group.
    fn check(&self, request: &Request) -> Result<(), GroupError> {
        let Some(group) = request.group() else { return Ok(()) };
        // Offsets may be kept under an empty name, as old consumers do.
        let may_be_empty = matches!(
            request,
            Request::Commit(_)
                | Request::FetchOffsets(_)
                | Request::DeleteOffsets(_)
                | Request::DeleteGroup(_)
                | Request::View(_)
        );
        if group.len() > MAX_GROUP_ID || group.is_empty() && !may_be_empty {
            return Err(GroupError::InvalidGroupId);
        }
        match request {
            Request::Join(join)
                if join.session_timeout < self.config.min_session_timeout
                    || join.session_timeout > self.config.max_session_timeout =>
            {
                Err(GroupError::InvalidSessionTimeout)
            }
            Request::ConsumerHeartbeat(request) => consumer::check(request),
            _ => Ok(()),
        }
    }

    fn join(&mut self, now: Now, token: Token, request: Join) {
        let id: Arc<str> = request.group.as_str().into();
        let refused = |error, member_id| Response::Join(Err(JoinRefused { error, member_id }));
        let is_new = request.member_id.is_empty();
        match self.groups.get_mut(&id) {
            Some(group) if matches!(group.kind, Kind::Classic(_)) => {}
            Some(group) if !group.is_empty() => {
                let error = GroupError::InconsistentGroupProtocol;
                self.reply(token, refused(error, String::new()));
                return;
            }
            _ if !is_new => {
                self.reply(token, refused(GroupError::UnknownMemberId, request.member_id));
                return;
            }
            Some(group) => group.become_classic(),
            None => {
                let kind = Kind::Classic(ClassicGroup::new(self.uptime.stamp(now)));
                if let Err(error) = self.make(&id, kind) {
                    self.reply(token, refused(error, String::new()));
                    return;
                }
            }
        }
        self.step(now, &id, |group, step| {
            let Kind::Classic(classic) = &mut group.kind else { return };
            classic::join(classic, &mut group.dirty, request, token, step);
        });
    }

    fn leave(&mut self, now: Now, token: Token, request: Leave) {
        let id = request.group.clone();
        let unknown = |member| (member, Err(GroupError::UnknownMemberId));
        let refusal = Response::Leave(Ok(request.members.iter().cloned().map(unknown).collect()));
        self.in_classic(now, &id, (token, refusal), |group, step| {
            let Kind::Classic(classic) = &mut group.kind else { return };
            classic::leave(classic, &mut group.dirty, request, token, step);
        });
    }

    fn consumer_heartbeat(
        &mut self,
        now: Now,
        token: Token,
        request: ConsumerHeartbeat,
        topics: &dyn Topics,
    ) {
        let id: Arc<str> = request.group.as_str().into();
        let joins = request.member_epoch == 0;
        let refused = |error| Response::ConsumerHeartbeat(Err(error));
        match self.groups.get_mut(&id) {
            Some(group) if matches!(group.kind, Kind::Consumer(_)) => {}
            Some(group) if joins && group.is_empty() => group.become_consumer(),
            None if joins => {
                let kind = Kind::Consumer(ConsumerGroup::after(0, self.uptime.stamp(now)));
                if let Err(error) = self.make(&id, kind) {
                    self.reply(token, refused(error));
                    return;
                }
            }
            _ => {
                self.reply(token, refused(GroupError::GroupIdNotFound));
                return;
            }
        }
        let topics = (topics, self.topics_version);
        self.step(now, &id, |group, step| {
            let Kind::Consumer(consumer) = &mut group.kind else { return };
            consumer::heartbeat(consumer, &mut group.dirty, request, token, topics, step);
        });
    }

    fn commit(&mut self, now: Now, token: Token, request: Commit, topics: &dyn Topics) {
        let id: Arc<str> = request.group.as_str().into();
        if !self.groups.contains_key(&id) {
            let made = if request.generation < 0 {
                // A group that has offsets and nothing else.
                let kind = Kind::Classic(ClassicGroup::new(self.uptime.stamp(now)));
                self.make(&id, kind)
            } else if request.knows_epochs {
                Err(GroupError::GroupIdNotFound)
            } else {
                Err(GroupError::IllegalGeneration)
            };
            if let Err(error) = made {
                self.reply(token, Response::Commit(Err(error)));
                return;
            }
        }
        self.step(now, &id, |group, step| offsets::commit(group, request, token, topics, step));
    }

    fn fetch_offsets(&mut self, token: Token, request: FetchOffsets, topics: &dyn Topics) {
        let group = self.groups.get(request.group.as_str());
        let fetched = offsets::fetch(group, request, topics);
        self.reply(token, Response::FetchOffsets(fetched));
    }

    /// The asker of a request is gone. An answer that was on its way may still come.
    pub fn handle_gone(&mut self, now: Now, token: Token) {
        let Some((id, member)) = self.waiting.remove(&token) else { return };
        self.step(now, &id, |group, step| {
            if let Kind::Classic(classic) = &mut group.kind {
                classic::gone(classic, &member, token, step);
            }
        });
    }

    /// Topics came, or changed. Groups look at them with their members' next heartbeats.
    pub fn handle_topics_changed(&mut self) {
        self.topics_version += 1;
    }

    /// A topic is no more; what was committed of it goes. To be called before a topic of the same
    /// name is made.
    pub fn handle_topic_deleted(&mut self, now: Now, name: &str, id: TopicId) {
        self.topics_version += 1;
        let holds = |group: &&Group| group.offsets.of_topic(name).next().is_some();
        let groups: Vec<_> =
            self.groups.values().filter(holds).map(|g| Arc::clone(&g.id)).collect();
        for group in groups {
            self.step(now, &group, |group, step| {
                step.offsets = offsets::forget_topic(group, name, id);
            });
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop_due(now.monotonic) {
            match timer {
                Timer::Cleanup => self.clean_up(now),
                Timer::Group(id, timer) => self.step(now, &id, |group, step| {
                    let dirty = &mut group.dirty;
                    match (&mut group.kind, timer) {
                        (Kind::Classic(classic), GroupTimer::Join) => {
                            classic::expire_join(classic, dirty, step);
                        }
                        (Kind::Classic(classic), GroupTimer::Sync) => {
                            classic::expire_sync(classic, dirty, step);
                        }
                        (Kind::Classic(classic), GroupTimer::Session(member)) => {
                            classic::expire_member(classic, dirty, &member, step);
                        }
                        (
                            Kind::Consumer(consumer),
                            GroupTimer::Session(member) | GroupTimer::Rebalance(member),
                        ) => consumer.fence(&member, dirty, step),
                        _ => {}
                    }
                }),
            }
        }
    }

    /// Takes away offsets that expired and groups that nothing is left of, and notes running time.
    fn clean_up(&mut self, now: Now) {
        let next = now.monotonic.saturating_add(self.config.cleanup_interval);
        self.timers.set(Timer::Cleanup, next);
        if self.appends.len() >= MAX_APPENDS_IN_FLIGHT {
            return;
        }
        let stamp = self.uptime.stamp(now);
        if self.groups.values().any(|group| !group.offsets.is_empty()) {
            let value = encode(&UptimeValue { uptime: stamp.uptime });
            self.append(
                InFlight::default(),
                vec![Record { key: encode(&Key::Uptime), value: Some(value) }],
            );
        }
        let ids: Vec<Arc<str>> = self.groups.keys().cloned().collect();
        for id in ids {
            self.step(now, &id, |group, step| {
                step.offsets = offsets::expire(group, step.config, step.stamp);
                let goes = step.offsets.len() == group.offsets.len();
                step.delete = goes && group.is_forgettable();
            });
        }
    }

    /// Makes a group that is not there, if there is room for it.
    fn make(&mut self, id: &Arc<str>, kind: Kind) -> Result<(), GroupError> {
        if self.groups.len() >= MAX_GROUPS || !self.has_room() {
            return Err(GroupError::GroupMaxSizeReached);
        }
        let group = Group::new(Arc::clone(id), kind);
        self.memory += group.cost();
        self.groups.insert(Arc::clone(id), group);
        Ok(())
    }

    fn has_room(&self) -> bool {
        (self.memory as u64) < self.config.max_memory.get()
    }

    fn reply(&mut self, token: Token, response: Response) {
        self.effects.push_back(Effect::Reply { token, response });
    }

    /// A step of a group; the refusal if there is none.
    fn in_group(
        &mut self,
        now: Now,
        id: &str,
        (token, refusal): (Token, Response),
        act: impl FnOnce(&mut Group, &mut Step<'_>),
    ) {
        match self.groups.get(id).map(|group| Arc::clone(&group.id)) {
            Some(id) => self.step(now, &id, act),
            None => self.reply(token, refusal),
        }
    }

    /// A step of a classic group; the refusal if there is none.
    fn in_classic(
        &mut self,
        now: Now,
        id: &str,
        refusal: (Token, Response),
        act: impl FnOnce(&mut Group, &mut Step<'_>),
    ) {
        match self.groups.get(id) {
            Some(group) if matches!(group.kind, Kind::Consumer(_)) => {
                self.reply(refusal.0, refusal.1);
            }
            _ => self.in_group(now, id, refusal, act),
        }
    }
}
