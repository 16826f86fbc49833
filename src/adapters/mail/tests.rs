//! Mails as people get them.
