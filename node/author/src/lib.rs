//! Plugins from nothing to a measured component: what stands behind `tidegate plugin new`, `build`,
//! `test` and `bench`.
//!
//! [`Template`] writes a project, [`Project`] reads one and builds it with its language's own tools,
//! [`componentize`] makes a component of a core module, [`Bench`] runs a component in the same host
//! as the node, under the same limits, over [`TestRecord`]s. Everything happens on this machine;
//! whoever wants records of a topic brings them.
//!
//! This crate decides nothing about plugins that the node would decide otherwise: whether a
//! component is one is asked of [`tidegate_plugin`].

mod build_error;
mod component;
mod files;
mod host;
mod manifest;
mod measure;
mod project;
mod records;
mod run;
mod snapshot;
mod template;
mod tools;

pub use build_error::BuildError;
pub use component::{ComponentizeError, componentize};
pub use host::{Bench, BenchError};
pub use manifest::{Manifest, ManifestError, Step, TestPlan};
pub use measure::{MeasureError, Measured, Plan, measure};
pub use project::{Built, MANIFEST, Project};
pub use records::{Form, ReadRecordsError, TestRecord, read_records};
pub use run::{Run, RunOptions, Table, run};
pub use snapshot::{Difference, compare};
pub use template::{Language, NewError, Template};
