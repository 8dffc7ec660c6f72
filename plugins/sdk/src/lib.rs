//! Write a Tidegate plugin as a function over a record.
