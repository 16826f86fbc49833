//! What PostgreSQL answers, and names and texts in SQL.

use crate::adapters::toolbox::shortened;
use crate::ports::database::{DataError, DataResult, RowCounts};

pub(super) fn parse_counts(answer: &str) -> DataResult<RowCounts> {
    answer
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (table, rows) = line.rsplit_once(' ').ok_or_else(|| unexpected(line))?;
            let rows = rows.parse().map_err(|_not_a_number| unexpected(line))?;
            Ok((table.to_owned(), rows))
        })
        .collect()
}

pub(super) fn unexpected(answer: &str) -> DataError {
    DataError::Answer {
        tool: "psql",
        answer: shortened(answer),
    }
}

/// A name in SQL.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The name under which the damaged database stands while its copy is restored a second time.
pub(super) fn aside_of(restored: &str) -> String {
    restored.replace("_restored_", "_damaged_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_table() {
        let counts = parse_counts("public.accounts 12\n\"Odd\".\"a b\" 0\n").unwrap();
        assert_eq!(counts.get("public.accounts"), Some(&12));
        assert_eq!(counts.get("\"Odd\".\"a b\""), Some(&0));
        assert!(parse_counts("public.accounts many").is_err());
    }

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a'b"), "'a''b'");
    }
}
