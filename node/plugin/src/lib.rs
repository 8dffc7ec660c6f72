//! The wasmtime host: install, compile, limit, run.
