//! Chooses partition or topic by a JSON field.
