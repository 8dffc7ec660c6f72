//! Produce, fetch, topics, plugins and links over the machines below.
