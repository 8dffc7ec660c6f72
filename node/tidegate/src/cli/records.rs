//! Shape of `produce` and `consume`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use tidegate_record::Compression;
use tidegate_types::{Acks, PluginName, StartPosition, TopicName, parse_duration};

use crate::format::Format;

/// Options of `produce`.
#[derive(Args, Debug)]
pub struct Produce {
    /// The topic
    pub topic: TopicName,
    /// Key of every record
    #[arg(short, long, value_name = "KEY", conflicts_with = "key_delimiter")]
    pub key: Option<String>,
    /// Split each line into key and value at the first DELIM
    #[arg(short = 'K', long, value_name = "DELIM", value_parser = non_empty)]
    pub key_delimiter: Option<String>,
    /// Header of every record; repeatable
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    pub headers: Vec<Header>,
    /// Send to this partition [default: by key, or spread evenly]
    #[arg(short, long, value_name = "N")]
    pub partition: Option<u32>,
    /// Read this file instead of standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Send keys and values that are empty as null
    #[arg(short = 'Z', long)]
    pub null: bool,
    /// Lines end with CR LF: do not send the CR
    #[arg(long)]
    pub crlf: bool,
    /// When a record counts as taken: 0 (sent), 1 (written), all (durable)
    #[arg(long, value_name = "0|1|all", default_value_t = Acks::All, allow_hyphen_values = true)]
    pub acks: Acks,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, default_value_t = Compression::None, value_name = "CODEC")]
    pub compression: Compression,
    /// How long a batch waits for more records
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = parse_duration)]
    pub linger: Duration,
}

fn non_empty(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("the delimiter must not be empty") } else { Ok(text.to_owned()) }
}

/// A header given as `name=value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its name.
    pub name: Bytes,
    /// Its value; null where there is no `=`.
    pub value: Option<Bytes>,
}

impl FromStr for Header {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Header, &'static str> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(Bytes::copy_from_slice(value.as_bytes()))),
            None => (text, None),
        };
        if name.is_empty() {
            return Err("a header is written NAME=VALUE, or NAME for one without a value");
        }
        Ok(Header { name: Bytes::copy_from_slice(name.as_bytes()), value })
    }
}

const FORMAT_HELP: &str = "Format tokens: %t topic, %p partition, %o offset, %k key, %K key length, \
%s value, %S value length, %T timestamp in ms, %h headers, %% percent; \\n \\r \\t \\0 \\\\ \\xHH. \
The length of null is -1.\n\nExample: tidegate consume orders -e -f '%p %o %k=%s\\n'";

/// Options of `consume`.
#[derive(Args, Debug)]
#[command(after_help = FORMAT_HELP)]
pub struct Consume {
    /// The topic
    pub topic: TopicName,
    /// Where to begin: start, end, N (that offset), +N (N after the first), -N (the last N), @TIME
    /// (the first at or after that time, ms since 1970)
    #[arg(
        short,
        long,
        value_name = "POSITION",
        default_value = "start",
        allow_hyphen_values = true
    )]
    pub offset: StartPosition,
    /// Take the records through this plugin, which is attached at the topic's hook read
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<PluginName>,
    /// Stop after N records
    #[arg(short = 'n', long, value_name = "N")]
    pub count: Option<u64>,
    /// Stop at the end instead of waiting for more
    #[arg(short, long)]
    pub exit: bool,
    /// Only this partition; repeatable [default: all]
    #[arg(short, long, value_name = "P")]
    pub partition: Vec<u32>,
    /// How each record is printed [default: '%s\n']
    #[arg(short, long, value_name = "FORMAT")]
    pub format: Option<Format>,
}
