//! Reads a TOML table key by key and remembers every mistake with its place.
//!
//! A derived deserializer stops at the first mistake; the operator wants all of them at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::values::nearest;
use crate::config::{ConfigError, ConfigErrors, Problem};

/// Mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: RefCell<Vec<ConfigError>>,
    /// Keys that are there with a value that cannot be read, each with the place of its table.
    unreadable: RefCell<BTreeSet<((usize, usize), String)>>,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Located<T> {
    pub(super) value: T,
    /// Of its key.
    pub(super) place: Place,
    /// Where its first letter stands, counted in bytes; none unless it is a text that is written as it is, without escapes.
    pub(super) letters: Option<usize>,
}

/// A place in a file, with the key that stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: (usize, usize),
    pub(super) key: String,
}

/// One file, for turning offsets into lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) name: &'a Path,
    pub(super) text: &'a str,
    pub(super) problems: &'a Problems,
    /// How the files that it names are read.
    pub(super) read: ReadFile,
}

/// Gives the text of a file.
pub(super) type ReadFile = fn(&Path) -> io::Result<String>;

/// One table that is being read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    file: File<'a>,
    path: String,
    table: &'a DeTable<'a>,
    place: Place,
    asked: BTreeSet<&'static str>,
}

impl Problems {
    pub(super) fn push(&self, error: ConfigError) {
        self.found.borrow_mut().push(error);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// Whether a key is there in the table that begins at `table`, and was refused when it was read.
    pub(super) fn refused(&self, table: (usize, usize), key: &str) -> bool {
        let unreadable = self.unreadable.borrow();
        unreadable
            .iter()
            .any(|(place, refused)| *place == table && refused == key)
    }

    pub(super) fn into_errors(self) -> ConfigErrors {
        let mut errors = self.found.into_inner();
        errors.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
        ConfigErrors { errors }
    }
}

impl<'a> File<'a> {
    /// Parses the file; reports every syntax error and then gives nothing.
    pub(super) fn parse(self) -> Option<Spanned<DeTable<'a>>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let at = self.at(&error.span().unwrap_or_default());
            self.problem(
                &Place {
                    at,
                    key: String::new(),
                },
                Problem::Syntax(error.message().to_owned()),
            );
        }
        errors.is_empty().then_some(table)
    }

    pub(super) fn problem(&self, place: &Place, problem: Problem) {
        let (file, key) = (self.name.to_owned(), place.key.clone());
        self.problems.push(ConfigError {
            file,
            at: Some(place.at),
            key,
            problem,
        });
    }

    pub(super) fn refuse(&self, place: &Place, why: &(impl ToString + ?Sized)) {
        self.problem(place, Problem::Refused(why.to_string()));
    }

    /// Runs a check on a text; a refusal is reported at the text's place.
    pub(super) fn check<T, E: ToString>(
        &self,
        text: &Located<String>,
        check: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        check(&text.value)
            .map_err(|err| self.refuse(&text.place, &err))
            .ok()
    }

    /// The place `bytes` after the first letter of a text; the place of its key where that cannot be told.
    pub(super) fn inside(&self, text: &Located<String>, bytes: usize) -> Place {
        let at = text
            .letters
            .map(|letters| self.position(letters.saturating_add(bytes)));
        Place {
            at: at.unwrap_or(text.place.at),
            key: text.place.key.clone(),
        }
    }

    /// Where the letters of a text begin: after its quotes, if nothing in it is escaped.
    fn letters(&self, span: &Range<usize>, value: &str) -> Option<usize> {
        let written = self.text.get(span.clone())?;
        let quotes = [r#"""""#, "'''", "\"", "'"]
            .into_iter()
            .find(|quotes| written.starts_with(quotes))?;
        let start = span.start.checked_add(quotes.len())?;
        let end = span.end.checked_sub(quotes.len())?;
        (self.text.get(start..end)? == value).then_some(start)
    }

    fn at(&self, span: &Range<usize>) -> (usize, usize) {
        self.position(span.start)
    }

    /// Line and column, counted from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count();
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |last| last.chars().count());
        (line.saturating_add(1), column.saturating_add(1))
    }
}

impl<'a> Reader<'a> {
    pub(super) fn root(file: File<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        let place = Place {
            at: (1, 1),
            key: String::new(),
        };
        Self {
            file,
            path: String::new(),
            table: table.get_ref(),
            place,
            asked: BTreeSet::new(),
        }
    }

    /// Where the table begins.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<Located<String>> {
        let (value, place) = self.get(key)?;
        self.expect("a text", value.get_ref(), &place, DeValue::as_str)
            .map(|text| self.located(text, &value.span(), place))
    }

    pub(super) fn number(&mut self, key: &'static str) -> Option<Located<i64>> {
        let (value, place) = self.get(key)?;
        let integer = |value: &'a DeValue<'a>| value.as_integer();
        let integer = self.expect("a whole number", value.get_ref(), &place, integer)?;
        let Ok(number) = i64::from_str_radix(integer.as_str(), integer.radix()) else {
            self.file.refuse(&place, "the number is too large");
            return None;
        };
        Some(Located {
            value: number,
            place,
            letters: None,
        })
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<Located<bool>> {
        let (value, place) = self.get(key)?;
        self.expect("true or false", value.get_ref(), &place, DeValue::as_bool)
            .map(|value| Located {
                value,
                place,
                letters: None,
            })
    }

    /// A text or a list of texts.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<Located<String>>> {
        let (value, place) = self.get(key)?;
        if let Some(text) = value.get_ref().as_str() {
            return Some(vec![self.located(text, &value.span(), place)]);
        }
        let list = self.expect(
            "a text or a list of texts",
            value.get_ref(),
            &place,
            DeValue::as_array,
        )?;
        let mut texts = Vec::new();
        for item in list {
            let place = Place {
                at: self.file.at(&item.span()),
                key: place.key.clone(),
            };
            let text = self.expect("a text", item.get_ref(), &place, DeValue::as_str)?;
            texts.push(self.located(text, &item.span(), place));
        }
        Some(texts)
    }

    /// The same, at least one of them; `why` says what to do about none.
    pub(super) fn some_texts(
        &mut self,
        key: &'static str,
        why: &(impl ToString + ?Sized),
    ) -> Option<Vec<Located<String>>> {
        let texts = self.texts(key)?;
        if texts.is_empty() {
            let (_, place) = self.get(key)?;
            self.file.refuse(&place, why);
            self.is_unreadable(&place);
            return None;
        }
        Some(texts)
    }

    pub(super) fn table(&mut self, key: &'static str) -> Option<Reader<'a>> {
        let (value, place) = self.get(key)?;
        let table = self.expect("a table", value.get_ref(), &place, DeValue::as_table)?;
        Some(Self {
            file: self.file,
            path: place.key.clone(),
            table,
            place,
            asked: BTreeSet::new(),
        })
    }

    /// Every `[[key]]`.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Reader<'a>> {
        let Some((value, place)) = self.get(key) else {
            return Vec::new();
        };
        let list = self.expect(
            "a list of tables",
            value.get_ref(),
            &place,
            DeValue::as_array,
        );
        let Some(list) = list else {
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in list {
            let place = Place {
                at: self.file.at(&item.span()),
                key: place.key.clone(),
            };
            if let Some(table) = self.expect("a table", item.get_ref(), &place, DeValue::as_table) {
                tables.push(Self {
                    file: self.file,
                    path: place.key.clone(),
                    table,
                    place,
                    asked: BTreeSet::new(),
                });
            }
        }
        tables
    }

    /// Reports the keys that nobody asked for. To be called when the table has been read.
    pub(super) fn finish(self) {
        for key in self
            .table
            .keys()
            .filter(|key| !self.asked.contains(key.get_ref().as_ref()))
        {
            let place = self.place_of(key);
            let near = nearest(key.get_ref(), self.asked.iter().copied());
            self.file
                .problem(&place, Problem::UnknownKey(near.map(ToOwned::to_owned)));
        }
    }

    fn get(&mut self, key: &'static str) -> Option<(&'a Spanned<DeValue<'a>>, Place)> {
        self.asked.insert(key);
        let (name, value) = self.table.get_key_value(key)?;
        Some((value, self.place_of(name)))
    }

    fn located(&self, text: &str, span: &Range<usize>, place: Place) -> Located<String> {
        Located {
            value: text.to_owned(),
            place,
            letters: self.file.letters(span, text),
        }
    }

    fn place_of(&self, key: &Spanned<std::borrow::Cow<'_, str>>) -> Place {
        let name = key.get_ref();
        let key_path = if self.path.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.path)
        };
        Place {
            at: self.file.at(&key.span()),
            key: key_path,
        }
    }

    fn is_unreadable(&self, place: &Place) {
        let mut unreadable = self.file.problems.unreadable.borrow_mut();
        unreadable.insert((self.place.at, place.key.clone()));
    }

    fn expect<T>(
        &self,
        wanted: &'static str,
        value: &'a DeValue<'a>,
        place: &Place,
        read: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<T> {
        let found = read(value);
        if found.is_none() {
            self.file.problem(
                place,
                Problem::WrongType {
                    wanted,
                    found: value.type_str(),
                },
            );
            self.is_unreadable(place);
        }
        found
    }
}
