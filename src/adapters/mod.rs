//! One outside library each; its types never cross the border of the file that speaks to it.

pub mod github;
