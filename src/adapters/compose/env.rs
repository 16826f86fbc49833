//! Environment files, read as Compose reads them, with the place of every value.

use std::collections::BTreeMap;
use std::ops::Range;

/// One `NAME=value` of an environment file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name.
    pub(super) name: String,
    /// The value as written, without its quotes.
    pub(super) value: String,
    /// Bytes of the value in the file, without its quotes.
    pub(super) at: Range<usize>,
    /// Whether the value means exactly what is written: no escapes, no variables.
    pub(super) is_plain: bool,
}

/// Every entry, in order. Lines that are none are passed over, as Compose does.
pub(super) fn entries(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut from = if text.starts_with('\u{feff}') { 3 } else { 0 };
    while let Some(rest) = text.get(from..).filter(|rest| !rest.is_empty()) {
        let line_end = rest.find('\n').map_or(text.len(), |at| from + at);
        let line = text.get(from..line_end).unwrap_or_default();
        let mut next = line_end + 1;
        if let Some((name, offset)) = name_of(line)
            && let Some((entry, end)) = entry_at(text, name, from + offset, line_end)
        {
            next = next.max(end);
            entries.push(entry);
        }
        from = next;
    }
    entries
}

/// What each name means: the last entry counts.
pub(super) fn values(entries: &[Entry]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|entry| (entry.name.clone(), entry.value.clone()))
        .collect()
}

/// The name that a line begins with, and where its value begins.
fn name_of(line: &str) -> Option<(&str, usize)> {
    let (left, right) = line.split_at(line.find(['=', ':'])?);
    let name = left.trim();
    let name = name
        .strip_prefix("export")
        .filter(|rest| rest.starts_with([' ', '\t']))
        .map_or(name, str::trim);
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    let value = right.get(1..)?;
    let blank = value.len() - value.trim_start_matches([' ', '\t']).len();
    is_name.then_some((name, left.len() + 1 + blank))
}

/// The entry whose value begins at `start`, and where what follows it begins.
fn entry_at(text: &str, name: &str, start: usize, line_end: usize) -> Option<(Entry, usize)> {
    let quote = text
        .get(start..)?
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\''));
    let (at, is_plain) = if let Some(quote) = quote {
        let inside = start + 1;
        // Without its closing quote the rest of the line is the value, quote and all.
        let length = closing(text.get(inside..)?, quote)?;
        let at = inside..inside + length;
        let value = text.get(at.clone())?;
        (at, quote == '\'' || !value.contains(['\\', '$']))
    } else {
        let value = text.get(start..line_end)?;
        let comment = value
            .char_indices()
            .find(|&(at, c)| {
                let before = value.get(..at).unwrap_or_default();
                c == '#' && (before.is_empty() || before.ends_with([' ', '\t']))
            })
            .map_or(value.len(), |(at, _)| at);
        let value = value.get(..comment)?.trim_end();
        (start..start + value.len(), !value.contains(['\\', '$']))
    };
    let value = text.get(at.clone())?.to_owned();
    let end = text
        .get(at.end..)?
        .find('\n')
        .map_or(text.len(), |newline| at.end + newline + 1);
    let entry = Entry {
        name: name.to_owned(),
        value,
        at,
        is_plain,
    };
    Some((entry, end))
}

/// Where the closing quote is. In double quotes a backslash protects what follows.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut is_protected = false;
    text.char_indices()
        .find(|&(_, c)| {
            let found = c == quote && !is_protected;
            is_protected = quote == '"' && c == '\\' && !is_protected;
            found
        })
        .map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_value_is_read() {
        let text = "\u{feff}# TAG=no\r\n\r\nA=1\r\nexport B = two words  # why\nC='x # y'\nD=\"q\\\"q\"\nE=\nF=a#b\nG=\"two\nlines\"\nH: yaml\nnonsense\nI=$A\nA=last";
        let found: Vec<_> = entries(text)
            .into_iter()
            .map(|e| (e.name, e.value, e.is_plain))
            .collect();
        let expected = [
            ("A", "1", true),
            ("B", "two words", true),
            ("C", "x # y", true),
            ("D", "q\\\"q", false),
            ("E", "", true),
            ("F", "a#b", true),
            ("G", "two\nlines", true),
            ("H", "yaml", true),
            ("I", "$A", false),
            ("A", "last", true),
        ]
        .map(|(n, v, p)| (n.to_owned(), v.to_owned(), p));
        assert_eq!(found, expected);
        assert_eq!(values(&entries(text))["A"], "last");
    }

    #[test]
    fn an_entry_knows_where_its_value_stands() {
        let text = "X=1\nTAG=\"v4.5.7\" # pinned\nY=2\n";
        let entry = &entries(text)[1];
        assert_eq!(&text[entry.at.clone()], "v4.5.7");
    }
}
