//! One idea each; every example is a program of its own, beside this folder.
//!
//! | example | what it shows |
//! | --- | --- |
//! | `produce_and_consume.rs` | send records, and read them back |
//! | `two_sites.rs` | copy a topic from one site to another |
//! | `first-plugin/` | a plugin in 20 lines |
//!
//! They need running nodes; `.ci/examples` starts some and runs each of them.
