//! Shape of `plugin`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tidegate_types::{
    ByteSize, Hook, PluginName, PoisonPolicy, Publisher, StartPosition, TopicName, parse_duration,
};

use super::author::{PluginBench, PluginBuild, PluginNew, PluginTest};

/// What to do with plugins.
#[derive(Subcommand, Debug)]
pub enum PluginCommand {
    /// Write the project of a plugin, with an example in it
    New(PluginNew),
    /// Build a project into a component that a node would take
    Build(PluginBuild),
    /// Run a plugin over records on this machine and compare what comes out
    Test(Box<PluginTest>),
    /// Measure what a plugin costs a record, beside one that does nothing
    Bench(Box<PluginBench>),
    /// Run records of a topic through a version, and tell what it makes of them that the attached
    /// one does not; nothing is written
    DryRun(Box<PluginDryRun>),
    /// Install a plugin, or a new version of it
    Install {
        /// Its name
        name: PluginName,
        /// The component; - reads standard input [default: the stock plugin of that name]
        file: Option<PathBuf>,
    },
    /// List installed plugins
    List {
        /// List the stock plugins that are not installed, too
        #[arg(long)]
        stock: bool,
    },
    /// Show a plugin's versions, where it runs, what it did and its last log lines
    Show {
        /// The plugin
        name: PluginName,
    },
    /// Attach a plugin to a topic, or change how it is attached there
    Attach(Box<PluginAttach>),
    /// Go back to the version and configuration that a plugin had on a topic before, or end a trial
    Rollback {
        /// The topic
        topic: TopicName,
        /// The plugin
        plugin: PluginName,
        /// The hook
        #[arg(long, default_value_t = Hook::Ingest)]
        hook: Hook,
    },
    /// Remove a plugin that is attached nowhere
    Remove {
        /// Its name
        name: PluginName,
        /// First digits of the version's hash [default: all versions]
        #[arg(long, value_name = "HASHPREFIX", value_parser = hash_prefix)]
        version: Option<String>,
    },
    /// Sign a component, so that nodes can tell who made it
    Sign {
        /// The component; it is replaced by a signed one
        file: PathBuf,
        /// The private key: PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Make the key, if there is no such file
        #[arg(long)]
        new_key: bool,
        /// Where the signed component goes [default: in place of the other]
        #[arg(long, short, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Tell who signed a component
    Verify {
        /// The component; - reads standard input
        file: PathBuf,
        /// Who should have, as NAME=KEY; repeat it for several [default: plugins.publishers]
        #[arg(long, value_name = "NAME=KEY")]
        publisher: Vec<Publisher>,
    },
    /// Print the last log lines of a plugin, and its last errors
    Log {
        /// The plugin
        name: PluginName,
    },
    /// Tell what plugins did since the node started, and what they cost
    Stats {
        /// The plugin [default: all]
        name: Option<PluginName>,
    },
    /// Detach a plugin from a topic; what it derived stays, its state goes
    Detach {
        /// The topic
        topic: TopicName,
        /// The plugin
        plugin: PluginName,
        /// The hook
        #[arg(long, default_value_t = Hook::Ingest)]
        hook: Hook,
    },
}

/// Options of `plugin attach`.
#[derive(Args, Debug)]
pub struct PluginAttach {
    /// The topic
    pub topic: TopicName,
    /// The plugin
    pub plugin: PluginName,
    /// Where it runs [default: derive with --to, ingest without]
    #[arg(long)]
    pub hook: Option<Hook>,
    /// The topic to derive to, each record exactly once
    #[arg(long, value_name = "TOPIC")]
    pub to: Option<TopicName>,
    /// A topic whose latest values by key the plugin may look up
    #[arg(long, value_name = "TOPIC", requires = "to")]
    pub table: Option<TopicName>,
    /// Derive only from records that come from now on [default: from the first]
    #[arg(long, requires = "to")]
    pub from_end: bool,
    /// Try the version and configuration on these partitions alone, beside what is attached
    #[arg(long, value_name = "PARTITIONS", value_delimiter = ',')]
    pub canary: Vec<u32>,
    /// Its configuration, or @FILE to read it from a file
    #[arg(long, value_name = "JSON|@FILE", default_value = "{}")]
    pub config: String,
    /// What becomes of records on which it fails: skip (dropped), dead-letter (kept in
    /// TOPIC.dead), halt (the batch is refused)
    #[arg(long, value_name = "POLICY", default_value_t = PoisonPolicy::DeadLetter)]
    pub on_error: PoisonPolicy,
    /// First digits of the version's hash [default: the newest]
    #[arg(long, value_name = "HASHPREFIX", value_parser = hash_prefix)]
    pub version: Option<String>,
    /// Most processor time for one batch [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub time_limit: Option<Duration>,
    /// Most memory [default: 64 MiB]
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<ByteSize>,
    /// Most bytes returned for one batch [default: 16 MiB]
    #[arg(long, value_name = "SIZE")]
    pub output_limit: Option<ByteSize>,
    /// Most time for each record of a batch, on average [default: no limit of its own]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub record_time_limit: Option<Duration>,
    /// Most records put out for one [default: 1000]
    #[arg(long, value_name = "N")]
    pub fan_out_limit: Option<u32>,
    /// Most log lines kept of one batch [default: 256]
    #[arg(long, value_name = "N")]
    pub log_limit: Option<u32>,
    /// Most bytes of state for one partition [default: 256 MiB]
    #[arg(long, value_name = "SIZE")]
    pub state_limit: Option<ByteSize>,
    /// Failed runs in a row after which it is paused; 0 never pauses [default: 100]
    #[arg(long, value_name = "N")]
    pub max_failures: Option<u32>,
}

/// Options of `plugin dry-run`.
#[derive(Args, Debug)]
pub struct PluginDryRun {
    /// The topic
    pub topic: TopicName,
    /// The plugin
    pub plugin: PluginName,
    /// Where it is or would be attached
    #[arg(long, default_value_t = Hook::Ingest)]
    pub hook: Hook,
    /// First digits of the hash of the version to try [default: the newest]
    #[arg(long, value_name = "HASHPREFIX", value_parser = hash_prefix)]
    pub version: Option<String>,
    /// Its configuration, or @FILE to read it from a file [default: that of what is attached]
    #[arg(long, value_name = "JSON|@FILE")]
    pub config: Option<String>,
    /// The partition [default: all]
    #[arg(short, long, value_name = "N")]
    pub partition: Option<u32>,
    /// Where to start: start, end, OFFSET, -N before the end, @MILLISECONDS
    #[arg(short = 'o', long, value_name = "OFFSET", allow_hyphen_values = true, default_value_t = StartPosition::Start)]
    pub from: StartPosition,
    /// Most records to run, of all partitions together
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100_000)]
    pub count: u64,
    /// Most records to show that meet another fate
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub samples: u32,
}

fn hash_prefix(text: &str) -> Result<String, &'static str> {
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex && (4..=64).contains(&text.len()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("write 4 to 64 hexadecimal digits, as `tidegate plugin show` prints them")
    }
}
