//! Disk and Clock: the real ones, and simulated ones that crash.
