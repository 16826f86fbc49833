#!/bin/bash
# The habits of the official image: an empty PGDATA is initialised from POSTGRES_*, then the server runs as user postgres.
set -euo pipefail

as_postgres() { setpriv --reuid postgres --regid postgres --init-groups -- "$@"; }

[ "${1:0:1}" != - ] || set -- postgres "$@"
[ "$1" = postgres ] || exec "$@"

if [ "$(id -u)" != 0 ]; then
  echo 'this image starts as root and becomes postgres by itself' >&2
  exit 1
fi
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
mkdir -p "$PGDATA" /var/run/postgresql
chown postgres:postgres "$PGDATA" /var/run/postgresql
chmod 700 "$PGDATA"
chmod 2775 /var/run/postgresql

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$method" != trust ]; then
    echo 'Error: the database is not initialised and POSTGRES_PASSWORD is not set; set it, or POSTGRES_HOST_AUTH_METHOD=trust.' >&2
    exit 1
  fi
  as_postgres initdb -D "$PGDATA" --username="$user" --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=trust --no-sync >/dev/null
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  as_postgres pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -p 5432" -w start >/dev/null
  if [ -n "${POSTGRES_PASSWORD:-}" ]; then
    as_postgres psql -q -v ON_ERROR_STOP=1 -v role="$user" -v secret="$POSTGRES_PASSWORD" -U "$user" -d postgres \
      <<<"ALTER ROLE :\"role\" PASSWORD :'secret';"
  fi
  if [ "$database" != postgres ]; then
    as_postgres createdb -U "$user" "$database"
  fi
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) as_postgres bash "$file" ;;
      *.sql) as_postgres psql -q -v ON_ERROR_STOP=1 -U "$user" -d "$database" -f "$file" ;;
    esac
  done
  as_postgres pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
  echo 'PostgreSQL init process complete; ready for start up.'
fi
exec setpriv --reuid postgres --regid postgres --init-groups -- "$@" -c 'listen_addresses=*'
