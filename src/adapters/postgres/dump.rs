//! A dump: how it is made, and the scripts that read one.

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

use super::{FOLDER, JOBS, Postgres};
use crate::adapters::toolbox::INSIDE;
use crate::domain::plan::DatabaseRef;
use crate::ports::database::{DataResult, OnBehalf};
use crate::ports::runtime::ContainerRuntime;

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

/// Runs `$@`, and stops it for a while whenever folder `$INTO` has grown by more than `$RATE` bytes a second. While a dump stands still,
/// the server it reads waits, too.
const SLOWLY: &str = r#"
command -v setsid >/dev/null || { echo 'the image has no setsid, which a limited rate needs' >&2; exit 78; }
now() { read -r up _ </proc/uptime; echo "${up%.*}${up#*.}"; }
begun=$(now)
setsid "$@" &
work=$!
runs() { read -r _ _ is _ <"/proc/$work/stat" 2>/dev/null && [ "$is" != Z ]; }
while runs; do
  written=$(du -sk "$INTO" 2>/dev/null | cut -f 1)
  allowed=$(((($(now) - begun) / 10 + 1) * (RATE / 1024) / 10))
  if [ "${written:-0}" -gt "$allowed" ]; then kill -s STOP -- "-$work"; else kill -s CONT -- "-$work"; fi 2>/dev/null
  sleep 0.1
done
wait "$work"
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
        let target = format!("--file={INSIDE}/{FOLDER}");
        // Level 1 of gzip: half the time of the default for a tenth more bytes, and the site is closed meanwhile. Not
        // Zstandard: of a file that is cut off, `pg_restore` of 17 and 18 reads what there is, and says nothing.
        let command = [
            "pg_dump",
            "--format=directory",
            JOBS,
            "--compress=1",
            &target,
            &database.name,
        ];
        let connection = Some((database, password));
        let rate = self.hot_rate.filter(|_| on_behalf.gently);
        let (rate, into) = (
            rate.map(|rate| format!("RATE={rate}")),
            format!("INTO={INSIDE}/{FOLDER}"),
        );
        let mut all: Vec<&str> = Vec::new();
        if let Some(rate) = &rate {
            all.extend(["env", rate, &into, "sh", "-c", SLOWLY, "sh"]);
        }
        all.extend(command);
        self.tool(&toolbox, "pg_dump", &all, connection, limit)
            .await
            .map(drop)
    }
}
