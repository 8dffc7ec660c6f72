//! The cluster image and its commands, applied deterministically and kept in redb.
