//! Workload harness: Tidegate beside its baselines.
