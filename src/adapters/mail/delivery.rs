//! Delivery of what waits in the outbox, as often as it takes.

use jiff::{SignedDuration, Timestamp};

use crate::ports::Retry;
use crate::ports::clock::Clock;
use crate::ports::mailer::{DeliveryError, DueMail, MailTransport, Outbox};
use crate::ports::store::StoreError;

/// Mails tried in one pass; the rest is due in the next one.
const BATCH: u32 = 50;
/// Wait after the first failure; it doubles with every further one.
const FIRST_WAIT: SignedDuration = SignedDuration::from_mins(1);
/// Longest wait between two attempts.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(6);
/// Age at which a mail is given up. Five days is what mail servers use among themselves (RFC 5321).
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(5 * 24);
/// Attempts a mail has had before its age counts: a host that was off for a week still tries.
const LEAST_ATTEMPTS: u32 = 10;

/// What one pass did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    /// Mails delivered.
    pub sent: u32,
    /// Attempts that failed, those given up included.
    pub failed: u32,
    /// Mails given up; they are kept.
    pub given_up: u32,
    /// What was wrong last, as one sentence.
    pub last_error: Option<String>,
}

/// Tries every mail that is due once, one after the other.
///
/// A server that cannot be reached ends the pass: the mails behind stay due. Fails only when the outbox
/// cannot be read or written; a mail may then have been delivered without being marked.
pub async fn deliver_due(
    outbox: &impl Outbox,
    transport: &impl MailTransport,
    clock: &impl Clock,
) -> Result<Delivery, StoreError> {
    let mut delivery = Delivery::default();
    for mail in outbox.due(clock.now(), BATCH)? {
        let answer = transport.deliver(&mail.item).await;
        let now = clock.now();
        let Err(err) = answer else {
            outbox.sent(mail.item.id, now)?;
            delivery.sent = delivery.sent.saturating_add(1);
            continue;
        };
        let next_at = next_attempt(&mail, &err, now);
        outbox.failed(mail.item.id, &err.to_string(), next_at)?;
        delivery.failed = delivery.failed.saturating_add(1);
        if next_at.is_none() {
            delivery.given_up = delivery.given_up.saturating_add(1);
        }
        delivery.last_error = Some(err.to_string());
        if matches!(err, DeliveryError::Unreachable { .. }) {
            break;
        }
    }
    Ok(delivery)
}

/// When a mail that just failed is tried again; `None` gives it up.
fn next_attempt(mail: &DueMail, err: &DeliveryError, now: Timestamp) -> Option<Timestamp> {
    let attempts = mail.item.attempts.saturating_add(1);
    let is_old = now.duration_since(mail.queued_at) >= GIVE_UP_AFTER;
    if err.retry() == Retry::Permanent || (is_old && attempts >= LEAST_ATTEMPTS) {
        return None;
    }
    let doublings = attempts.saturating_sub(1).min(16);
    let wait = FIRST_WAIT
        .saturating_mul(1_i32.wrapping_shl(doublings))
        .min(LONGEST_WAIT);
    Some(now.saturating_add(wait).unwrap_or(Timestamp::MAX))
}
