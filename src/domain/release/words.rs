//! Looking for words and rows of words, whatever stands between them.

/// A text as its words in small letters.
#[derive(Debug)]
pub(super) struct Phrase(String);

impl Phrase {
    pub(super) fn of(text: &str) -> Self {
        Self(format!(" {} ", split(&text.to_lowercase()).join(" ")))
    }

    /// Whether any of the rows of whole words, which are separated by bars, stands in the text.
    pub(super) fn has(&self, rows: &str) -> bool {
        rows.split('|').any(|row| {
            let row = row.replace('-', " ");
            self.0.contains(&format!(" {row} "))
        })
    }

    /// Whether it begins with any of the rows.
    pub(super) fn begins_with(&self, rows: &str) -> bool {
        rows.split('|')
            .any(|row| self.0.trim_start().starts_with(row))
    }

    /// The same without these rows of words.
    pub(super) fn without(&self, rows: &str) -> Self {
        let rest = rows.split('|').fold(self.0.clone(), |rest, row| {
            rest.replace(&format!(" {row} "), "  ")
        });
        Self(rest)
    }

    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split_whitespace()
    }
}

/// Whether a word stands in a list whose words are separated by blanks.
pub(super) fn listed(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|known| known == word)
}

/// The information sign counts as a letter in Unicode; here it is none.
fn split(lower: &str) -> Vec<&str> {
    lower
        .split(|c: char| (!c.is_alphanumeric() && c != '_') || c == '\u{2139}')
        .filter(|word| !word.is_empty())
        .collect()
}
