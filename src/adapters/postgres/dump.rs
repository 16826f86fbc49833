//! A dump: how it is made, and the scripts that read one.

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use super::{FOLDER, JOBS, Postgres};
use crate::adapters::toolbox::{INSIDE, QUESTION};
use crate::domain::plan::DatabaseRef;
use crate::ports::database::{DataError, DataResult, OnBehalf};
use crate::ports::runtime::ContainerRuntime;

/// How a dump is compressed, the best first: what comes after is for a build that cannot do it. Zstandard since version 16. Of
/// both, level 1: half the time of the default for a tenth more bytes, and the site is closed meanwhile.
fn compressions(server_version: u32) -> &'static [&'static str] {
    match server_version {
        ..160_000 => &["--compress=1"],
        160_000.. => &["--compress=zstd:1", "--compress=gzip:1"],
    }
}

/// Counts the rows between `COPY` and `\\.` of a restore script, and fails when the script is cut.
pub(super) const COUNT_SCRIPT: &str = r#"
(pg_restore --data-only --file=- "$1" || echo '!mastopatch-failed') | awk '
  in_copy && $0 == "\\." { print table, rows; in_copy = 0; next }
  in_copy { rows++; next }
  /^COPY .* FROM stdin;$/ {
    rest = substr($0, 6)
    match(rest, /^("([^"]|"")*"|[^" .(]+)[.]("([^"]|"")*"|[^" .(]+)/)
    table = substr(rest, 1, RLENGTH); rows = 0; in_copy = 1; next
  }
  $0 == "!mastopatch-failed" { failed = 1 }
  END { if (in_copy || failed) exit 3 }'
"#;

/// The versions in a dump's `schema_migrations`, a line each; fails when the dump is cut.
pub(super) const SCHEMA_SCRIPT: &str = r#"
(pg_restore --data-only --schema=public --table=schema_migrations --file=- "$1" || echo '!mastopatch-failed') | awk '
  in_copy && $0 == "\\." { in_copy = 0; next }
  in_copy { print; next }
  /^COPY .* FROM stdin;$/ { in_copy = 1; next }
  $0 == "!mastopatch-failed" { failed = 1 }
  END { if (in_copy || failed) exit 3 }'
"#;

impl<R: ContainerRuntime> Postgres<R> {
    pub(super) async fn take_dump(
        &self,
        database: &DatabaseRef,
        password: &SecretString,
        on_behalf: &OnBehalf,
        dir: &Path,
        limit: Duration,
    ) -> DataResult<()> {
        let toolbox = self.toolbox(database, on_behalf, dir, true).await?;
        let (target, folder) = (
            format!("--file={INSIDE}/{FOLDER}"),
            format!("{INSIDE}/{FOLDER}"),
        );
        let connection = Some((database, password));
        let mut compressions = compressions(database.server_version).iter().peekable();
        while let Some(compression) = compressions.next() {
            let command = [
                "pg_dump",
                "--format=directory",
                JOBS,
                compression,
                &target,
                &database.name,
            ];
            let dumped = self
                .tool(&toolbox, "pg_dump", &command, connection, limit)
                .await;
            match dumped {
                Err(DataError::Tool { stderr, .. })
                    if stderr.contains("does not support compression")
                        && compressions.peek().is_some() =>
                {
                    let command = ["rm", "-rf", &folder];
                    self.tool(&toolbox, "rm", &command, None, QUESTION).await?;
                }
                done => return done.map(drop),
            }
        }
        Ok(())
    }
}
