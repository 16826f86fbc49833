#!/usr/bin/env bash
# Proves that the lab is what README.md says: lab.sh run tests/lab/selftest.sh [walk|broken|mail]...
# shellcheck disable=SC2317 # the parts are called by name
set -euo pipefail

: "${LAB_DIR:?run this through lab.sh run}"
read -ra COMPOSE <<<"$LAB_COMPOSE"
NAME=mplabself
WEB=3390
STREAM=4390
BASE=http://127.0.0.1:$WEB
DOMAIN=$NAME.lab.test
START=$(date +%s)
FAILED=0

say() { echo "selftest: $* ($(($(date +%s) - START)) s)"; }
check() { # what expected found
  if [ "$2" = "$3" ]; then
    echo "  ok   $1: $3"
  else
    echo "  FAIL $1: expected $2, found $3"
    FAILED=1
  fi
}

compose() { "${COMPOSE[@]}" "$@"; }
get() { curl -s --noproxy '*' -m 10 -H "Host: $DOMAIN" -H 'X-Forwarded-Proto: https' "$@"; }
code() { get -o /dev/null -w '%{http_code}' "$BASE$1" || true; }
version() { get "$BASE/api/v2/instance" | grep -o '"version":"[^"]*"' | cut -d'"' -f4 || true; }
sql() { compose exec -T db psql -qAt -U mastodon mastodon_production -c "$1"; }
rails() { compose run --rm -T web bundle exec rails "$@"; }
until_ok() { # seconds command...
  local end=$(($(date +%s%N) / 1000000 + $1 * 1000))
  shift
  until "$@"; do
    [ $(($(date +%s%N) / 1000000)) -lt "$end" ] || return 1
    sleep 0.2
  done
}
web_healthy() { [ "$(curl -s --noproxy '*' -m 2 "$BASE/health" || true)" = OK ]; }
streaming_healthy() { [ "$(curl -s --noproxy '*' -m 2 "http://127.0.0.1:$STREAM/api/v1/streaming/health" || true)" = OK ]; }
db_ready() { compose exec -T db psql -qAt -U mastodon mastodon_production -c 'select 1' >/dev/null 2>&1; }
# shellcheck disable=SC2016 # the container's variable
sidekiq_ready() { compose exec -T sidekiq sh -c 'test -e tmp/$MASTODON_SIDEKIQ_READY_FILENAME' >/dev/null 2>&1; }

retag() { sed -i -E "s#(mastodon/mastodon(-streaming)?):v[0-9.]+#\1:$1#" docker-compose.yml; }
site() { # tag
  # shellcheck disable=SC2164
  cd "$("$LAB_DIR/lab.sh" site "$NAME" --tag "$1" --web-port "$WEB" --streaming-port "$STREAM" --domain "$DOMAIN")"
}

walk() {
  local from='' tag before
  site v4.3.20
  say 'start of v4.3.20 on an empty folder'
  compose up -d >/dev/null 2>&1
  until_ok 60 db_ready
  rails db:migrate >/dev/null 2>&1
  rails lab:seed ACCOUNTS=2000 STATUSES=20000 2>/dev/null
  until_ok 60 web_healthy && until_ok 20 streaming_healthy && until_ok 40 sidekiq_ready
  check 'without Host' 403 "$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' "$BASE/api/v2/instance")"
  check 'without https' 301 "$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' -H "Host: $DOMAIN" "$BASE/api/v2/instance")"
  get -o /dev/null -X POST "$BASE/api/v1/accounts" -d username=writer
  for tag in v4.3.20 v4.3.21 v4.4.15 v4.5.8 v4.6.9; do
    if [ "$tag" != v4.3.20 ]; then
      say "from $from to $tag"
      retag "$tag"
      compose pull -q web streaming sidekiq >/dev/null 2>&1
      compose stop web streaming sidekiq >/dev/null 2>&1
      before=$(sql 'select count(*) from schema_migrations')
      if [ "${tag%.*}" != "${from%.*}" ]; then
        check 'abort_if_pending_migrations' 1 "$(rails db:abort_if_pending_migrations >/dev/null 2>&1 && echo 0 || echo 1)"
        compose up -d web >/dev/null 2>&1
        until_ok 60 web_healthy
        check "new code on the old schema: version" "${tag#v}" "$(version)"
        check "new code on the old schema: timeline" 500 "$(code /api/v1/timelines/public)"
        compose stop web >/dev/null 2>&1
      fi
      rails db:migrate >/tmp/selftest-migrate.log 2>&1 || { cat /tmp/selftest-migrate.log; check "migrate to $tag" 0 1; }
      echo "  migrations: $(($(sql 'select count(*) from schema_migrations') - before)) new"
      compose up -d >/dev/null 2>&1
      until_ok 60 web_healthy && until_ok 20 streaming_healthy && until_ok 40 sidekiq_ready
    fi
    from=$tag
    check 'pending' 0 "$(rails db:abort_if_pending_migrations >/dev/null 2>&1 && echo 0 || echo 1)"
    check 'version' "${tag#v}" "$(version)"
    check 'tootctl' "${tag#v}" "$(compose run --rm -T web bin/tootctl --version 2>/dev/null | tr -d '\r')"
    check 'SOURCE_COMMIT' "$(printf 'mastodon-lab %s' "$tag" | sha1sum | cut -d' ' -f1)" "$(compose exec -T web printenv SOURCE_COMMIT | tr -d '\r')"
    for path in /api/v1/instance /api/v1/timelines/public /nodeinfo/2.0 /auth/sign_in /packs/manifest.json "$(get "$BASE/auth/sign_in" | grep -o '/packs/css[^"]*')"; do
      check "$path" 200 "$(code "$path")"
    done
    get -o /dev/null -X POST "$BASE/api/v1/statuses" -H "Idempotency-Key: walk-$tag" -d account=writer -d "text=hello from $tag"
    get -o /dev/null -X POST "$BASE/api/v1/statuses" -H "Idempotency-Key: walk-$tag" -d account=writer -d "text=hello from $tag"
    check 'posted once' 1 "$(sql "select count(*) from statuses where text = 'hello from $tag'")"
    until_ok 15 delivered "$tag" || true
    check 'one job' 1 "$(jobs "$tag")"
  done
  check 'nodeinfo is stale' 4.3.20 "$(get "$BASE/nodeinfo/2.0" | grep -o '"name":"mastodon","version":"[^"]*"' | cut -d'"' -f8)"
  check 'settings moved' '0 1501' "$(sql "select count(*) filter (where preferences is null), count(*) from users" | tr '|' ' ')"
  check 'duplicate tags' 0 "$(sql 'select count(*) - count(distinct lower(name)) from tags')"
  say '4.3 code on the schema of today'
  retag v4.3.21
  compose up -d web >/dev/null 2>&1
  until_ok 60 web_healthy
  check 'old code on the new schema: timeline' 500 "$(code /api/v1/timelines/public)"
  say 'internal network'
  local ip
  ip=$(docker inspect -f "{{(index .NetworkSettings.Networks \"${NAME}_internal_network\").IPAddress}}" "$(compose ps -q web)")
  check "web at its internal address $ip" OK "$(curl -s --noproxy '*' -m 5 "http://$ip:3000/health")"
  compose down -v >/dev/null 2>&1
}

jobs() { sql "select count(*) from distributions d join statuses s on s.id = d.status_id where s.text = 'hello from $1'"; }
delivered() { [ "$(jobs "$1")" != 0 ]; }

measure() {
  local began
  NAME=mplabtime
  DOMAIN=$NAME.lab.test
  site v4.5.8
  compose up -d db redis >/dev/null 2>&1
  until_ok 60 db_ready
  rails db:migrate >/dev/null 2>&1
  began=$(date +%s%N)
  rails db:migrate >/dev/null 2>&1
  echo "  db:migrate with nothing to do: $((($(date +%s%N) - began) / 1000000)) ms"
  compose up --no-start web >/dev/null 2>&1
  began=$(date +%s%N)
  compose start web >/dev/null 2>&1
  echo "  compose start web returned: $((($(date +%s%N) - began) / 1000000)) ms"
  until_ok 60 web_healthy
  echo "  web start to /health OK, alone: $((($(date +%s%N) - began) / 1000000)) ms"
  compose stop web >/dev/null 2>&1
  began=$(date +%s%N)
  docker start "$(compose ps -q web)" >/dev/null
  until_ok 60 web_healthy
  echo "  docker start web to /health OK: $((($(date +%s%N) - began) / 1000000)) ms"
  compose stop web >/dev/null 2>&1
  compose up --no-start >/dev/null 2>&1
  began=$(date +%s%N)
  compose start >/dev/null 2>&1
  until_ok 60 web_healthy
  echo "  web, streaming, sidekiq together to /health OK: $((($(date +%s%N) - began) / 1000000)) ms"
  until_ok 60 sidekiq_ready
  echo "  ... to the ready file of sidekiq: $((($(date +%s%N) - began) / 1000000)) ms"
  began=$(date +%s%N)
  compose stop sidekiq >/dev/null 2>&1
  echo "  compose stop sidekiq: $((($(date +%s%N) - began) / 1000000)) ms"
  compose down -v >/dev/null 2>&1
  docker images --format '  {{.Repository}}:{{.Tag}} {{.Size}}' | sort
}

broken() {
  NAME=mplabbroken
  DOMAIN=$NAME.lab.test
  site v4.5.8
  compose up -d >/dev/null 2>&1
  until_ok 60 db_ready
  rails db:migrate >/dev/null 2>&1
  rails lab:seed ACCOUNTS=500 STATUSES=20000 2>/dev/null
  until_ok 60 web_healthy && until_ok 40 sidekiq_ready
  compose stop web streaming sidekiq >/dev/null 2>&1

  say 'v4.5.92: /health never OK'
  retag v4.5.92
  compose up -d web >/dev/null 2>&1
  until_ok 30 listening || true
  check 'health' 503 "$(code /health)"

  say 'v4.5.93: another version'
  retag v4.5.93
  compose up -d web >/dev/null 2>&1
  until_ok 30 web_healthy
  check 'version shown' 4.5.8 "$(version)"
  check 'tootctl' 4.5.93 "$(compose exec -T web bin/tootctl --version | tr -d '\r')"

  say 'v4.5.94: Sidekiq never ready'
  retag v4.5.94
  compose up -d web sidekiq >/dev/null 2>&1
  until_ok 30 web_healthy
  get -o /dev/null -X POST "$BASE/api/v1/accounts" -d username=writer
  get -o /dev/null -X POST "$BASE/api/v1/statuses" -d account=writer -d 'text=hello from v4.5.94'
  sleep 8
  check 'ready file' no "$(sidekiq_ready && echo yes || echo no)"
  check 'container' true "$(docker inspect -f '{{.State.Running}}' "$(compose ps -q sidekiq)")"
  check 'jobs done' 0 "$(jobs v4.5.94)"
  compose kill sidekiq >/dev/null 2>&1

  say 'v4.5.95: no streaming image'
  check 'main image' 0 "$(docker pull -q "$LAB_REGISTRY/mastodon/mastodon:v4.5.95" >/dev/null 2>&1 && echo 0 || echo 1)"
  check 'streaming image' 1 "$(docker pull -q "$LAB_REGISTRY/mastodon/mastodon-streaming:v4.5.95" >/dev/null 2>&1 && echo 0 || echo 1)"

  say 'v4.5.96: SOURCE_COMMIT of another commit'
  docker pull -q "$LAB_REGISTRY/mastodon/mastodon:v4.5.96" >/dev/null
  check 'commit' different "$(docker inspect -f '{{.Config.Env}}' "$LAB_REGISTRY/mastodon/mastodon:v4.5.96" | grep -q "$(printf 'mastodon-lab v4.5.96' | sha1sum | cut -d' ' -f1)" && echo same || echo different)"

  say 'v4.5.97: healthy, then gone'
  retag v4.5.97
  compose up -d web >/dev/null 2>&1
  until_ok 30 web_healthy
  local began web
  began=$(date +%s%N)
  web=$(compose ps -q web)
  until_ok 20 crashed "$web" || true
  echo "  healthy for $((($(date +%s%N) - began) / 1000000)) ms"
  check 'exit code seen or restarted' yes "$(crashed "$web" && echo yes || echo no)"

  say 'v4.5.98: streaming never healthy'
  retag v4.5.98
  compose up -d web streaming >/dev/null 2>&1
  until_ok 30 web_healthy
  sleep 2
  check 'streaming health' 503 "$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' "http://127.0.0.1:$STREAM/api/v1/streaming/health")"
  compose stop web streaming >/dev/null 2>&1

  say 'v4.6.1: migration fails half-way'
  sql 'create database before template mastodon_production'
  retag v4.6.1
  check 'exit code' 1 "$(rails db:migrate >/dev/null 2>&1 && echo 0 || echo 1)"
  check 'first migration stands' 1 "$(sql "select count(*) from schema_migrations where version = '20260401080000'")"
  check 'second and third do not' 0 "$(sql "select count(*) from schema_migrations where version > '20260401080000'")"
  check 'some rows rewritten' yes "$([ "$(sql "select count(*) from statuses where text like '%[rewritten]'")" -gt 1000 ] && echo yes || echo no)"
  check 'some not' yes "$([ "$(sql "select count(*) from statuses where text not like '%[rewritten]'")" -gt 1000 ] && echo yes || echo no)"
  compose exec -T db psql -q -U mastodon postgres -c 'drop database mastodon_production' -c 'alter database before rename to mastodon_production'

  say 'v4.6.2: migration hangs'
  retag v4.6.2
  check 'still there after 15 s' 124 "$(timeout 15 "${COMPOSE[@]}" run --name mplabbroken_hang -T web bundle exec rails db:migrate >/dev/null 2>&1 && echo 0 || echo $?)"
  check 'first migration stands' 1 "$(sql "select count(*) from schema_migrations where version = '20260402080000'")"
  check 'second does not' 0 "$(sql "select count(*) from schema_migrations where version = '20260402080100'")"
  docker rm -fv mplabbroken_hang >/dev/null 2>&1 || true
  check 'the server goes on with it' 1 "$(sql "select count(*) from pg_stat_activity where query like '%pg_sleep(86400)%' and pid <> pg_backend_pid()")"
  check 'backend can be ended' t "$(sql "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(86400)%' and pid <> pg_backend_pid()")"
  compose down -v >/dev/null 2>&1
}
listening() { [ "$(code /health)" != 000 ]; }
crashed() { [ "$(docker inspect -f '{{.State.Running}}{{.RestartCount}}' "$1")" != true0 ]; }

mail() {
  printf 'Subject: selftest\r\n\r\nIt works.\r\n' >/tmp/selftest-mail
  check 'accepted' 0 "$(curl -s --noproxy '*' "smtp://$LAB_SMTP" --mail-from daemon@host.test --mail-rcpt manager@lab.test -T /tmp/selftest-mail && echo 0 || echo 1)"
  check 'other domains refused' 1 "$(curl -s --noproxy '*' "smtp://$LAB_SMTP" --mail-from daemon@host.test --mail-rcpt manager@else.test -T /tmp/selftest-mail && echo 0 || echo 1)"
  until_ok 10 arrived || true
  check 'in the mailbox' 1 "$(cat "$LAB_MAILDIR"/manager/new/* 2>/dev/null | grep -c '^Subject: selftest')"
}
arrived() { [ -n "$(ls "$LAB_MAILDIR/manager/new" 2>/dev/null)" ]; }

[ $# -gt 0 ] || set -- mail walk broken measure
for part in "$@"; do
  say "$part"
  "$part"
done
say "$([ $FAILED = 0 ] && echo passed || echo FAILED)"
exit $FAILED
