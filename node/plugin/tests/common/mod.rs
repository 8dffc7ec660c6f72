//! A host in a folder of its own, and columns for its plugins.

use std::path::Path;
use std::time::Duration;

use tidegate_plugin::{
    Columns, HostConfig, Instance, Limits, Needs, Outcome, PluginHost, RunContext, RunError,
};
use tidegate_types::Timestamp;

pub fn host_at(dir: &Path) -> PluginHost {
    PluginHost::new(HostConfig::new(dir)).unwrap()
}

/// The defaults, but for the time: tests share a machine with whatever else runs on it.
pub fn patient() -> Limits {
    Limits { batch_time: Duration::from_secs(60), ..Limits::default() }
}

pub fn context() -> RunContext {
    RunContext { topic: "sensors".into(), partition: 0, partitions: 4, seed: 42 }
}

pub fn columns(needs: Needs, values: &[&str]) -> Columns {
    let mut columns = Columns::new();
    columns.clear(needs);
    for (i, value) in (0..).zip(values) {
        let key = format!("{i}");
        columns.push(Timestamp(i), Some(key.as_bytes()), Some(value.as_bytes()), []).unwrap();
    }
    columns
}

pub fn run(instance: &mut Instance, values: &[&str]) -> Result<Outcome, RunError> {
    instance.run(&mut columns(instance.needs(), values), &context())
}
