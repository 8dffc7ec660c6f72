//! The Rust client of Tidegate's native protocol.
