//! What people read at the terminal: plain text without colours, the same when piped. Tables fit 80 columns.

mod decision;
mod doctor;
mod explain;
mod held;
mod known;
mod rehearsal;
mod restore;
mod runs;
mod snapshots;
mod status;
mod window;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

pub use self::decision::{decision, plan, when};
pub use self::doctor::{Diagnosis, Findings, Verdict, doctor, doctor_answer};
pub use self::explain::{explanation, obstacles};
pub use self::held::order;
pub use self::known::{AdvisoryAnswer, advisories, releases};
pub use self::rehearsal::{rehearsal, rehearsed};
pub use self::restore::{Loss, restore};
pub use self::runs::{history, run, timeline};
pub use self::snapshots::{doomed, snapshots, taken, verified};
pub use self::status::{InstanceStatus, status, status_json};
pub use self::window::{Outlook, outlook};

/// Columns that every terminal has.
const WIDTH: u16 = 80;

/// A table without lines: columns set apart by two blanks, long cells broken into several lines.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH);
    if !header.is_empty() {
        table.set_header(header.iter().copied());
    }
    table
}

/// The table as text: no blanks at line ends, the first column at the margin.
fn lines_of(mut table: Table, right: &[usize]) -> String {
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

/// Labels in one column, texts in the next. A text is never broken: paths and digests can be copied.
fn fields(fields: &[(&str, String)]) -> String {
    let width = fields
        .iter()
        .map(|(label, _)| label.len())
        .max()
        .unwrap_or_default();
    let lines: Vec<String> = fields
        .iter()
        .map(|(label, text)| format!("{label:<width$}  {text}"))
        .collect();
    lines.join("\n")
}
