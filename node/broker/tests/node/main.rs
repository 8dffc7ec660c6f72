//! A node in this process, spoken to over its native listener: what clients and other sites may
//! rely on. Retries, damage and broken protocol are forged on the client's raw lanes.

mod admin;
mod ingest;
mod mirror;
mod places;
mod produce;
mod restart;
mod routing;
mod subscribe;
mod support;
mod swap;
