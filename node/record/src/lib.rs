//! Record batch v2: read, build, verify, compress.
