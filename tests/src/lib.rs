//! End-to-end tests with real processes, and the layer test.
