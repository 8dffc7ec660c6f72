//! Shape of `plugin new`, `build`, `test` and `bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tidegate_author::Language;
use tidegate_types::{ByteSize, PluginKind, PluginName, StartPosition, TopicName, parse_duration};

/// Options of `plugin new`.
#[derive(Args, Debug)]
pub struct PluginNew {
    /// The plugin's name
    pub name: PluginName,
    /// Language to write it in
    #[arg(long, value_parser = language())]
    pub lang: Language,
    /// What it does: filter, partition or transform
    #[arg(long, value_name = "KIND", default_value_t = PluginKind::Filter)]
    pub kind: PluginKind,
    /// Folder to write the project to [default: the name]
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Rust: use the SDK in this folder instead of a copy in the project
    #[arg(long, value_name = "DIR")]
    pub sdk: Option<PathBuf>,
}

fn language() -> impl TypedValueParser<Value = Language> {
    let names = Language::ALL.iter().map(|language| language.as_str());
    PossibleValuesParser::new(names).map(|name| {
        let found = Language::ALL.iter().find(|language| language.as_str() == name);
        found.copied().unwrap_or(Language::Rust)
    })
}

/// Options of `plugin build`.
#[derive(Args, Debug)]
pub struct PluginBuild {
    /// Folder of the project
    #[arg(default_value = ".")]
    pub dir: PathBuf,
}

/// What `plugin test` and `plugin bench` run, and how.
#[derive(Args, Debug)]
pub struct PluginRun {
    /// Folder of a project that is built, a component, or the name of a stock plugin, which runs with
    /// its example configuration
    #[arg(value_name = "DIR|COMPONENT|STOCK", default_value = ".")]
    pub what: PathBuf,
    /// File of records, one a line: as `consume --output json` prints them, or plain values; - reads
    /// standard input; repeatable [default: the project's]
    #[arg(long, value_name = "FILE")]
    pub input: Vec<PathBuf>,
    /// Configuration, or @FILE to read it from a file [default: the project's, or {}]
    #[arg(long, value_name = "JSON|@FILE")]
    pub config: Option<String>,
    /// Partitions of the topic [default: the project's, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub partitions: Option<u32>,
    /// Records of one batch
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = batch)]
    pub batch: usize,
    /// Give the plugin a state in memory, as the hook derive does
    #[arg(long)]
    pub state: bool,
    /// File of records whose latest value by key is what the state looks up; means --state
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
    /// Most processor time for one batch [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub time_limit: Option<Duration>,
    /// Most memory [default: the project's, or 64 MiB]
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<ByteSize>,
    /// Most bytes returned for one batch [default: 16 MiB]
    #[arg(long, value_name = "SIZE")]
    pub output_limit: Option<ByteSize>,
}

fn batch(text: &str) -> Result<usize, String> {
    let most = tidegate_types::limits::MAX_BATCH_RECORDS as usize;
    match text.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(n),
        _ => Err(format!("write a number from 1 to {most}")),
    }
}

/// Options of `plugin test`.
#[derive(Args, Debug)]
pub struct PluginTest {
    /// What is run.
    #[command(flatten)]
    pub run: PluginRun,
    /// Read records from this topic instead
    #[arg(long, value_name = "TOPIC", conflicts_with = "input")]
    pub topic: Option<TopicName>,
    /// Where to start: start, end, OFFSET, -N before the end, @MILLISECONDS
    #[arg(long, value_name = "OFFSET", requires = "topic", allow_hyphen_values = true, default_value_t = StartPosition::Start)]
    pub from: StartPosition,
    /// Most records to read from it
    #[arg(long, value_name = "N", requires = "topic", default_value_t = 100)]
    pub count: u64,
    /// Snapshot to compare with [default: the project's, for its own input and configuration]
    #[arg(long, value_name = "FILE")]
    pub expected: Option<PathBuf>,
    /// Write what came out to the snapshot instead of comparing
    #[arg(long)]
    pub update: bool,
}

/// Options of `plugin bench`.
#[derive(Args, Debug)]
pub struct PluginBench {
    /// What is run.
    #[command(flatten)]
    pub run: PluginRun,
    /// Records of a round; the input is repeated until there are as many
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub records: u32,
}
