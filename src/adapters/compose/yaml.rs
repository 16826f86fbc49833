//! Compose files: which service runs which image, and where that is written.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_saphyr::Spanned;

/// What one file says about one service.
#[derive(Debug, Clone, Default)]
pub(super) struct Service {
    /// Its image.
    pub(super) image: Option<Scalar>,
    /// Line of its `build`.
    pub(super) build: Option<u64>,
    /// Line of its `extends`, and the service it names if that is in the same file.
    pub(super) extends: Option<(u64, Option<String>)>,
    /// Paths of its `env_file`.
    pub(super) env_files: Vec<String>,
}

/// A value and where it is defined. For an alias or a merge that is the place it was taken from.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    /// The value.
    pub(super) value: String,
    /// Line, from 1.
    pub(super) line: u64,
    /// Bytes of the value without its quotes; `None` when it is not written literally there.
    pub(super) at: Option<Range<usize>>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    services: Option<BTreeMap<String, Option<Definition>>>,
}

#[derive(Deserialize)]
struct Definition {
    image: Option<Spanned<String>>,
    build: Option<Spanned<IgnoredAny>>,
    extends: Option<Spanned<Value>>,
    env_file: Option<Value>,
}

/// The services of a file. The error is a reason with its place.
pub(super) fn services(text: &str) -> Result<BTreeMap<String, Service>, String> {
    let document: Document = serde_saphyr::from_str(text).map_err(|err| err.to_string())?;
    let services = document.services.unwrap_or_default();
    Ok(services
        .into_iter()
        .map(|(name, definition)| {
            let service = definition.map_or_else(Service::default, |definition| Service {
                image: definition.image.map(|image| scalar(text, image)),
                build: definition.build.map(|build| build.referenced.line()),
                extends: definition
                    .extends
                    .map(|extends| (extends.referenced.line(), extended(&extends.value))),
                env_files: env_files(definition.env_file.as_ref()),
            });
            (name, service)
        })
        .collect())
}

/// The whole file as a tree, aliases and merges resolved.
pub(super) fn tree(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|err| err.to_string())
}

fn scalar(text: &str, image: Spanned<String>) -> Scalar {
    let span = image.defined.span();
    let at = (|| {
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
        let written = text.get(start..end)?;
        let is_quoted = |quote: char| {
            written.len() >= 2 && written.starts_with(quote) && written.ends_with(quote)
        };
        let inside = if is_quoted('"') || is_quoted('\'') {
            start + 1..end - 1
        } else {
            start..end
        };
        // Escapes, folds and tags make the written text differ from the value.
        (text.get(inside.clone())? == image.value).then_some(inside)
    })();
    Scalar {
        line: image.defined.line(),
        value: image.value,
        at,
    }
}

fn extended(value: &Value) -> Option<String> {
    match value {
        Value::String(service) => Some(service.clone()),
        Value::Object(map) if !map.contains_key("file") => {
            map.get("service")?.as_str().map(str::to_owned)
        }
        Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            None
        }
    }
}

fn env_files(value: Option<&Value>) -> Vec<String> {
    let path = |value: &Value| {
        value
            .as_str()
            .or_else(|| value.get("path")?.as_str())
            .map(str::to_owned)
    };
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(path).collect(),
        Some(one) => path(one).into_iter().collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# é\r\nx-m: &m\r\n  image: &img 'a/m:v1' # c\r\nservices:\r\n  web:\r\n    <<: *m\r\n  side: {image: *img}\r\n  own: {image: \"b:1\", build: .}\r\n  plain:\r\n    image: c:${T:-2}\r\n  fold:\r\n    image: >-\r\n      d:1\r\n  esc:\r\n    image: \"e\\u003a1\"\r\n  ext:\r\n    extends: {service: web}\r\n    env_file: [a.env, {path: b.env}]\r\n  none:\r\n";

    #[test]
    fn every_image_is_found_where_it_is_defined() {
        let services = services(FILE).unwrap();
        let written = |name: &str| {
            let image = services[name].image.clone().unwrap();
            (image.value, image.line, image.at.map(|at| &FILE[at]))
        };
        assert_eq!(written("web"), ("a/m:v1".into(), 3, Some("a/m:v1")));
        assert_eq!(written("side"), ("a/m:v1".into(), 3, Some("a/m:v1")));
        assert_eq!(written("own"), ("b:1".into(), 8, Some("b:1")));
        assert_eq!(
            written("plain"),
            ("c:${T:-2}".into(), 10, Some("c:${T:-2}"))
        );
        assert_eq!(written("fold").2, None);
        assert_eq!(written("esc"), ("e:1".into(), 15, None));
        assert!(services["none"].image.is_none());
        assert_eq!(services["own"].build, Some(8));
        assert_eq!(services["ext"].extends, Some((17, Some("web".into()))));
        assert_eq!(services["ext"].env_files, ["a.env", "b.env"]);
    }

    #[test]
    fn a_file_that_is_no_yaml_says_where() {
        let err = services("services:\n  a: [\n").unwrap_err();
        assert!(err.contains("line"), "{err}");
    }

    #[test]
    fn tags_of_newer_compose_files_do_no_harm() {
        let text = "services:\n  a:\n    image: x:1\n    ports: !override\n      - 80\n    command: !reset null\n    1: 2\n";
        assert_eq!(
            services(text).unwrap()["a"].image.clone().unwrap().value,
            "x:1"
        );
        assert!(tree(text).is_ok());
    }
}
