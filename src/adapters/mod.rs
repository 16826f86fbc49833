//! One outside library each; its types never cross the border of the file that speaks to it.

pub mod bell;
pub mod clock;
pub mod compose;
pub mod disk;
pub mod docker;
pub mod files;
pub mod github;
pub mod http;
pub mod mail;
pub mod postgres;
pub mod recreate;
pub mod redis;
pub mod store;
mod toolbox;
pub mod update_check;
