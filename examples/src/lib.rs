//! One idea each.
