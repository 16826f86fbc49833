//! Checks of single values that every table needs; each reports what it refuses, with its place.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::config::Problem;
use crate::config::fragments::Text;
use crate::config::reader::{File, Located, Place};
use crate::config::values::{self, show_span};

/// Nothing written means anything.
pub(super) fn words<T: Copy + Ord>(
    file: File<'_>,
    texts: Option<&[Located<String>]>,
    known: &[(&str, T)],
) -> Option<BTreeSet<T>> {
    match texts {
        None => Some(BTreeSet::new()),
        Some(texts) => all(texts.iter().map(|text| word(file, text, known)))
            .map(|list| list.into_iter().collect()),
    }
}

/// What is not there is good; what is there has to be.
#[allow(
    clippy::option_option,
    reason = "the outer one says whether a problem was reported"
)]
pub(super) fn optional<F, T>(
    value: Option<&F>,
    check: impl FnOnce(&F) -> Option<T>,
) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => check(value).map(Some),
    }
}

pub(super) fn word<T: Copy>(
    file: File<'_>,
    text: &Located<String>,
    words: &[(&str, T)],
) -> Option<T> {
    let found = words
        .iter()
        .find(|(word, _)| *word == text.value)
        .map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let near = values::nearest(&text.value, words.iter().map(|(word, _)| *word));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        file.refuse(
            &text.place,
            &format!("`{}` is none of {}{near}", text.value, known.join(", ")),
        );
    }
    found
}

pub(super) fn span(file: File<'_>, text: &Located<String>) -> Option<SignedDuration> {
    let span = file.check(text, values::span)?;
    SignedDuration::try_from(span)
        .map_err(|err| file.refuse(&text.place, &err))
        .ok()
}

#[allow(
    clippy::option_option,
    reason = "the outer one says whether a problem was reported"
)]
pub(super) fn bounded(
    file: File<'_>,
    text: &Text,
    least: SignedDuration,
    most: SignedDuration,
) -> Option<Option<SignedDuration>> {
    optional(text.as_ref(), |text| {
        let length = span(file, text)?;
        let good = (least..=most).contains(&length);
        if !good {
            let show = |length: SignedDuration| show_span(length.unsigned_abs());
            let bounds = format!("must be from {} to {}", show(least), show(most));
            file.refuse(&text.place, &bounds);
        }
        good.then_some(length)
    })
}

/// All or nothing, but only after every item was looked at.
pub(super) fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<Option<T>> = items.collect();
    items.into_iter().collect()
}

/// Says that a key of the table at `place` is not there; nothing where it is, and was refused already.
pub(super) fn missing(file: File<'_>, place: &Place, key: &str) {
    let key = if place.key.is_empty() {
        key.to_owned()
    } else {
        format!("{}.{key}", place.key)
    };
    if !file.problems.refused(place.at, &key) {
        file.problem(&Place { at: place.at, key }, Problem::Missing);
    }
}

pub(super) fn required<'a, T>(
    file: File<'_>,
    place: &Place,
    key: &str,
    value: Option<&'a T>,
) -> Option<&'a T> {
    if value.is_none() {
        missing(file, place, key);
    }
    value
}
