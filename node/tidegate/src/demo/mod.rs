//! `tidegate demo`: all of it once, on this machine.
//!
//! Two real nodes, an edge and a region, in processes of their own; plugins at the edge; live
//! telemetry and a fleet, or the user's file, sent to it; a link to the region over a line that is
//! cut in the middle; and a reader at the region. Each record is known beforehand, its fate among
//! the plugins included, and is held against what arrives: [`expect`] does not ask the nodes.
//!
//! | module | what it does |
//! | --- | --- |
//! | `nodes` | starts and ends the nodes |
//! | `setup` | invites, makes topics, attaches plugins, links |
//! | `stream`, `fleet`, `file`, `table`, `telemetry` | make the records |
//! | `feed` | sends them |
//! | `consume` | reads what arrives |
//! | `expect` | holds it against what must arrive |
//! | `report` | tells it |
//!
//! It uses nothing of the nodes that a user of the public client does not have.

mod consume;
mod expect;
mod feed;
mod file;
mod fleet;
mod nodes;
mod report;
mod setup;
mod stream;
mod table;
mod telemetry;
mod watch;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_client::Client;
use tidegate_wire::{NodeStatus, PluginStats};

use crate::cli;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::{Output, print_text};
use crate::relay::{Line, Relay};
use expect::{Check, Ledger};
use feed::{Books, Budget, with};
use file::FileSource;
use fleet::Fleet;
use nodes::{Place, Sites};
use report::{Report, Summary};
use stream::{Source, Stream};
use watch::Watched;

/// Records of a run without a file.
const RECORDS: u64 = 200_000;

/// Time for the link's last acknowledgements to come in.
const SETTLE: Duration = Duration::from_secs(10);

/// What is to be done.
struct Plan {
    source: Source,
    streams: Arc<[Stream]>,
    budget: Arc<Budget>,
    cut: Duration,
}

impl Plan {
    fn of(args: &cli::Demo) -> Result<Plan, Failure> {
        if args.records == Some(0) {
            return Err(Failure::usage("--records must be at least 1"));
        }
        let (source, budget) = match &args.file {
            None => {
                let fleet = Source::Fleet(Fleet::new(args.seed));
                (fleet, Budget::of_all(args.records.unwrap_or(RECORDS)))
            }
            Some(path) => {
                let file =
                    FileSource::open(path).map_err(|error| Failure::of(Exit::Failed, &error))?;
                let budget = match args.records {
                    Some(records) => Budget::of_all(records),
                    None => Budget::of_bulk(file.len()),
                };
                (Source::File(file), budget)
            }
        };
        let mut streams = source.streams();
        streams.push(telemetry::stream());
        let cut = Duration::from_secs(args.cut);
        Ok(Plan { source, streams: streams.into(), budget: Arc::new(budget), cut })
    }
}

/// Runs the demo and tells what happened.
///
/// # Errors
/// If something could not be done, or a record was lost, came twice or was altered.
pub async fn run(output: Output, args: &cli::Demo) -> Result<(), Failure> {
    let plan = Plan::of(args)?;
    let mut interrupt = Interrupt::listen()?;
    let place = Place::make(args.keep)?;
    let started = tokio::select! {
        sites = Sites::start(&place) => sites,
        () = interrupt.wait() => Err(interrupted()),
    };
    let mut sites = started?;
    let done = tokio::select! {
        done = demonstrate(plan, &mut sites) => done,
        () = interrupt.wait() => Err(interrupted()),
    };
    let told = match done {
        Ok((report, relay)) => {
            let told = tell(output, &report);
            if args.keep {
                tell_kept(output, &place, &sites, &report);
                interrupt.wait().await;
            }
            drop(relay);
            told
        }
        Err(error) => Err(error),
    };
    sites.stop().await;
    told
}

fn interrupted() -> Failure {
    Failure::new(Exit::Failed, "interrupted")
}

/// Everything between the start of the nodes and the report. The relay that comes back keeps the
/// line up.
async fn demonstrate(plan: Plan, sites: &mut Sites) -> Result<(Report, Relay), Failure> {
    let Plan { source, streams, budget, cut } = plan;
    let (edge, region) = tokio::try_join!(sites.edge.client(), sites.region.client())?;
    let target = sites.region.address.parse().map_err(|_| {
        let address = &sites.region.address;
        Failure::new(Exit::Failed, format!("the region's address {address:?} is none"))
    })?;
    let relay = Relay::start(target, Line::default()).await.map_err(|error| {
        Failure::of(Exit::Failed, &error).while_doing("cannot lay a line between the sites")
    })?;
    setup::set_up(&edge, &region, relay.address(), &streams).await?;
    setup::wait_until_linked(&edge).await?;

    let told = source.told();
    let ledger = Ledger::new(streams.iter().map(|stream| (stream.identity, stream.order)));
    let books = Arc::new(Mutex::new(Books { ledger, check: Check::default() }));
    let tasks = watch::start(&edge, &region, source, &streams, &books, &budget);
    let watched = watch::watch(tasks, sites, &relay, cut, &books, &budget).await?;

    let link = setup::wait_for_link(&edge, SETTLE, setup::all_copied).await?;
    let status = edge.status().await.map_err(|error| {
        Failure::of(Exit::Failed, &error).while_doing("cannot ask the edge how it is")
    })?;
    let found = Found {
        again: read_again(&region, &streams, &books).await?,
        stats: topic_stats(&status, &streams),
        stored: status.records_stored,
        all_copied: setup::all_copied(&link),
    };
    let plugins = streams
        .iter()
        .flat_map(|s| s.plugins.iter().map(|plugin| format!("{} on {}", plugin.name, s.topic)))
        .collect();
    let mut report = Report {
        summary: Summary::default(),
        addresses: [sites.edge.address.clone(), sites.region.address.clone()],
        source: told,
        plugins,
        cut: watched.cut,
        taken_in: watched.taken_in,
        bytes_in: budget.bytes(),
        bytes_sent: link.bytes_sent,
        bytes_out: 0,
        faults: expect::Faults::default(),
        notes: Vec::new(),
    };
    with(&books, |books| found.fill(&mut report, books, &budget, &watched));
    Ok((report, relay))
}

/// Reads the mirrors once more. The books are not held meanwhile, as reading waits.
async fn read_again(
    region: &Client,
    streams: &[Stream],
    books: &Mutex<Books>,
) -> Result<Check, Failure> {
    let empty = Ledger::new([]);
    let ledger = with(books, |books| std::mem::replace(&mut books.ledger, empty));
    let again = consume::read_again(region, streams, &ledger).await;
    with(books, |books| books.ledger = ledger);
    again
}

/// What the nodes say in the end.
struct Found {
    again: Check,
    stats: PluginStats,
    stored: u64,
    all_copied: bool,
}

impl Found {
    fn fill(self, report: &mut Report, books: &Books, budget: &Budget, watched: &Watched) {
        let Books { ledger, check } = books;
        let arrived = check.arrived().min(self.again.arrived());
        let [live, again] = [check.faults(), self.again.faults()];
        let duplicated = live.duplicated.max(again.duplicated);
        report.summary = Summary {
            records_in: budget.acked(),
            dropped: self.stats.dropped + self.stats.failed,
            rewritten: self.stats.rewritten,
            stored: self.stored,
            mirrored: self.again.read(),
            consumed: check.read(),
            lost: ledger.kept() - arrived.min(ledger.kept()),
            duplicated,
            seconds: watched.lasted.as_millis() as f64 / 1_000.0,
        };
        report.bytes_out = self.again.bytes();
        report.faults = expect::Faults {
            duplicated,
            altered: live.altered.max(again.altered),
            unexpected: live.unexpected.max(again.unexpected),
            disordered: live.disordered.max(again.disordered),
            examples: if live.examples.is_empty() { again } else { live }.examples.clone(),
        };
        let mut compare = |what: &str, counted: u64, known: u64| {
            if counted != known {
                report.notes.push(format!(
                    "the edge counted {counted} records as {what}; by their content it must be {known}"
                ));
            }
        };
        compare("dropped", self.stats.dropped + self.stats.failed, ledger.dropped());
        compare("rewritten", self.stats.rewritten, ledger.rewritten());
        compare("stored", self.stored, ledger.kept());
        if !self.all_copied {
            report.notes.push("the link does not say that everything was copied".to_owned());
        }
    }
}

/// What the plugins did, each record counted once on each topic.
fn topic_stats(status: &NodeStatus, streams: &[Stream]) -> PluginStats {
    let mut sum = PluginStats::default();
    for stream in streams {
        let attached = || {
            let here = status.attachments.iter();
            here.filter(|a| a.attachment.topic.as_str() == stream.topic).map(|a| a.stats)
        };
        sum.dropped += attached().map(|stats| stats.dropped).sum::<u64>();
        sum.failed += attached().map(|stats| stats.failed).sum::<u64>();
        // A record that two plugins rewrite one after the other is one record.
        sum.rewritten += attached().map(|stats| stats.rewritten).max().unwrap_or(0);
    }
    sum
}

fn tell(output: Output, report: &Report) -> Result<(), Failure> {
    output.print(&report.summary, || report.text())?;
    if output == Output::Json {
        for told in report.notes.iter().chain(&report.faults.examples) {
            eprintln!("note: {told}");
        }
    }
    if report.is_good() { Ok(()) } else { Err(Failure::new(Exit::Failed, report.verdict())) }
}

fn tell_kept(output: Output, place: &Place, sites: &Sites, report: &Report) {
    let (edge, region) = (sites.edge.flags(), sites.region.flags());
    let topic = if report.plugins.iter().any(|p| p.ends_with(" on sensors")) {
        "sensors"
    } else {
        "telemetry"
    };
    let text = format!(
        "Both nodes stay up, with their data in {}. Try\n\n\
         \x20 tidegate status {edge}\n\
         \x20 tidegate link status {} {edge}\n\
         \x20 tidegate topic list {region}\n\
         \x20 tidegate consume {}/{topic} -n 5 {region}\n\
         \x20 echo '{{\"id\":0,\"hello\":1}}' | tidegate produce telemetry {edge}\n\n\
         Ctrl-C ends them; the data stays.\n",
        place.path().display(),
        setup::LINK,
        setup::EDGE,
    );
    // Standard output belongs to the result.
    if output == Output::Json {
        eprint!("{text}");
    } else {
        // A closed pipe is all that can be wrong, and the nodes stay up all the same.
        let _ = print_text(&format!("\n{text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(records: Option<u64>) -> cli::Demo {
        cli::Demo { records, file: None, keep: false, cut: 1, seed: 1 }
    }

    #[test]
    fn a_plan_without_records_is_refused() {
        let error = Plan::of(&args(Some(0))).err().unwrap();
        assert_eq!(error.exit(), Exit::Usage);
        let plan = Plan::of(&args(None)).unwrap();
        assert_eq!(plan.budget.planned(), RECORDS);
        let topics: Vec<_> = plan.streams.iter().map(|stream| stream.topic).collect();
        assert_eq!(topics, ["sensors", "logs", "telemetry"]);
    }

    #[test]
    fn a_file_is_sent_once_unless_records_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some.log");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        let with_file = |records| cli::Demo { file: Some(path.clone()), ..args(records) };
        assert_eq!(Plan::of(&with_file(None)).unwrap().budget.planned(), 3);
        assert_eq!(Plan::of(&with_file(Some(7))).unwrap().budget.planned(), 7);
        let missing = cli::Demo { file: Some(dir.path().join("none")), ..args(None) };
        assert!(Plan::of(&missing).err().unwrap().to_string().starts_with("cannot read"));
    }
}
