//! Image references with variables in them, as Compose interpolates them.

use std::collections::BTreeMap;
use std::ops::Range;

/// One part of a value. Ranges are bytes of the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text that stands for itself.
    Literal {
        /// The text.
        text: String,
        /// Where it stands.
        at: Range<usize>,
    },
    /// `$NAME`, `${NAME}`, `${NAME:-default}` and the like.
    Variable {
        /// The name.
        name: String,
        /// What is taken when it is not set.
        default: Option<Fallback>,
    },
}

/// The default inside `${NAME:-default}` or `${NAME-default}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fallback {
    /// The text.
    pub(super) text: String,
    /// Where it stands.
    pub(super) at: Range<usize>,
    /// With the colon it is also taken when the variable is set and empty.
    pub(super) when_empty: bool,
}

/// Where a piece's text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The value itself, at these bytes.
    Text(Range<usize>),
    /// This variable of the environment file.
    EnvFile(String),
    /// This variable of the environment that Compose is started in.
    Process(String),
}

impl Piece {
    /// Its text, if the environment file or the value itself tells, and where from.
    pub(super) fn resolved(&self, env: &BTreeMap<String, String>) -> (Option<String>, Origin) {
        match self {
            Self::Literal { text, at } => (Some(text.clone()), Origin::Text(at.clone())),
            Self::Variable { name, default } => match (env.get(name), default) {
                (Some(set), Some(default)) if !(set.is_empty() && default.when_empty) => {
                    (Some(set.clone()), Origin::EnvFile(name.clone()))
                }
                (Some(set), None) => (Some(set.clone()), Origin::EnvFile(name.clone())),
                (Some(_) | None, Some(default)) => {
                    (Some(default.text.clone()), Origin::Text(default.at.clone()))
                }
                (None, None) => (None, Origin::Process(name.clone())),
            },
        }
    }
}

/// The whole value, with variables that nothing here tells of left as they are written.
pub(super) fn resolved(pieces: &[Piece], env: &BTreeMap<String, String>) -> String {
    pieces
        .iter()
        .map(|piece| match piece.resolved(env) {
            (Some(text), _) => text,
            (None, Origin::Process(name)) => format!("${{{name}}}"),
            (None, Origin::Text(_) | Origin::EnvFile(_)) => String::new(),
        })
        .collect()
}

/// Takes a value apart. The error is a reason.
pub(super) fn parse(value: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(rest) = value.get(from..).filter(|rest| !rest.is_empty()) {
        let Some(dollar) = rest.find('$') else {
            push_literal(&mut pieces, rest, from);
            break;
        };
        let (before, variable) = rest.split_at(dollar);
        push_literal(&mut pieces, before, from);
        let start = from + dollar;
        let (piece, length) = variable_at(variable, start)?;
        pieces.push(piece);
        from = start + length;
    }
    Ok(pieces)
}

/// The one piece to change, from the end, so that the whole becomes `wanted`; with its new text.
pub(super) fn one_piece(
    pieces: &[Piece],
    wanted: &str,
    values: &BTreeMap<String, String>,
) -> Result<(String, Origin), String> {
    let resolved: Vec<_> = pieces.iter().map(|piece| piece.resolved(values)).collect();
    let text_of = |parts: &[(Option<String>, Origin)]| -> Option<String> {
        parts.iter().map(|(text, _)| text.clone()).collect()
    };
    for (idx, (_, origin)) in resolved.iter().enumerate().rev() {
        let (before, rest) = resolved.split_at(idx);
        let (Some(before), Some(after)) = (text_of(before), text_of(rest.get(1..).unwrap_or(&[])))
        else {
            continue;
        };
        let new = wanted
            .strip_prefix(before.as_str())
            .and_then(|rest| rest.strip_suffix(after.as_str()));
        if let Some(new) = new.filter(|new| !new.is_empty()) {
            return Ok((new.to_owned(), origin.clone()));
        }
    }
    let unset = resolved
        .iter()
        .find_map(|(text, origin)| match (text, origin) {
            (None, Origin::Process(name)) => Some(name),
            _ => None,
        });
    Err(match unset {
        Some(name) => format!(
            "`{name}` is in no environment file, so it comes from the environment that Compose is started in; write it into `.env`"
        ),
        None => format!("no single part of it can be changed to make it `{wanted}`; write it out"),
    })
}

/// Only what needs neither quotes in YAML nor in an environment file.
pub(super) fn is_reference(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"./:_@-+".contains(&c))
}

/// Names of all variables in a value; none when it cannot be taken apart.
pub(super) fn names(value: &str) -> Vec<String> {
    let pieces = parse(value).unwrap_or_default();
    pieces
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Variable { name, .. } => Some(name),
            Piece::Literal { .. } => None,
        })
        .collect()
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str, at: usize) {
    if !text.is_empty() {
        pieces.push(Piece::Literal {
            text: text.to_owned(),
            at: at..at + text.len(),
        });
    }
}

/// The variable that `text` begins with, and how long it is; `start` is where that lies in the value.
fn variable_at(text: &str, start: usize) -> Result<(Piece, usize), String> {
    let Some(braced) = text.strip_prefix("${") else {
        let name = name_of(text.get(1..).unwrap_or_default());
        if name.is_empty() {
            return Err(format!("`{text}` is no variable that can be followed"));
        }
        let piece = Piece::Variable {
            name: name.to_owned(),
            default: None,
        };
        return Ok((piece, 1 + name.len()));
    };
    let end = braced
        .find('}')
        .ok_or_else(|| format!("`{text}` has no closing brace"))?;
    let inner = braced.get(..end).unwrap_or_default();
    let name = name_of(inner);
    let operator = inner.get(name.len()..).unwrap_or_default();
    let fallback = |prefix: &str, when_empty| {
        operator.strip_prefix(prefix).map(|text| Fallback {
            text: text.to_owned(),
            at: {
                let at = start + 2 + name.len() + prefix.len();
                at..at + text.len()
            },
            when_empty,
        })
    };
    let default = fallback(":-", true).or_else(|| fallback("-", false));
    let is_known = operator.is_empty()
        || default.is_some()
        || operator.starts_with(":?")
        || operator.starts_with('?');
    if name.is_empty() || !is_known || operator.contains('$') {
        return Err(format!(
            "`${{{inner}}}` is more than a variable with a default"
        ));
    }
    let piece = Piece::Variable {
        name: name.to_owned(),
        default,
    };
    Ok((piece, 2 + end + 1))
}

fn name_of(text: &str) -> &str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let name = text.get(..end).unwrap_or_default();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        ""
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn values_are_resolved_as_compose_does() {
        for (value, vars, expected) in [
            ("a/b:v1", &[][..], "a/b:v1"),
            ("a:$T", &[("T", "v1")], "a:v1"),
            ("a:${T}-x", &[("T", "v1")], "a:v1-x"),
            ("a:${T:-v0}", &[], "a:v0"),
            ("a:${T:-v0}", &[("T", "")], "a:v0"),
            ("a:${T-v0}", &[("T", "")], "a:"),
            ("a:${T:-v0}", &[("T", "v1")], "a:v1"),
            (
                "${R:-ghcr.io}/a:${T:?set it}",
                &[("T", "v1")],
                "ghcr.io/a:v1",
            ),
            ("a:$T", &[], "a:${T}"),
        ] {
            let pieces = parse(value).unwrap();
            assert_eq!(resolved(&pieces, &env(vars)), expected, "{value}");
        }
    }

    #[test]
    fn a_default_knows_where_it_stands() {
        let value = "a:${T:-v0}";
        let (text, origin) = parse(value).unwrap()[1].resolved(&env(&[]));
        let Origin::Text(at) = origin else {
            panic!("{origin:?}")
        };
        assert_eq!((&value[at], text.as_deref()), ("v0", Some("v0")));
    }

    #[test]
    fn what_cannot_be_followed_is_an_error() {
        for value in [
            "a:$$T",
            "a:${T:+x}",
            "a:${A:-${B}}",
            "a:${T",
            "a:${}",
            "a:$1",
        ] {
            assert!(parse(value).is_err(), "{value}");
        }
    }
}
