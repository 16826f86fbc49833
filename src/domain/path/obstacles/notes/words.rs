//! Telling by its words what a sentence of the notes is about.

use crate::domain::release::Callout;

/// What comes with the images.
const IN_THE_IMAGE: &str =
    "ruby node node.js nodejs imagemagick libvips vips ffmpeg yarn bundler bundle npm corepack";

/// Words that add nothing to "this is no longer supported".
const PLAIN: &str = "a all also and any are been below both deprecated drop dropped earlier end-of-life eol for gone has have in is \
    it longer mastodon no not now of old older or release releases remove removed since support supported than the their these \
    this to unsupported use used version versions was were";

/// Whether a sentence speaks only of programs that come with the images.
pub(super) fn only_about_the_image(text: &str) -> bool {
    let mut names_one = false;
    for word in words(text) {
        let named = listed(IN_THE_IMAGE, &word);
        names_one |= named;
        let is_number = word.starts_with(|c: char| c.is_ascii_digit());
        if !named && !is_number && !listed(PLAIN, &word) {
            return false;
        }
    }
    names_one
}

/// Whether a sentence about the Compose file speaks of its health checks and of nothing else in it.
pub(super) fn only_about_health_checks(text: &str) -> bool {
    const ELSE: &str = "build cap_add command commands container_name depends_on devices entrypoint env env_file environment expose \
        extra_hosts image images label labels mount mounts must network networks port ports profile restart secret secrets \
        security_opt service start sysctls tmpfs ulimits user variable variables volume volumes";
    let lower = text.to_lowercase();
    let about = ["health check", "healthcheck", "health-check"]
        .iter()
        .any(|name| lower.contains(name));
    about && !words(text).any(|word| listed(ELSE, &word))
}

/// Whether a sentence asks for something only under a condition.
pub(super) fn is_conditional(text: &str) -> bool {
    const CONDITIONS: &str = "if when whenever unless where only optional optionally recommended case should may can might otherwise";
    words(text).any(|word| listed(CONDITIONS, &word))
}

/// Whether a line that was not understood warns of something, or requires what no usual line requires.
pub(super) fn is_a_warning(text: &str) -> bool {
    let usual = |word: String| {
        ["asset", "migrat", "streaming", "ruby"]
            .iter()
            .any(|start| word.starts_with(start))
    };
    text.starts_with('\u{26a0}') || !words(text).any(usual)
}

/// Whether a box in the text is there to be heeded. In a patch that is one which asks for something in plain words: most
/// only call the release important, or speak to others. In the `first` release of a line it is any that is not about
/// security.
pub(super) fn calls_for(callout: &Callout, first: bool) -> bool {
    const ASKING: &str = "instead manual manually must required requires";
    if !["warning", "caution", "important"].contains(&callout.kind.as_str()) {
        return false;
    }
    let asks = words(&callout.text).any(|word| listed(ASKING, &word));
    let about_security = || {
        words(&callout.text).any(|word| word.starts_with("secur") || word.starts_with("vulnerab"))
    };
    asks || (first && !about_security())
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-')))
        .map(|word| word.trim_matches(['.', '-']).to_lowercase())
        .filter(|word| !word.is_empty())
}

fn listed(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|entry| entry == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_only_about_what_every_word_of_it_is_about() {
        for (text, image, checks, conditional) in [
            (
                "Ruby 3.1 and Node.js 18 are no longer supported",
                true,
                false,
                false,
            ),
            (
                "Support for ImageMagick has been removed.",
                true,
                false,
                false,
            ),
            (
                "Ruby 3.1 and PostgreSQL 12 are no longer supported",
                false,
                false,
                false,
            ),
            (
                "Support for ImageMagick has been removed; run tootctl",
                false,
                false,
                false,
            ),
            ("Support has been removed", false, false, false),
            (
                "compose health checks moved from wget to curl",
                false,
                true,
                false,
            ),
            (
                "Change the healthcheck and the volumes in docker-compose.yml",
                false,
                false,
                false,
            ),
            ("Update your docker-compose.yml", false, false, false),
            ("If you use S3, you must set S3_KEY", false, false, true),
        ] {
            let found = (
                only_about_the_image(text),
                only_about_health_checks(text),
                is_conditional(text),
            );
            assert_eq!(found, (image, checks, conditional), "{text}");
        }
        assert!(is_a_warning("\u{26a0} The assets moved"));
        assert!(is_a_warning("Requires a full moon"));
        assert!(!is_a_warning("Requires assets recompilation on full moons"));
    }
}
