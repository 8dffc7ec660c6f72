//! Masks secrets, addresses and mail addresses in log lines.
