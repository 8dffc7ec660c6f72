//! What the node answers, as commands print it.
//!
//! Each view has the stable keys of the JSON output and renders its table. It is made from the
//! protocol's messages, which may change in form without these keys changing.

mod attachment;
mod dry_run;
mod group;
mod link;
mod log;
mod plugin;
mod status;
mod storage;
mod topic;

pub use attachment::{AttachedView, AttachmentView, attached_sentence, log_lines, plugin_logs};
pub use dry_run::{DryRunView, dry_run_text};
pub use group::{GroupView, GroupsView, group_detail, group_table};
pub use link::{LinkView, link_detail, link_table};
pub use log::CheckView;
pub use plugin::{InstalledView, PluginView, StockView, plugin_detail, plugin_table};
pub use status::StatusView;
pub use topic::{TopicView, topic_detail, topic_table};

/// Something that was done to something, as `{"deleted": "orders"}`.
#[must_use]
pub fn done(what: &'static str, name: impl std::fmt::Display) -> serde_json::Value {
    serde_json::json!({ what: name.to_string() })
}
