//! The run itself: starts senders and readers, cuts and mends the line, and waits for the end.

use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tidegate_client::Client;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::consume;
use super::feed::{self, Books, Budget, with};
use super::nodes::Sites;
use super::report::Cut;
use super::stream::{Source, Stream};
use crate::exit::{Exit, Failure};
use crate::output::grouped;
use crate::relay::Relay;

/// How often the state is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Of a hundred records, those sent when the line is cut.
const CUT_AT_PERCENT: u64 = 40;

/// When nothing has come for so long after all was sent, what is missing is lost.
const GIVE_UP: Duration = Duration::from_secs(60);

/// After the last record, so long is waited for one too many.
const QUIET: Duration = Duration::from_millis(500);

/// Senders and readers at work; dropping them ends them.
pub type Tasks = JoinSet<Result<(), Failure>>;

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// The cut, if there was one.
    pub cut: Option<Cut>,
    /// Time until everything was acknowledged.
    pub taken_in: Duration,
    /// Time until the last record was read.
    pub lasted: Duration,
}

/// Starts the readers at the region and the senders to the edge.
pub fn start(
    edge: &Client,
    region: &Client,
    source: Source,
    streams: &Arc<[Stream]>,
    books: &Arc<Mutex<Books>>,
    budget: &Arc<Budget>,
) -> Tasks {
    let mut tasks = JoinSet::new();
    for (i, stream) in streams.iter().enumerate() {
        tasks.spawn(consume::follow(region.clone(), i, stream.topic, books.clone()));
    }
    let (edge, streams) = (edge.clone(), streams.clone());
    tasks.spawn(feed::feed(edge, source, streams, books.clone(), budget.clone()));
    tasks
}

/// Where the line is in its story.
enum Phase {
    Before,
    Cut { since: Instant, at: Duration, taken: u64, arrived: u64 },
    Mended { cut: Cut, since: Instant, waiting: u64 },
    Over(Option<Cut>),
}

/// Watches until everything has arrived, or nothing comes any more.
///
/// # Errors
/// If a sender, a reader or a node fails.
pub async fn watch(
    mut tasks: Tasks,
    sites: &mut Sites,
    relay: &Relay,
    cut: Duration,
    books: &Mutex<Books>,
    budget: &Budget,
) -> Result<Watched, Failure> {
    let bar = bar(budget.planned());
    let started = Instant::now();
    let mut phase = if cut.is_zero() { Phase::Over(None) } else { Phase::Before };
    let mut taken_in = None;
    let (mut last_read, mut last_news) = (0, started);
    loop {
        tokio::select! {
            // Readers never end well, so this is the feed that is through, or a failure.
            Some(ended) = tasks.join_next() => {
                ended.map_err(|error| Failure::of(Exit::Failed, &error))??;
                taken_in = Some(started.elapsed());
                last_news = Instant::now();
            }
            () = tokio::time::sleep(LOOK) => {}
        }
        sites.check()?;
        let (read, arrived, kept) =
            with(books, |b| (b.check.read(), b.check.arrived(), b.ledger.kept()));
        if read != last_read {
            (last_read, last_news) = (read, Instant::now());
        }
        phase = step(phase, relay, cut, started, budget, (arrived, kept));
        show(&bar, &phase, budget, arrived);

        let Some(taken_in) = taken_in else { continue };
        // Even where nothing is left to send, the line is mended before the end.
        let broken = matches!(phase, Phase::Before | Phase::Cut { .. });
        let quiet = last_news.elapsed();
        let done = arrived >= kept && quiet >= QUIET;
        if !broken && (done || quiet >= GIVE_UP) {
            bar.finish_and_clear();
            let cut = match phase {
                Phase::Mended { cut, .. } => Some(cut),
                Phase::Over(cut) => cut,
                Phase::Before | Phase::Cut { .. } => None,
            };
            let lasted = last_news.duration_since(started);
            return Ok(Watched { cut, taken_in, lasted });
        }
    }
}

fn step(
    phase: Phase,
    relay: &Relay,
    cut_for: Duration,
    started: Instant,
    budget: &Budget,
    (arrived, kept): (u64, u64),
) -> Phase {
    match phase {
        Phase::Before if budget.sent() * 100 >= budget.planned() * CUT_AT_PERCENT => {
            relay.set_cut(true);
            Phase::Cut {
                since: Instant::now(),
                at: started.elapsed(),
                taken: budget.acked(),
                arrived,
            }
        }
        Phase::Cut { since, at, taken, arrived: before } if since.elapsed() >= cut_for => {
            relay.set_cut(false);
            let cut = Cut {
                at,
                lasted: since.elapsed(),
                taken: budget.acked() - taken,
                arrived: arrived - before,
                caught_up: None,
            };
            Phase::Mended { cut, since: Instant::now(), waiting: kept }
        }
        Phase::Mended { cut, since, waiting } if arrived >= waiting => {
            Phase::Over(Some(Cut { caught_up: Some(since.elapsed()), ..cut }))
        }
        same => same,
    }
}

fn bar(planned: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(planned);
    let template = "{elapsed:>4} {bar:30} {human_pos} of {human_len} sent, {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, phase: &Phase, budget: &Budget, arrived: u64) {
    bar.set_position(budget.sent());
    let line = match phase {
        Phase::Before => "line up",
        Phase::Cut { .. } => "LINE CUT",
        Phase::Mended { .. } => "line mended, catching up",
        Phase::Over(_) => "line up again",
    };
    bar.set_message(format!("{} arrived, {line}", grouped(arrived)));
}
