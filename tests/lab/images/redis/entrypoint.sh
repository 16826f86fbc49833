#!/bin/bash
# Like the official image: no password, snapshots to /data/dump.rdb, the server runs as user redis.
set -euo pipefail
[ "${1:0:1}" != - ] || set -- redis-server "$@"
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  find /data \! -user redis -exec chown redis:redis '{}' +
  exec setpriv --reuid redis --regid redis --init-groups -- "$@" --protected-mode no --dir /data --save '3600 1 300 100 60 10000'
fi
exec "$@"
