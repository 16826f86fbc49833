//! Keeps a panic's words with the thread that panicked, so that they are printed once and in their place.

use std::cell::RefCell;
use std::panic;

thread_local! {
    static WORDS: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on panics print nothing by themselves.
pub(crate) fn listen() {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let words = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied());
        let place = info
            .location()
            .map(|place| format!("{}:{}", place.file(), place.line()))
            .unwrap_or_default();
        WORDS.set(format!(
            "{}\n({place})",
            words.unwrap_or("a panic without words")
        ));
    }));
}

/// What this thread's last panic said.
pub(crate) fn take() -> String {
    WORDS.take()
}
