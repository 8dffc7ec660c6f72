//! The loops between the columns that cross the border and the function over a record.
//!
//! Generic over the plugin, free of the component model: the same code runs in the node and in
//! [`testing`](crate::testing).

use serde::de::DeserializeOwned;

use crate::answer::Answer;
use crate::bindings::types::{
    self, Batch, Chosen, Columns, Context, FilterVerdict, Kept, PartitionVerdict, TransformVerdict,
};
use crate::failure::Scope;
use crate::output::Output;
use crate::{Failure, Record, host};

/// Keeps or drops records.
pub trait Filter: Sized {
    /// What the JSON configuration is parsed into. [`NoConfig`] where there is nothing to set.
    type Config: DeserializeOwned;

    /// Makes the plugin, or says what is wrong with the configuration.
    fn configure(config: Self::Config) -> Result<Self, String>;

    /// The parts of a record that are read; the fewer, the faster.
    fn needs(&self) -> Columns {
        Columns::VALUES
    }

    /// Whether the record is kept.
    fn keep(&mut self, record: &Record<'_>) -> Result<bool, Failure>;
}

/// Chooses a partition for each record.
pub trait Partition: Sized {
    /// What the JSON configuration is parsed into. [`NoConfig`] where there is nothing to set.
    type Config: DeserializeOwned;

    /// Makes the plugin, or says what is wrong with the configuration.
    fn configure(config: Self::Config) -> Result<Self, String>;

    /// The parts of a record that are read; the fewer, the faster.
    fn needs(&self) -> Columns {
        Columns::VALUES
    }

    /// The record's partition, below `partitions`, which is at least 1.
    fn partition(&mut self, record: &Record<'_>, partitions: u32) -> Result<u32, Failure>;
}

/// Drops, rewrites, splits and routes records.
pub trait Transform: Sized {
    /// What the JSON configuration is parsed into. [`NoConfig`] where there is nothing to set.
    type Config: DeserializeOwned;

    /// Makes the plugin, or says what is wrong with the configuration.
    fn configure(config: Self::Config) -> Result<Self, String>;

    /// The parts of a record that are read; the fewer, the faster.
    fn needs(&self) -> Columns {
        Columns::VALUES
    }

    /// Puts out what becomes of the record: any number of records; none drops it. If it fails, what
    /// it had put out for this record is taken back.
    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure>;
}

/// The configuration of a plugin that has nothing to set.
#[derive(serde::Deserialize, Clone, Copy, Default, Debug)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Parses a configuration; empty text stands for `{}`.
fn parse<C: DeserializeOwned>(config: &str) -> Result<C, String> {
    let config = if config.trim().is_empty() { "{}" } else { config };
    serde_json::from_str(config).map_err(|e| format!("configuration: {e}"))
}

#[doc(hidden)]
pub fn configure_filter<P: Filter>(config: &str) -> Result<(P, Columns), String> {
    host::install_panic_hook();
    let plugin = P::configure(parse(config)?)?;
    let needs = plugin.needs();
    Ok((plugin, needs))
}

#[doc(hidden)]
pub fn configure_partition<P: Partition>(config: &str) -> Result<(P, Columns), String> {
    host::install_panic_hook();
    let plugin = P::configure(parse(config)?)?;
    let needs = plugin.needs();
    Ok((plugin, needs))
}

#[doc(hidden)]
pub fn configure_transform<P: Transform>(config: &str) -> Result<(P, Columns), String> {
    host::install_panic_hook();
    let plugin = P::configure(parse(config)?)?;
    let needs = plugin.needs();
    Ok((plugin, needs))
}

#[doc(hidden)]
pub fn run_filter<P: Filter>(
    plugin: &mut P,
    batch: &Batch,
    context: &Context,
) -> Result<FilterVerdict, String> {
    let mut bitmap = vec![0_u8; batch.count.div_ceil(8) as usize];
    let failed = each(batch, context, |record| {
        let kept = plugin.keep(record)?;
        let i = record.index();
        bitmap[i as usize / 8] |= u8::from(kept) << (i % 8);
        Ok(())
    })?;
    Ok(match failed {
        Ran::Through(failed) => FilterVerdict::Kept(Kept { bitmap, failed }),
        Ran::Rejected(reason) => FilterVerdict::Reject(reason),
    })
}

#[doc(hidden)]
pub fn run_partition<P: Partition>(
    plugin: &mut P,
    batch: &Batch,
    context: &Context,
) -> Result<PartitionVerdict, String> {
    let mut partitions = vec![0; batch.count as usize];
    let failed = each(batch, context, |record| {
        let chosen = plugin.partition(record, context.partitions)?;
        if chosen >= context.partitions {
            let of = context.partitions;
            return Err(Failure::record(format!("chose partition {chosen} of a topic with {of}")));
        }
        partitions[record.index() as usize] = chosen;
        Ok(())
    })?;
    Ok(match failed {
        Ran::Through(failed) => PartitionVerdict::Chosen(Chosen { partitions, failed }),
        Ran::Rejected(reason) => PartitionVerdict::Reject(reason),
    })
}

#[doc(hidden)]
pub fn run_transform<P: Transform>(
    plugin: &mut P,
    batch: &Batch,
    context: &Context,
) -> Result<TransformVerdict, String> {
    let mut answer = Answer::with_capacity(batch.count, batch.values.len());
    let failed = each(batch, context, |record| {
        answer.record(record.index(), |out| plugin.apply(record, out))
    })?;
    match failed {
        Ran::Through(failed) => answer.finish(&batch.timestamps, failed),
        Ran::Rejected(reason) => Ok(TransformVerdict::Reject(reason)),
    }
}

enum Ran {
    Through(Vec<types::Failure>),
    Rejected(String),
}

/// Runs `handle` on each record and gathers the failures.
fn each<'a>(
    batch: &'a Batch,
    context: &'a Context,
    mut handle: impl FnMut(&Record<'a>) -> Result<(), Failure>,
) -> Result<Ran, String> {
    let mut failed = Vec::new();
    for index in 0..batch.count {
        let record = Record::of(batch, context, index)
            .map_err(|what| format!("the node's batch is malformed: {what} at record {index}"))?;
        match handle(&record) {
            Ok(()) => {}
            Err(Failure { scope: Scope::Record, reason }) => {
                failed.push(types::Failure { record: index, reason });
            }
            Err(Failure { scope: Scope::Batch, reason }) => return Ok(Ran::Rejected(reason)),
        }
    }
    Ok(Ran::Through(failed))
}

/// Makes a filter of the type a component: call it once, at the top of the plugin's crate.
#[macro_export]
macro_rules! export_filter {
    ($plugin:ty) => {
        $crate::__export!($plugin, Filter, filter, FilterVerdict, configure_filter, run_filter);
    };
}

/// Makes a partitioner of the type a component: call it once, at the top of the plugin's crate.
#[macro_export]
macro_rules! export_partition {
    ($plugin:ty) => {
        $crate::__export!(
            $plugin,
            Partition,
            partition,
            PartitionVerdict,
            configure_partition,
            run_partition
        );
    };
}

/// Makes a transform of the type a component: call it once, at the top of the plugin's crate.
#[macro_export]
macro_rules! export_transform {
    ($plugin:ty) => {
        $crate::__export!(
            $plugin,
            Transform,
            transform,
            TransformVerdict,
            configure_transform,
            run_transform
        );
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    ($plugin:ty, $kind:ident, $hook:ident, $verdict:ident, $configure:ident, $run:ident) => {
        // Checked on every target, exported on one: natively, two plugins linked into one test
        // would claim the same symbols.
        const _: fn() = || {
            fn is_a_plugin<P: $crate::$kind>() {}
            is_a_plugin::<$plugin>();
        };

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "generated exports of the component model")]
        const _: () = {
            use $crate::__private::{Batch, Columns, Context, bindings, guest};

            struct Component;

            ::std::thread_local! {
                static PLUGIN: ::std::cell::RefCell<::std::option::Option<$plugin>> =
                    const { ::std::cell::RefCell::new(::std::option::Option::None) };
            }

            impl bindings::$hook::Guest for Component {
                fn configure(
                    config: ::std::string::String,
                ) -> ::std::result::Result<Columns, ::std::string::String> {
                    let (plugin, needs) = guest::$configure::<$plugin>(&config)?;
                    PLUGIN.set(::std::option::Option::Some(plugin));
                    ::std::result::Result::Ok(needs)
                }

                fn $hook(
                    batch: Batch,
                    context: Context,
                ) -> ::std::result::Result<
                    $crate::__private::types::$verdict,
                    ::std::string::String,
                > {
                    PLUGIN.with_borrow_mut(|plugin| match plugin {
                        ::std::option::Option::Some(plugin) => {
                            guest::$run(plugin, &batch, &context)
                        }
                        ::std::option::Option::None => ::std::result::Result::Err(
                            "called before it was configured".into(),
                        ),
                    })
                }
            }

            $crate::__private::bindings::$hook::export!(
                Component with_types_in $crate::__private::bindings::$hook
            );
        };
    };
}

#[cfg(test)]
#[path = "guest_tests.rs"]
mod tests;
