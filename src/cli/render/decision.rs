//! What is decided and what would be done, before anything is done.

use crate::domain::decide::{Decision, Standing, Target, When};
use crate::domain::plan::{Asked, Method, Plan, Proof};
use crate::domain::report::words::{clean, human_bytes, human_time, rehearsed};

use super::fields;

/// A decision with every reason.
pub fn decision(decision: &Decision) -> String {
    let head = match &decision.target {
        Some(target) => format!(
            "{}   {} -> {} {}",
            decision.instance,
            decision.installed,
            target.version,
            kind(target)
        ),
        None => format!("{}   {}", decision.instance, decision.installed),
    };
    let mut lines = vec![head, format!("  {}", when(decision)), String::new()];
    lines.extend(
        decision
            .reasons
            .iter()
            .map(|reason| format!("  - {}", clean(&reason.text))),
    );
    lines.join("\n")
}

/// When it would start, as a sentence.
pub fn when(decision: &Decision) -> String {
    match &decision.when {
        When::Nothing if decision.exposure.standing == Standing::NotListed => {
            "There is nothing to do.".to_owned()
        }
        When::Nothing => format!(
            "There is nothing to install, and the version that runs: {}.",
            decision.exposure.standing
        ),
        When::Now {
            window: Some(window),
            until: Some(until),
        } => format!(
            "It may start now, in window `{}`, open until {}; `mastopatch apply` starts it.",
            clean(window),
            human_time(*until)
        ),
        When::Now { .. } => "It may start now; `mastopatch apply` starts it.".to_owned(),
        When::Wait {
            not_before,
            because,
        } => {
            format!(
                "By policy not before {}: {}",
                human_time(*not_before),
                clean(because)
            )
        }
        When::NeedsApproval => match &decision.target {
            Some(target) => format!(
                "It waits for a person: `mastopatch --instance {} approve {}` agrees, `mastopatch apply` does it now.",
                decision.instance, target.version
            ),
            None => "It waits for a person to agree.".to_owned(),
        },
        When::NotifyOnly => match &decision.target {
            Some(_) => "The policy leaves it to people: `mastopatch apply` does it.".to_owned(),
            None => "mastopatch does not update this build; it only tells.".to_owned(),
        },
        When::Blocked => {
            "It cannot start by itself; the reasons say what is in the way.".to_owned()
        }
    }
}

/// Exactly what would be done.
pub fn plan(plan: &Plan) -> String {
    let mut rows = vec![
        ("Instance", plan.instance.clone()),
        (
            "Update",
            format!("{} -> {} ({})", plan.from, plan.to, plan.kind),
        ),
        (
            "Asked by",
            match &plan.why.asked_by {
                Asked::Rule(rule) => format!("rule `{}`", clean(rule)),
                Asked::Person(name) => clean(name),
            },
        ),
    ];
    if !plan.why.advisories.is_empty() {
        rows.push(("Closes", plan.why.advisories.join(", ")));
    }
    rows.push(("Release", clean(&plan.why.url)));
    for image in &plan.images {
        rows.push((
            "Image",
            format!("{} -> {}", image.from_reference, image.to_reference),
        ));
        rows.push(("", image.to_digest.clone()));
    }
    let containers: Vec<&str> = plan
        .services
        .iter()
        .map(|service| service.container.as_str())
        .collect();
    rows.push(("Replaces", containers.join(", ")));
    rows.push((
        "Copies",
        format!(
            "database {} ({}), Redis, compose and environment files",
            plan.database.name,
            human_bytes(plan.database.bytes)
        ),
    ));
    let (database, redis) = (&plan.database, &plan.redis);
    let postgres = database.owner.container(&database.container);
    let redis = redis.owner.container(&redis.container);
    rows.push((
        "Data in",
        clean(&format!("PostgreSQL {postgres}, Redis {redis}")),
    ));
    if !plan.method_because.is_empty() {
        let method = format!("{}: {}", plan.method.name(), clean(&plan.method_because));
        rows.push(("Method", method));
    }
    rows.push(("Proof", proof(plan)));
    if let Some(said) = &plan.rehearsed {
        rows.push(("Rehearsal", rehearsed(said)));
    }
    for file in &plan.files {
        rows.push(("Edits", file.path.clone()));
    }
    if let Some(deadline) = plan.hard_deadline {
        rows.push(("Over by", human_time(deadline)));
    }
    rows.push(("Run", plan.run.clone()));
    format!(
        "{}\n\nSteps: preflight, pull, fence (the site closes), snapshot, prove, migrate,\n\
         switch, verify, commit, open (the site is back), finalise.\n\
         If one fails before the commit, code and data go back to how they are now.",
        fields(&rows)
    )
}

/// How the copy of the database is proved.
fn proof(plan: &Plan) -> String {
    match (plan.method, &plan.proof) {
        (Method::Clone, _) => "the clone is compared with its original".to_owned(),
        (Method::Logical, Proof::Restore) => {
            "restored into a throw-away server, and compared".to_owned()
        }
        (Method::Logical, Proof::Read { because: None }) => "read back, and compared".to_owned(),
        (Method::Logical, Proof::Read { because: Some(why) }) => {
            format!("read back, and compared, because {}", clean(why))
        }
    }
}

fn kind(target: &Target) -> String {
    let mut words = vec![target.class.to_string()];
    words.extend(target.severity.map(|severity| severity.to_string()));
    words.extend(target.advisories.iter().map(|id| clean(id)));
    format!("({})", words.join(", "))
}

#[cfg(test)]
mod tests {
    use crate::domain::report::samples;

    #[test]
    fn a_plan_names_everything_that_changes() {
        let text = super::plan(&samples::plan());
        for wanted in [
            "Update    4.5.2 -> 4.5.4 (patch)",
            "Asked by  rule `security`",
            "Closes    GHSA-aaaa-bbbb-cccc",
            "ghcr.io/mastodon/mastodon:v4.5.4",
            "sha256:2222",
            "Replaces  mastodon-web-1",
            "database mastodon (1.0 GiB)",
            "Edits     /srv/mastodon/docker-compose.yml",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
    }
}
