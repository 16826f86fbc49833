//! What a person is shown before an order on a held run: what was written since the snapshot, and what is left of the run.
//! Looking changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::drive::load_material;
use super::{Ctx, Ports, chain};
use crate::domain::plan::{DatabaseRef, Plan};
use crate::ports::clock::Clock;
use crate::ports::database::{DataError, DataResult, Database};
use crate::ports::files::{Manifest, RunFiles};
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
        match ctx.rows_since(manifest).await {
            Ok(since) => remains.since = Some(since),
            Err(err) => remains.trouble.push(chain(&err)),
        }
    }
    if let Err(err) = ctx.objects(&mut remains.objects).await {
        remains.trouble.push(chain(&err));
    }
    remains
}

/// Rows now minus rows in a snapshot, of tables that people know and that differ.
pub async fn rows_since<D: Database>(
    database: &D,
    live: &DatabaseRef,
    password: &SecretString,
    manifest: &Manifest,
    limit: Duration,
) -> DataResult<BTreeMap<String, i64>> {
    if manifest.cluster.is_some() {
        return Err(DataError::Unseen {
            why: "the snapshot is a copy of the server's files, whose rows nobody counted"
                .to_owned(),
        });
    }
    let then = match &manifest.original {
        None => manifest.rows.clone(),
        Some(original) if database.exists(live, password, original).await? => {
            let original = DatabaseRef {
                name: original.clone(),
                ..live.clone()
            };
            database.row_counts(&original, password, limit).await?
        }
        // The original is what is in use.
        Some(_) => return Ok(BTreeMap::new()),
    };
    let now = database.row_counts(live, password, limit).await?;
    let difference = |table: &&str| {
        let since = signed(*now.get(*table)?).saturating_sub(signed(*then.get(*table)?));
        (since != 0).then(|| ((*table).to_owned(), since))
    };
    Ok(TOLD.iter().filter_map(difference).collect())
}

fn signed(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

impl<P: Ports> Ctx<'_, P> {
    /// [`rows_since`], asked as the run's material says.
    async fn rows_since(&self, manifest: &Manifest) -> DataResult<BTreeMap<String, i64>> {
        let password = self.material.database_password();
        let (live, limit) = (&self.plan.database, self.snapshot_limit());
        rows_since(self.ports.database(), live, &password, manifest, limit).await
    }

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
