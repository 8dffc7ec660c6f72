//! `redact`, a transform: masks secrets, IP addresses and mail addresses in text.
//!
//! Logs leave a site with what nobody meant to send. This plugin works on any text, JSON lines
//! included, and leaves every byte that it does not mask as it was.
//!
//! # Configuration
//!
//! ```json
//! {"kinds": ["secrets", "ipv4", "ipv6", "email"], "mask": "***", "keep_last_octet": false,
//!  "names": ["session", "pin"]}
//! ```
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `kinds` | what is masked | all four |
//! | `mask` | what stands in its place; printable, without `"` and `\`, so that JSON stays JSON | `***` |
//! | `keep_last_octet` | `10.1.2.3` becomes `***.3`, so that hosts can still be told apart | `false` |
//! | `names` | further names whose values are secrets; case, `-` and `_` do not matter | none |
//!
//! Secrets are
//! - the value after a name that is, or ends in, `password`, `passwd`, `pwd`, `passphrase`,
//!   `secret`, `token`, `api_key`, `access_key`, `secret_key`, `private_key`, `authorization`,
//!   `credentials` and `cookie`, behind `=` or `:`, with or without quotes, in JSON too;
//! - what follows `Bearer`, `Basic` or `Digest` where it looks like a credential;
//! - the password in `scheme://user:password@host`;
//! - JSON web tokens, and keys with a known beginning (AWS, GitHub, GitLab, Slack, Stripe, and the
//!   like).
//!
//! What no rule can tell from ordinary words is not found: this lowers the risk, it does not prove
//! its absence. A null value stays null.

mod address;
mod config;
mod scan;
mod secret;
#[cfg(test)]
mod tests;

use tidegate_plugin_sdk::prelude::*;

use config::{Config, Rules};
use scan::Mask;

/// The plugin.
pub struct Redact {
    rules: Rules,
    // Kept from record to record, so that it is allocated once.
    masks: Vec<Mask>,
}

impl Transform for Redact {
    type Config = Config;

    fn configure(config: Config) -> Result<Redact, String> {
        Ok(Redact { rules: config.rules()?, masks: Vec::new() })
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let text = record.value().unwrap_or_default();
        self.masks.clear();
        scan::find(text, &self.rules, &mut self.masks);
        if self.masks.is_empty() {
            out.keep();
            return Ok(());
        }
        out.write_value(|value| {
            let mut at = 0;
            for mask in &self.masks {
                value.put(&text[at..mask.start]);
                if mask.quoted {
                    value.put(b"\"");
                }
                value.put(self.rules.mask.as_bytes());
                if mask.quoted {
                    value.put(b"\"");
                }
                at = mask.end;
            }
            value.put(&text[at..]);
        });
        Ok(())
    }
}

export_transform!(Redact);
