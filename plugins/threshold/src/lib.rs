//! Keeps records whose numeric field lies outside a band, with bands per key.
