//! Each rule of the re-creation.
