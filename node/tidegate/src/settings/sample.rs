//! Writes a settings file with every setting, its default and its meaning.

use std::collections::BTreeMap;

use super::keys::{Key, SETTINGS};

/// The text of a settings file: `set` holds values as TOML; all others stand there as comments.
#[must_use]
pub fn sample(set: &BTreeMap<Key, String>) -> String {
    let mut text = String::from(
        "# Settings of Tidegate. What is commented out has its default.\n\
         # An environment variable goes above this file, a flag above both.\n",
    );
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            text.push_str(&format!("\n[{section}]\n"));
        } else {
            text.push('\n');
        }
        for line in setting.doc.lines() {
            text.push_str(&format!("# {line}\n"));
        }
        match setting.flag {
            "" => text.push_str(&format!("# {}\n", setting.variable)),
            flag => text.push_str(&format!("# {} or {flag}\n", setting.variable)),
        }
        match set.get(&setting.key) {
            Some(value) => text.push_str(&format!("{} = {value}\n", setting.name)),
            None if setting.default.is_empty() => {
                text.push_str(&format!("# {} = \"...\"\n", setting.name));
            }
            None => text.push_str(&format!("# {} = {}\n", setting.name, setting.default)),
        }
    }
    text
}
