//! What a person is shown before an order on a held run: what was written since the snapshot, and what is left of the run.
//! Looking changes nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::drive::load_material;
use super::{Ctx, Ports, chain};
use crate::domain::plan::Plan;
use crate::ports::clock::Clock;
use crate::ports::database::Database;
use crate::ports::files::RunFiles;
use crate::ports::runtime::{ContainerRuntime, RUN_LABEL};

/// Tables whose rows mean something to people.
const TOLD: [&str; 8] = [
    "public.accounts",
    "public.favourites",
    "public.follows",
    "public.media_attachments",
    "public.notifications",
    "public.reports",
    "public.statuses",
    "public.users",
];

/// What there is of a held run.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Remains {
    /// When the snapshot was taken; `None` without one.
    pub snapshot_at: Option<Timestamp>,
    /// Where it lies.
    pub snapshot: Option<String>,
    /// Rows now minus rows in the snapshot, of tables that people know and that differ; `None` where they cannot be
    /// counted.
    pub since: Option<BTreeMap<String, i64>>,
    /// Containers and kept images of the run, a line each.
    pub objects: Vec<String>,
    /// What could not be looked at.
    pub trouble: Vec<String>,
}

/// Looks at what there is of a run.
pub async fn remains<P: Ports>(ports: &P, plan: &Plan) -> Remains {
    let mut remains = Remains::default();
    let snapshot = ports.files().open_snapshot(&plan.run);
    let snapshot = snapshot.unwrap_or_else(|err| {
        remains.trouble.push(chain(&err));
        None
    });
    if let Some((dir, manifest)) = &snapshot {
        remains.snapshot_at = Some(manifest.taken_at);
        remains.snapshot = Some(dir.display().to_string());
    }
    let material = match load_material(ports, plan) {
        Ok(material) => material,
        Err(lost) => {
            // It says who may ask the database, and what was there before the run.
            remains.trouble.push(chain(&lost));
            return remains;
        }
    };
    let ctx = Ctx {
        ports,
        plan,
        material: &material,
        progress: &|_| {},
        began: ports.clock().reading(),
    };
    if let Some((_, manifest)) = &snapshot {
        let password = material.database_password();
        let limit = ctx.snapshot_limit();
        match ports
            .database()
            .row_counts(&plan.database, &password, limit)
            .await
        {
            Ok(now) => {
                let difference = |table: &&str| {
                    let now = signed(*now.get(*table)?);
                    let then = signed(*manifest.rows.get(*table)?);
                    let since = now.saturating_sub(then);
                    (since != 0).then(|| ((*table).to_owned(), since))
                };
                remains.since = Some(TOLD.iter().filter_map(difference).collect());
            }
            Err(err) => remains.trouble.push(chain(&err)),
        }
    }
    if let Err(err) = ctx.objects(&mut remains.objects).await {
        remains.trouble.push(chain(&err));
    }
    remains
}

fn signed(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

impl<P: Ports> Ctx<'_, P> {
    async fn objects(&self, lines: &mut Vec<String>) -> Result<(), super::StepError> {
        let runtime = self.ports.runtime();
        for service in &self.plan.services {
            if let Some(found) = runtime.container(&service.id).await? {
                lines.push(format!(
                    "old {} `{}`, {}",
                    service.service,
                    found.name,
                    does(found.state.running)
                ));
            }
        }
        for found in runtime.labelled(RUN_LABEL, &self.plan.run).await? {
            lines.push(format!(
                "container `{}` of the run, {}",
                found.name,
                does(found.state.running)
            ));
        }
        for found in self.strangers().await? {
            lines.push(format!(
                "container `{}`, which somebody made since the plan, {}: `resume` and `rollback` stop it, and remove it \
                 at the end; `release` leaves it",
                found.name,
                does(found.state.running)
            ));
        }
        for image in &self.plan.images {
            for new in [false, true] {
                let reference = self.plan.keep_reference(image, new);
                if runtime.image(&reference).await?.is_some() {
                    lines.push(format!("image kept as `{reference}`"));
                }
            }
        }
        Ok(())
    }
}

fn does(running: bool) -> &'static str {
    if running { "running" } else { "stopped" }
}
