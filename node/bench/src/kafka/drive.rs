//! Threads that drive one connection each: send what is due, wait, take what arrived.
//!
//! No runtime in between: a thread that waits in `poll` for its own socket is woken straight by the
//! kernel, and a wait ends within microseconds of when it should, where a timer wheel of
//! milliseconds would show in the latencies.

use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::channel::Channel;
use super::inbox::{BadLength, Found};
use super::outbox::Outbox;
use crate::pace::Pace;
use crate::quota::Amount;
use crate::session::{Halt, Next, Plan, Session, Tally};
use crate::{BenchError, Stop};

/// Most time until a thread sees that it is to stop.
const LOOK_UP: Duration = Duration::from_millis(50);

/// What is asked over a connection, and what the answers mean.
pub(super) trait Exchange: Send {
    /// What is asked for, for errors.
    const WHAT: &'static str;

    /// The frame of a request, in up to three pieces.
    fn request(&mut self, number: u64) -> Result<[Bytes; 3], String>;

    /// The correlation id of an answer and what it says: what was moved, or the error.
    fn answer(&mut self, payload: Bytes) -> Result<(i32, Result<Amount, String>), String>;

    /// What each request moves, if none of them is answered.
    fn unanswered(&self) -> Option<Amount> {
        None
    }

    /// After the last request, where none is answered: something that is, so that all was taken
    /// once its answer is here.
    ///
    /// # Errors
    /// If it is not answered.
    fn settle(&mut self, _: &mut Channel) -> Result<(), BenchError> {
        Ok(())
    }
}

/// Drives all connections to the end of the load.
///
/// # Errors
/// The first failure of any; the others end then.
pub(super) fn run<E: Exchange>(
    connections: Vec<(Channel, E)>,
    plan: &Plan,
    rate: Option<f64>,
    stop: &Stop,
) -> Result<Tally, BenchError> {
    let failed = Stop::new();
    let count = connections.len() as u32;
    let started = Instant::now();
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = connections
            .into_iter()
            .zip(0..)
            .map(|((mut channel, mut exchange), number)| {
                let pace = rate.map_or(Pace::Closed, |rate| Pace::open(rate, number, count));
                let mut session = Session::new(plan.clone(), pace);
                let failed = failed.clone();
                let drive = move || {
                    wake_promptly();
                    let mut driver =
                        Driver { channel: &mut channel, exchange: &mut exchange, started };
                    let result = driver
                        .drive(&mut session, stop, &failed)
                        .and_then(|()| session.finish().map_err(|halt| driver.halted(halt)));
                    if result.is_err() {
                        failed.stop();
                    }
                    result
                };
                thread::Builder::new().name(format!("bench-{number}")).spawn_scoped(scope, drive)
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                let thread = thread.map_err(BenchError::Local)?;
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let mut all = Tally::new();
    for tally in results {
        all.add(&tally?);
    }
    Ok(all)
}

struct Driver<'a, E> {
    channel: &'a mut Channel,
    exchange: &'a mut E,
    started: Instant,
}

impl<E: Exchange> Driver<'_, E> {
    fn drive(
        &mut self,
        session: &mut Session,
        stop: &Stop,
        failed: &Stop,
    ) -> Result<(), BenchError> {
        let socket = self.channel.stream.set_nonblocking(true);
        socket.map_err(|error| self.broken(session, error))?;
        let unanswered = self.exchange.unanswered();
        let mut outbox = Outbox::default();
        loop {
            let now = self.started.elapsed();
            if failed.is_stopped() {
                return Ok(());
            }
            if stop.is_stopped() {
                session.end(now);
            }
            let next = loop {
                match session.poll_send(now) {
                    Next::Send(number) => {
                        let request = self.exchange.request(number);
                        outbox.push(request.map_err(|reason| self.channel.wrong(reason))?);
                    }
                    next => break next,
                }
            };
            let whole =
                outbox.write(&self.channel.stream).map_err(|error| self.broken(session, error))?;
            if let Some(amount) = unanswered
                && whole > 0
            {
                let now = self.started.elapsed();
                for _ in 0..whole {
                    session.handle_written(now, amount).map_err(|halt| self.halted(halt))?;
                }
                continue;
            }
            if session.is_done() && outbox.is_empty() {
                break;
            }
            let now = self.started.elapsed();
            let timeout = session.poll_timeout();
            if timeout.is_some_and(|timeout| timeout <= now) {
                return Err(BenchError::TimedOut {
                    address: self.channel.address.clone(),
                    what: E::WHAT,
                    waited: self.channel.timeout,
                });
            }
            let at = if let Next::At(due) = next { Some(due) } else { None };
            let until = [at, timeout].into_iter().flatten().min();
            let left = until.map_or(LOOK_UP, |until| until.saturating_sub(now).min(LOOK_UP));
            let readable =
                self.wait(left, !outbox.is_empty()).map_err(|error| self.broken(session, error))?;
            if readable {
                self.take(session)?;
            }
        }
        if unanswered.is_some() && !stop.is_stopped() {
            let socket = self.channel.stream.set_nonblocking(false);
            socket.map_err(|error| self.broken(session, error))?;
            self.exchange.settle(self.channel)?;
            session.extend(self.started.elapsed());
        }
        Ok(())
    }

    /// Waits until there is something to read, or room to write, or the time is over; says whether
    /// there is something to read.
    fn wait(&self, left: Duration, writing: bool) -> io::Result<bool> {
        let mut events = PollFlags::IN;
        if writing {
            events |= PollFlags::OUT;
        }
        let mut fds = [PollFd::from_borrowed_fd(self.channel.stream.as_fd(), events)];
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut fds, Some(&left)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let readable = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        Ok(fds[0].revents().intersects(readable))
    }

    /// Takes what has arrived.
    fn take(&mut self, session: &mut Session) -> Result<(), BenchError> {
        match self.channel.inbox.read(&self.channel.stream) {
            Ok(Found::Bytes) => {}
            Ok(Found::Nothing) => return Ok(()),
            Ok(Found::End) => {
                return Err(BenchError::Closed {
                    address: self.channel.address.clone(),
                    answered: session.answered(),
                    waiting: session.waiting(),
                });
            }
            Err(error) => return Err(self.broken(session, error)),
        }
        let now = self.started.elapsed();
        let exchange = &mut *self.exchange;
        let taken = self.channel.inbox.frames(|payload| {
            let (correlation, outcome) = exchange.answer(payload).map_err(Trouble::Answer)?;
            session.handle_answer(correlation, now, outcome).map_err(Trouble::Halt)
        });
        taken.map_err(|trouble| match trouble {
            Trouble::Answer(reason) => self.channel.wrong(reason),
            Trouble::Halt(halt) => self.halted(halt),
            Trouble::Length(length) => {
                self.channel.wrong(format!("it sent a frame of {length} bytes"))
            }
        })
    }

    fn halted(&self, halt: Halt) -> BenchError {
        match halt {
            Halt::OutOfOrder { expected, found } => self.channel.wrong(format!(
                "it answers request {found} when {expected} is the oldest that waits"
            )),
            Halt::Refused { error } => {
                BenchError::Refused { address: self.channel.address.clone(), what: E::WHAT, error }
            }
        }
    }

    fn broken(&self, session: &Session, source: io::Error) -> BenchError {
        BenchError::Broken {
            address: self.channel.address.clone(),
            answered: session.answered(),
            waiting: session.waiting(),
            source,
        }
    }
}

enum Trouble {
    Answer(String),
    Halt(Halt),
    Length(i32),
}

impl From<BadLength> for Trouble {
    fn from(BadLength(length): BadLength) -> Trouble {
        Trouble::Length(length)
    }
}

/// Asks the kernel not to wait a little longer in the hope of waking several at once: that would
/// show as 50 us in each latency. Where it cannot be asked, so be it.
fn wake_promptly() {
    #[cfg(target_os = "linux")]
    {
        _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    }
}
