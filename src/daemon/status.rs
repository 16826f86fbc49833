//! What systemd is told: the states, and the line that `systemctl status` shows.

use sd_notify::NotifyState;

/// Tells systemd, if it started this process.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell; with it, a lost status line changes nothing.
    drop(sd_notify::notify(states));
}

/// What is wrong about a configuration that was not taken, on one line: its first mistake, and how many more there are.
pub(super) fn not_reloaded(because: &str) -> String {
    let mut mistakes = because.lines();
    let first = mistakes.next().unwrap_or_default();
    let more = match mistakes.count() {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    };
    format!("the old configuration stays: {first}{more}")
}

/// A status line, behind what is wrong.
pub(super) fn behind(alarm: Option<&str>, line: &str) -> String {
    match alarm {
        Some(alarm) => format!("{alarm}; {line}"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_was_not_taken_is_told_on_one_line() {
        assert_eq!(
            not_reloaded("m.toml:1:1: a: unknown key"),
            "the old configuration stays: m.toml:1:1: a: unknown key"
        );
        assert_eq!(
            not_reloaded("m.toml:1:1: a: unknown key\nm.toml:2:1: b: is required\nm.toml:3:1: c"),
            "the old configuration stays: m.toml:1:1: a: unknown key (and 2 more)"
        );
    }

    #[test]
    fn an_alarm_comes_before_the_rest_of_the_line() {
        assert_eq!(
            behind(Some("alarm"), "a: 4.5.2, nothing to do"),
            "alarm; a: 4.5.2, nothing to do"
        );
        assert_eq!(behind(None, "a: 4.5.2"), "a: 4.5.2");
    }
}
