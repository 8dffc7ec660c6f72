//! The partition log: segments, index, recovery, one writer thread per disk.
