//! The text of a release as a row of blocks, each with the part of the text it stands in.
//!
//! This is no renderer. It knows what people write by hand: headings of several kinds, lists, boxes, tables, code.
//! Whatever it does not know becomes a paragraph; no word is lost, but for those in comments.

mod plain;

use self::plain::{plain, without_comments};

/// One piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Where it stands.
    pub(super) part: Part,
    pub(super) kind: Kind,
    /// On one line, without the marks of Markdown.
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A heading, and whether its words alone say which part it begins.
    Heading {
        known: bool,
    },
    /// An entry of a list or a row of a table.
    Item,
    Paragraph,
    /// A box such as `> [!WARNING]`, with its kind in small letters.
    Callout(String),
}

/// The parts of a release's text that are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Other,
    Changelog,
    /// The change log's section on security.
    Security,
    Overview,
    Dependencies,
    Steps,
    /// Steps for those who do not use containers.
    WithoutDocker,
}

impl Part {
    /// Whether what stands here is about upgrading.
    pub(super) const fn is_about_upgrading(self) -> bool {
        matches!(
            self,
            Self::Overview | Self::Dependencies | Self::Steps | Self::WithoutDocker
        )
    }
}

/// Cuts a text into blocks.
pub(super) fn blocks(body: &str) -> Vec<Block> {
    let body = without_comments(body);
    let lines: Vec<&str> = body.lines().collect();
    let n_fences = lines.iter().filter(|line| is_fence(line)).count();
    let mut reader = Reader::default();
    // A fence that is never closed is none: it would hide everything behind it.
    let mut fences_left = n_fences.saturating_sub(n_fences % 2);
    let mut in_fence = false;
    for line in lines {
        if is_fence(line) {
            if fences_left > 0 {
                in_fence = !in_fence;
                fences_left = fences_left.saturating_sub(1);
            }
            continue;
        }
        if in_fence {
            reader.code(line);
        } else {
            reader.line(line);
        }
    }
    reader.flush();
    reader.done
}

/// The longest list of headings, one inside the other, that is followed: HTML's six, and bold lines.
const BOLD_LEVEL: usize = 7;

#[derive(Debug, Default)]
struct Reader {
    done: Vec<Block>,
    /// The headings that hold here: level and part.
    under: Vec<(usize, Part)>,
    open: Option<Open>,
    /// Whether an empty line stands between the open block and the next one.
    blank: bool,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    indent: usize,
    quoted: bool,
    n_lines: usize,
    text: String,
}

impl Reader {
    fn part(&self) -> Part {
        self.under.last().map_or(Part::Other, |(_, part)| *part)
    }

    fn line(&mut self, raw: &str) {
        let indent = raw.chars().take_while(|c| c.is_whitespace()).count();
        let (quoted, line) = unquoted(raw.trim());
        if line.is_empty() {
            self.empty(quoted);
            return;
        }
        if quoted {
            self.quoted(line);
            return;
        }
        if let Some((level, text)) = self.underlined(line).or_else(|| heading(line)) {
            self.heading(level, &text);
            return;
        }
        if is_rule(line) {
            self.flush();
            return;
        }
        if let Some(item) = item(line) {
            let nested = self.part().takes_nested_items()
                && self.open_item().is_some_and(|open| indent > open.indent);
            if nested {
                self.append(item);
            } else {
                self.start(Kind::Item, indent, false, item);
            }
            return;
        }
        let continues = match &self.open {
            Some(Open {
                kind: Kind::Item, ..
            }) => !self.blank || indent >= 2,
            Some(Open {
                kind: Kind::Paragraph,
                quoted: false,
                ..
            }) => !self.blank && !self.part().has_one_fact_a_line() && !is_marked(line),
            Some(_) | None => false,
        };
        if continues {
            self.append(line);
        } else {
            self.start(Kind::Paragraph, indent, false, line);
        }
        // A backslash at the end breaks the line.
        if line.ends_with('\\') && self.open_item().is_none() {
            self.flush();
        }
    }

    fn quoted(&mut self, line: &str) {
        let inside = item(line)
            .filter(|item| item.starts_with("[!"))
            .unwrap_or(line);
        if let Some((kind, rest)) = callout(inside) {
            self.start(Kind::Callout(kind), 0, true, rest);
        } else if self.open.as_ref().is_some_and(|open| open.quoted) {
            self.append(item(line).unwrap_or(line));
        } else if let Some((level, text)) = heading(line) {
            self.heading(level, &text);
        } else {
            self.start(Kind::Paragraph, 0, true, line);
        }
    }

    fn code(&mut self, line: &str) {
        if self.open.is_some() {
            self.append(line.trim());
        } else if !line.trim().is_empty() {
            self.start(Kind::Paragraph, 0, false, line.trim());
        }
        self.blank = false;
    }

    fn empty(&mut self, quoted: bool) {
        match &self.open {
            Some(open) if open.quoted && !quoted => self.flush(),
            Some(Open {
                kind: Kind::Paragraph,
                quoted: false,
                ..
            }) => self.flush(),
            Some(_) | None => self.blank = true,
        }
    }

    fn heading(&mut self, level: usize, text: &str) {
        self.flush();
        let text = plain(text);
        while self.under.last().is_some_and(|(above, _)| *above >= level) {
            self.under.pop();
        }
        let (part, known) = part_of(&text.to_lowercase(), self.part());
        self.under.push((level, part));
        self.done.push(Block {
            part,
            kind: Kind::Heading { known },
            text,
        });
    }

    /// A line of dashes or equal signs makes a heading of the one line above it.
    fn underlined(&mut self, line: &str) -> Option<(usize, String)> {
        let level = match line.chars().next() {
            Some('=') if line.chars().all(|c| c == '=') => 1,
            Some('-') if line.len() >= 3 && line.chars().all(|c| c == '-') => 2,
            _ => return None,
        };
        let is_line = matches!(
            &self.open,
            Some(Open {
                kind: Kind::Paragraph,
                quoted: false,
                n_lines: 1,
                ..
            })
        );
        let open = self.open.take_if(|_| is_line)?;
        Some((level, open.text))
    }

    fn open_item(&self) -> Option<&Open> {
        self.open.as_ref().filter(|open| open.kind == Kind::Item)
    }

    fn start(&mut self, kind: Kind, indent: usize, quoted: bool, text: &str) {
        self.flush();
        self.open = Some(Open {
            kind,
            indent,
            quoted,
            n_lines: 1,
            text: text.to_owned(),
        });
    }

    fn append(&mut self, text: &str) {
        if let Some(open) = &mut self.open {
            open.text.push(' ');
            open.text.push_str(text);
            open.n_lines = open.n_lines.saturating_add(1);
        }
        self.blank = false;
    }

    fn flush(&mut self) {
        self.blank = false;
        if let Some(open) = self.open.take() {
            let text = plain(&open.text);
            if !text.is_empty() || matches!(open.kind, Kind::Callout(_)) {
                self.done.push(Block {
                    part: self.part(),
                    kind: open.kind,
                    text,
                });
            }
        }
    }
}

impl Part {
    /// In lists of steps, what is indented belongs to the step above it.
    const fn takes_nested_items(self) -> bool {
        matches!(self, Self::Steps | Self::WithoutDocker)
    }

    /// Where a new line is a new fact, even without a bullet: that is how a release page shows it.
    const fn has_one_fact_a_line(self) -> bool {
        matches!(self, Self::Overview | Self::Dependencies | Self::Other)
    }
}

/// The part that a heading begins inside another one, and whether its own words say so.
fn part_of(heading: &str, above: Part) -> (Part, bool) {
    let has = |parts: &str| parts.split('|').any(|part| heading.contains(part));
    let in_changelog = matches!(above, Part::Changelog | Part::Security);
    let upgrade = has("upgrad|updat|migrat|deploy");
    if upgrade && has("overview|summary|at a glance") {
        return (Part::Overview, true);
    }
    if !in_changelog {
        if is_without_docker(heading) {
            return (Part::WithoutDocker, true);
        }
        let names_steps = has("step|note|instruction|guide|proce|how to|from|before|after");
        let bare = ["upgrade", "upgrading", "update", "updating"].contains(&heading);
        if (upgrade && names_steps) || bare {
            return (Part::Steps, true);
        }
        if has("dependenc|requirement|prerequisite|minimum version|supported version") {
            return (Part::Dependencies, true);
        }
        if above == Part::Other && has("security|vulnerab") {
            return (Part::Security, true);
        }
        if has("docker|container") {
            return (Part::Steps, true);
        }
        if above.is_about_upgrading() {
            return (above, false);
        }
    }
    if has("security|vulnerab") {
        return (Part::Security, true);
    }
    let log = "change|what's new|added|fixed|removed|deprecated|fixes|features";
    if in_changelog || has(log) {
        return (Part::Changelog, true);
    }
    (Part::Other, false)
}

/// "Non-Docker only", but not "Docker and non-Docker".
fn is_without_docker(heading: &str) -> bool {
    const WITHOUT: [&str; 8] = [
        "non-docker",
        "non docker",
        "without docker",
        "not using docker",
        "no docker",
        "bare metal",
        "bare-metal",
        "from source",
    ];
    let mut rest = heading.to_owned();
    for words in WITHOUT {
        rest = rest.replace(words, "");
    }
    rest.len() < heading.len() && !rest.contains("docker") && !rest.contains("both")
}

/// The level and the words of a line that is a heading by itself.
fn heading(line: &str) -> Option<(usize, String)> {
    let text = line.trim_start_matches('#');
    let level = line.len().saturating_sub(text.len());
    // `#12345` is a reference.
    if level > 0 && !text.starts_with(|c: char| c.is_ascii_digit()) {
        let text = text.trim().trim_end_matches('#').trim();
        return Some((level.min(BOLD_LEVEL.saturating_sub(1)), text.to_owned()));
    }
    let lower = line.to_ascii_lowercase();
    for level in 1..BOLD_LEVEL {
        if lower.starts_with(&format!("<h{level}")) {
            return Some((level, line.to_owned()));
        }
    }
    if lower.starts_with("<summary") || lower.starts_with("<details><summary") {
        return Some((BOLD_LEVEL.saturating_sub(1), line.to_owned()));
    }
    for mark in ["**", "__"] {
        let bare = line.trim_end_matches(['\\', ':', ' ']);
        let inside = bare
            .strip_prefix(mark)
            .and_then(|rest| rest.strip_suffix(mark));
        if let Some(inside) = inside.filter(|inside| !inside.is_empty() && !inside.contains(mark)) {
            return Some((BOLD_LEVEL, inside.trim_end_matches(':').to_owned()));
        }
    }
    None
}

/// The words behind a bullet, a number or the first bar of a table's row.
fn item(line: &str) -> Option<&str> {
    if line.starts_with('|') {
        return Some(line.trim_matches('|')).filter(|row| !is_rule(row));
    }
    let mut rest = line.strip_prefix(['-', '*', '+', '\u{2022}', '\u{2013}']);
    if rest.is_none() {
        let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
        if digits.len() < line.len() {
            rest = digits.strip_prefix(['.', ')']);
        }
    }
    let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))?;
    let rest = rest.trim_start();
    let unchecked = ["[ ]", "[x]", "[X]"]
        .iter()
        .find_map(|check| rest.strip_prefix(check));
    Some(unchecked.unwrap_or(rest).trim_start())
}

/// Takes the signs of quotation off; says whether there were any. They may stand behind a bullet.
fn unquoted(line: &str) -> (bool, &str) {
    let mut rest = line;
    if let Some(inside) = item(line).filter(|inside| inside.starts_with('>')) {
        rest = inside;
    }
    let mut quoted = false;
    while let Some(inside) = rest.strip_prefix('>') {
        quoted = true;
        rest = inside.trim_start();
    }
    (quoted, if quoted { rest } else { line })
}

/// The kind of a box, and what stands behind it on its line: `[!WARNING]`, or the older `**Warning**`.
fn callout(line: &str) -> Option<(String, &str)> {
    const OLD: [&str; 5] = ["note", "tip", "important", "warning", "caution"];
    if let Some((kind, rest)) = line
        .strip_prefix("[!")
        .and_then(|rest| rest.split_once(']'))
    {
        return Some((kind.trim().to_ascii_lowercase(), rest.trim()));
    }
    let (kind, rest) = line.strip_prefix("**")?.split_once("**")?;
    let kind = kind
        .trim_end_matches([':', '!'])
        .trim()
        .to_ascii_lowercase();
    OLD.contains(&kind.as_str())
        .then(|| (kind, rest.trim_start_matches([':', '\\']).trim()))
}

/// Whether a line begins with one of the signs that the overview uses.
pub(super) fn is_marked(line: &str) -> bool {
    ["\u{2139}", "\u{26a0}", ":warning:", ":information_source:"]
        .iter()
        .any(|sign| line.starts_with(sign))
}

fn is_fence(line: &str) -> bool {
    let line = line.trim_start_matches(|c: char| c.is_whitespace() || c == '>');
    line.starts_with("```") || line.starts_with("~~~")
}

fn is_rule(line: &str) -> bool {
    line.chars()
        .all(|c| c.is_whitespace() || ['-', '*', '_', '=', '|', ':'].contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headings(body: &str) -> Vec<(String, Part)> {
        blocks(body)
            .into_iter()
            .filter(|block| matches!(block.kind, Kind::Heading { .. }))
            .map(|block| (block.text, block.part))
            .collect()
    }

    fn texts(body: &str, part: Part) -> Vec<String> {
        blocks(body)
            .into_iter()
            .filter(|block| block.part == part && !matches!(block.kind, Kind::Heading { .. }))
            .map(|block| block.text)
            .collect()
    }

    #[test]
    fn every_kind_of_heading_is_one_and_says_what_it_begins() {
        for (heading, text, part) in [
            ("## Upgrade overview", "Upgrade overview", Part::Overview),
            (
                "##  UPGRADE OVERVIEW ##",
                "UPGRADE OVERVIEW",
                Part::Overview,
            ),
            ("Upgrade overview\n---", "Upgrade overview", Part::Overview),
            ("Update steps\n======", "Update steps", Part::Steps),
            ("**Update steps:**", "Update steps", Part::Steps),
            ("<h3>Upgrade notes</h3>", "Upgrade notes", Part::Steps),
            ("### Dependencies", "Dependencies", Part::Dependencies),
            (
                "### \u{1f512} Security",
                "\u{1f512} Security",
                Part::Security,
            ),
            ("__Security fixes__", "Security fixes", Part::Security),
            (
                "#### Non-Docker only:",
                "Non-Docker only:",
                Part::WithoutDocker,
            ),
            (
                "#### Docker and non-Docker",
                "Docker and non-Docker",
                Part::Steps,
            ),
            (
                "#### Both Docker and non-Docker:",
                "Both Docker and non-Docker:",
                Part::Steps,
            ),
            ("### When using Docker", "When using Docker", Part::Steps),
            ("## Changelog", "Changelog", Part::Changelog),
            ("## Thanks", "Thanks", Part::Other),
        ] {
            assert_eq!(headings(heading), [(text.to_owned(), part)], "{heading}");
        }
        assert_eq!(headings("#12345 is fixed"), []);
        assert_eq!(headings("---\n\n- a\n\n---"), []);
    }

    #[test]
    fn a_heading_inherits_from_the_one_above_it() {
        let body = "## Changelog\n### Dependencies\n- a\n### Security\n- b\n## Upgrade notes\nc\n### Something else\nd\n\
                    #### Non-Docker\n- e\n##### Odd\n- f\n#### Docker\n- g\n## Credits\nh";
        assert_eq!(texts(body, Part::Changelog), ["a"]);
        assert_eq!(texts(body, Part::Security), ["b"]);
        assert_eq!(texts(body, Part::Steps), ["c", "d", "g"]);
        assert_eq!(texts(body, Part::WithoutDocker), ["e", "f"]);
        assert_eq!(texts(body, Part::Other), ["h"]);
    }

    #[test]
    fn lists_code_tables_and_boxes_keep_together_what_belongs_together() {
        let body = "## Update steps\n\n1. Run:\n\n   ```sh\n   # no heading\n   docker pull\n   ```\n   - inner\n2) [ ] Second\n   line\n\n\
                    Paragraph one\ntwo\n| PostgreSQL | 14+ |\n|---|---|\n\
                    - > [!note] On\n  > > the *same* `line`\n> **Warning**\n> Old\n>\n> style\n\nlast";
        let found: Vec<_> = blocks(body)
            .into_iter()
            .skip(1)
            .map(|block| (block.kind, block.text))
            .collect();
        let of = |kind: Kind, text: &str| (kind, text.to_owned());
        assert_eq!(
            found,
            [
                of(Kind::Item, "Run: # no heading docker pull inner"),
                of(Kind::Item, "Second line"),
                of(Kind::Paragraph, "Paragraph one two"),
                of(Kind::Item, "PostgreSQL | 14+"),
                of(Kind::Callout("note".to_owned()), "On the same line"),
                of(Kind::Callout("warning".to_owned()), "Old style"),
                of(Kind::Paragraph, "last"),
            ]
        );
    }

    #[test]
    fn comments_are_no_text_but_an_open_one_or_an_open_fence_hides_nothing() {
        assert_eq!(texts("a <!-- b\n## Security\n--> c", Part::Other), ["a c"]);
        assert_eq!(headings("<!-- a\n## Security").len(), 1);
        assert_eq!(headings("```\n## Security").len(), 1);
        assert_eq!(headings("```\n## Security\n```").len(), 0);
    }
}
