//! A node in this process, spoken to over its native listener: what clients and other sites may
//! rely on. Retries, damage and broken protocol are forged on the client's raw lanes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod admin;
mod canary;
mod derive;
mod dry_run;
mod groups;
mod ingest;
mod leaving;
mod mirror;
mod produce;
mod restart;
mod roles;
mod routing;
mod settings;
mod signed;
mod stock;
mod subscribe;
mod support;
mod swap;
