//! Which interruptions there are, and which of them a short run takes.

use mastopatch::domain::plan::Method;

use crate::acts::Act;
use crate::moments::{BACK, Effect, GOOD, Moment};
use crate::place::Update;

/// One interruption of one update.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) act: Act,
    pub(crate) update: Update,
    /// How the database is copied.
    pub(crate) method: Method,
    pub(crate) moment: Moment,
    /// Belongs to the spread that every run of the tests takes.
    pub(crate) spread: bool,
}

impl Case {
    /// Its name on the command line and in the output.
    pub(crate) fn name(&self) -> String {
        format!("{}, {}, {}", self.act.name(), self.kind(), self.moment)
    }

    /// What it counts as where only the interruption and the way of copying count.
    pub(crate) fn told(&self) -> String {
        match self.method {
            Method::Logical => self.act.name().to_owned(),
            Method::Clone => format!("{}, on a clone", self.act.name()),
            Method::Physical => format!("{}, on a copied folder", self.act.name()),
        }
    }

    /// What is interrupted.
    pub(crate) fn kind(&self) -> String {
        let update = match self.update {
            Update::Good => "good update",
            Update::Broken => "broken update",
        };
        match self.method {
            Method::Logical => update.to_owned(),
            Method::Clone => format!("{update} on a clone"),
            Method::Physical => format!("{update} on a copied folder"),
        }
    }
}

/// Where a kill is most likely to leave something half done: around fence, seal, migration, switch, commit,
/// opening and way back.
const RISKY_GOOD: [&str; 4] = ["intent fence", "done snapshot", "committed", "intent open"];
const RISKY_BACK: [&str; 3] = [
    "failed migrate",
    "undo-done restore-data",
    "undo-intent start-old",
];
const RISKY_EFFECTS: [Effect; 1] = [Effect::Migration];

/// Every case that may run beside others.
pub(crate) fn beside_others() -> Vec<Vec<Case>> {
    vec![
        killed_forward(),
        killed_back(),
        killed_on_a_clone(),
        disturbed(),
    ]
}

/// Around the making of the clone, the two switches by name, and the end of the original.
fn killed_on_a_clone() -> Vec<Case> {
    let case = |update, moment, spread| Case {
        act: Act::Kill,
        update,
        method: Method::Clone,
        moment,
        spread,
    };
    let good = [
        Moment::Entry("intent snapshot"),
        Moment::During(Effect::Clone),
        Moment::Entry("done snapshot"),
        Moment::Entry("done prove"),
        Moment::During(Effect::Migration),
        Moment::Entry("done migrate"),
        Moment::Entry("committed"),
        Moment::Entry("intent finalise"),
    ];
    let back = [
        Moment::Entry("failed migrate"),
        Moment::Entry("undo-intent restore-data"),
        Moment::Entry("undo-done restore-data"),
        Moment::Entry("undo-done start-old"),
        Moment::Entry("undo-intent clean-up"),
    ];
    let risky = [
        Moment::During(Effect::Clone),
        Moment::During(Effect::Migration),
    ];
    let good = good.map(|moment| case(Update::Good, moment, risky.contains(&moment)));
    let back = back.map(|moment| case(Update::Broken, moment, risky.contains(&moment)));
    good.into_iter().chain(back).collect()
}

fn killed_forward() -> Vec<Case> {
    let entries = GOOD.iter().map(|label| Case {
        act: Act::Kill,
        update: Update::Good,
        method: Method::Logical,
        moment: Moment::Entry(label),
        spread: RISKY_GOOD.contains(label),
    });
    let effects = Effect::ALL
        .into_iter()
        .filter(|effect| ![Effect::Restore, Effect::Clone].contains(effect));
    let effects = effects.map(|effect| Case {
        act: Act::Kill,
        update: Update::Good,
        method: Method::Logical,
        moment: Moment::During(effect),
        spread: RISKY_EFFECTS.contains(&effect),
    });
    entries.chain(effects).collect()
}

fn killed_back() -> Vec<Case> {
    let entries = BACK.iter().map(|label| Case {
        act: Act::Kill,
        update: Update::Broken,
        method: Method::Logical,
        moment: Moment::Entry(label),
        spread: RISKY_BACK.contains(label),
    });
    let effects = [Effect::Migration, Effect::Restore];
    let effects = effects.into_iter().map(|effect| Case {
        act: Act::Kill,
        update: Update::Broken,
        method: Method::Logical,
        moment: Moment::During(effect),
        spread: effect == Effect::Restore,
    });
    entries.chain(effects).collect()
}

fn disturbed() -> Vec<Case> {
    let case = |act, label: &'static str, spread| Case {
        act,
        update: Update::Good,
        method: Method::Logical,
        moment: Moment::Entry(label),
        spread,
    };
    let mut all = vec![
        case(Act::PruneContainers, "intent verify", true),
        case(Act::PruneContainers, "done fence", false),
        case(Act::PruneContainers, "intent finalise", false),
        case(Act::RenameKept, "intent verify", false),
        case(Act::StartKept, "intent verify", false),
        case(Act::RemoveKept, "intent verify", false),
        case(Act::ComposeUp, "done fence", false),
        case(Act::ComposeUp, "intent verify", true),
        case(Act::ComposeUp, "intent finalise", false),
        case(Act::SecondRun, "intent snapshot", false),
        case(Act::SecondRun, "intent verify", false),
    ];
    let intents = GOOD.iter().filter(|label| label.starts_with("intent"));
    all.extend(intents.map(|label| case(Act::Term, label, *label == "intent snapshot")));
    let back = BACK.iter().filter(|label| label.starts_with("undo-intent"));
    all.extend(back.map(|label| Case {
        update: Update::Broken,
        ..case(Act::Term, label, false)
    }));
    all
}

/// Every case that disturbs all containers or images of the engine.
pub(crate) fn alone() -> Vec<Case> {
    let engine = |update, label: &'static str, spread| Case {
        act: Act::EngineRestart,
        update,
        method: Method::Logical,
        moment: Moment::Entry(label),
        spread,
    };
    let risky = ["intent migrate", "intent open"];
    let intents = GOOD.iter().filter(|label| label.starts_with("intent"));
    let mut all: Vec<Case> = intents
        .map(|label| engine(Update::Good, label, risky.contains(label)))
        .collect();
    for label in ["done pull", "done migrate"] {
        all.push(Case {
            act: Act::PruneImages,
            ..engine(Update::Good, label, false)
        });
    }
    let back = BACK.iter().filter(|label| label.starts_with("undo-intent"));
    all.extend(
        back.map(|label| engine(Update::Broken, label, *label == "undo-intent restore-data")),
    );
    all
}
