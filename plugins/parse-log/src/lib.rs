//! `parse-log`, a transform: turns log lines into JSON fields. It reads syslog, with what sshd and
//! PAM say in it, and access logs of nginx and Apache; lines that are JSON already pass as they are.
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
//! and `10.1.2.3 - eve [10/Oct/2000:13:55:36 -0700] "GET /a?b=1 HTTP/1.1" 200 2326 "-" "curl/8.5.0"`
//!
//! ```json
//! {"timestamp": "2000-10-10T13:55:36-07:00", "ip": "10.1.2.3", "user": "eve", "method": "GET",
//!  "path": "/a", "query": "b=1", "protocol": "HTTP/1.1", "status": 200, "bytes": 2326,
//!  "user_agent": "curl/8.5.0", "message": "GET /a?b=1 HTTP/1.1"}
//! ```
//!
//! # Hook
//! Any.
//!
//! # Configuration
//!
//! ```json
//! {"format": "auto", "on_mismatch": "keep", "events": true, "message": false}
//! ```
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `format` | what lines are: `syslog`, `access`, `json`, or `auto`: JSON where a brace begins it, else syslog, else an access log | `auto` |
//! | `on_mismatch` | a line of another form: `fail` it, or `keep` it as `{"message": "..."}` | `fail` |
//! | `events` | look into the messages of sshd and PAM | `true` |
//! | `message` | put the message out too; without it, what was recognised stays alone | `true` |
//!
//! # What is read
//! - RFC 3164, with or without the number in angle brackets, its time in either form: `Dec 10
//!   06:55:48` (which names no year: it stays text) or RFC 3339, as rsyslog writes it;
//! - RFC 5424, with its structured data as an object of objects under `structured`;
//! - of sshd and of PAM: `event`, and where the line has them `user`, `invalid_user`, `ip` or else
//!   `rhost`, `port`, `method`, `code`, `reason`, `repeated`, `count`;
//! - the common and the combined access log. Of what is longer, the rest is put out as `more`. What
//!   clients sent is freed of the server's escapes; a request that is no HTTP is the message alone;
//! - JSON: an object, which passes byte by byte, whatever is in it.
//!
//! Events: `accepted_password`, `accepted_publickey` (any method), `failed_password` (any method),
//! `invalid_user`, `invalid_user_request`, `connection_opened`, `connection_closed`,
//! `connection_reset`, `disconnected`, `too_many_failures`, `no_identification`, `bad_protocol`,
//! `reverse_mapping_failed`, `pam_failure`, `pam_unknown_user`, `pam_max_retries`,
//! `session_opened`, `session_closed`.
//!
//! A byte order mark in front and line ends behind are left out.
//!
//! # Bad input
//! A line of another form fails with what it lacks, or is kept, as `on_mismatch` says. Bytes that
//! are no UTF-8 fail; with `keep` they are replaced. A null value fails.

mod access;
mod event;
mod syslog;
#[cfg(test)]
mod tests;
mod write;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tidegate_plugin_sdk::prelude::*;
use tidegate_plugin_sdk::serde_json;

use write::Object;

/// The configuration; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    format: Format,
    on_mismatch: OnMismatch,
    events: bool,
    message: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Format {
    Auto,
    Syslog,
    Access,
    Json,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum OnMismatch {
    Fail,
    Keep,
}

impl Default for Config {
    fn default() -> Config {
        Config { format: Format::Auto, on_mismatch: OnMismatch::Fail, events: true, message: true }
    }
}

/// The plugin.
pub struct ParseLog {
    config: Config,
}

impl ParseLog {
    /// Puts out what the line says, or says what it lacks.
    fn parse(&self, text: &str, out: &mut Output<'_>) -> Result<(), String> {
        let line = trimmed(text);
        match self.config.format {
            Format::Json => ParseLog::json(line, text, out),
            Format::Auto if line.starts_with('{') => ParseLog::json(line, text, out),
            Format::Access => self.access(line, out),
            Format::Syslog => self.syslog(line, out),
            // What is relayed by syslog may hold anything; no access log begins with its time.
            Format::Auto => self.syslog(line, out).or_else(|reason| {
                let access = self.access(line, out);
                access.map_err(|_| reason)
            }),
        }
    }

    fn json(line: &str, text: &str, out: &mut Output<'_>) -> Result<(), String> {
        if !line.trim_start().starts_with('{') {
            return Err("not a JSON line: no object".into());
        }
        serde_json::from_str::<IgnoredAny>(line).map_err(|e| format!("not a JSON line: {e}"))?;
        if line.len() == text.len() {
            out.keep();
        } else {
            out.replace_value(line.as_bytes());
        }
        Ok(())
    }

    fn access(&self, line: &str, out: &mut Output<'_>) -> Result<(), String> {
        let parsed =
            access::parse(line).map_err(|reason| format!("not an access log line: {reason}"))?;
        out.write_value(|value| access::write(value, &parsed, &self.config));
        Ok(())
    }

    fn syslog(&self, line: &str, out: &mut Output<'_>) -> Result<(), String> {
        let parsed =
            syslog::parse(line).map_err(|reason| format!("not a syslog line: {reason}"))?;
        out.write_value(|value| write::line(value, &parsed, &self.config));
        Ok(())
    }
}

impl Transform for ParseLog {
    type Config = Config;

    fn configure(config: Config) -> Result<ParseLog, String> {
        Ok(ParseLog { config })
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let bytes = record.bytes()?;
        let (text, reason) = match str::from_utf8(bytes) {
            Ok(text) => match self.parse(text, out) {
                Ok(()) => return Ok(()),
                Err(reason) => (Cow::Borrowed(text), reason),
            },
            Err(_) => {
                let reason = "not a log line: bytes that are no UTF-8".to_owned();
                (String::from_utf8_lossy(bytes), reason)
            }
        };
        if self.config.on_mismatch == OnMismatch::Fail {
            return Err(reason.into());
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
