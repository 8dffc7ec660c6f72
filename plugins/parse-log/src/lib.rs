//! `parse-log`, a transform: turns syslog and sshd lines into JSON fields.
//!
//! `<38>Dec 10 06:55:48 LabSZ sshd[24200]: Failed password for invalid user eve from 10.1.2.3 port
//! 38926 ssh2` becomes, on one line,
//!
//! ```json
//! {"timestamp": "Dec 10 06:55:48", "facility": 4, "severity": 6, "host": "LabSZ",
//!  "program": "sshd", "pid": 24200,
//!  "event": "failed_password", "user": "eve", "invalid_user": true, "ip": "10.1.2.3", "port": 38926,
//!  "message": "Failed password for invalid user eve from 10.1.2.3 port 38926 ssh2"}
//! ```
//!
//! # Configuration
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `on_mismatch` | a line that is no syslog: `fail` it, or `keep` it as `{"message": "..."}` | `fail` |
//! | `events` | look into the messages of sshd and PAM | `true` |
//! | `message` | put the message out too; without it, what was recognised stays alone | `true` |
//!
//! # What is read
//! - RFC 3164, with or without the number in angle brackets, its time in either form: `Dec 10
//!   06:55:48` (which names no year: it stays text) or RFC 3339, as rsyslog writes it;
//! - RFC 5424, with its structured data as an object of objects under `structured`;
//! - of sshd and of PAM: `event`, and where the line has them `user`, `invalid_user`, `ip` or else
//!   `rhost`, `port`, `method`, `code`, `reason`, `repeated`, `count`.
//!
//! Events: `accepted_password`, `accepted_publickey` (any method), `failed_password` (any method),
//! `invalid_user`, `invalid_user_request`, `connection_opened`, `connection_closed`,
//! `connection_reset`, `disconnected`, `too_many_failures`, `no_identification`, `bad_protocol`,
//! `reverse_mapping_failed`, `pam_failure`, `pam_unknown_user`, `pam_max_retries`,
//! `session_opened`, `session_closed`.
//!
//! A byte order mark in front and line ends behind are left out. Bytes that are no UTF-8 fail; with
//! `keep` they are replaced.

mod event;
mod syslog;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

use write::Object;

/// The configuration; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    on_mismatch: OnMismatch,
    events: bool,
    message: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum OnMismatch {
    Fail,
    Keep,
}

impl Default for Config {
    fn default() -> Config {
        Config { on_mismatch: OnMismatch::Fail, events: true, message: true }
    }
}

/// The plugin.
pub struct ParseLog {
    config: Config,
}

impl Transform for ParseLog {
    type Config = Config;

    fn configure(config: Config) -> Result<ParseLog, String> {
        Ok(ParseLog { config })
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let bytes = record.bytes()?;
        let (text, reason) = match str::from_utf8(bytes) {
            Ok(text) => match syslog::parse(trimmed(text)) {
                Ok(line) => {
                    out.write_value(|value| write::line(value, &line, &self.config));
                    return Ok(());
                }
                Err(reason) => (Cow::Borrowed(text), reason),
            },
            Err(_) => (String::from_utf8_lossy(bytes), "bytes that are no UTF-8"),
        };
        if self.config.on_mismatch == OnMismatch::Fail {
            return Err(format!("not a syslog line: {reason}").into());
        }
        out.write_value(|value| {
            let mut object = Object::new(value);
            object.text("message", trimmed(&text));
            object.end();
        });
        Ok(())
    }
}

fn trimmed(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim_end_matches(['\r', '\n', '\0'])
}

export_transform!(ParseLog);
