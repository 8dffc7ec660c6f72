//! The record batch from outside: golden bytes, another implementation, properties, hostile input.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod golden;
mod hostile;
mod interop;
mod model;
mod properties;
