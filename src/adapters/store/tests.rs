//! Contract of the state file.
