#!/usr/bin/env bash
# The lab: a practice Mastodon made of real parts. See README.md beside this file.
set -euo pipefail

LAB_DIR=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
SELF=$LAB_DIR/lab.sh
CACHE=${MASTOPATCH_LAB_CACHE:-/var/cache/mastopatch-lab}
STATE=${MASTOPATCH_LAB_STATE:-/var/tmp/mastopatch-lab}
LOCK=$STATE.lock
REGISTRY_PORT=${LAB_REGISTRY_PORT:-5057}
SMTP_PORT=${LAB_SMTP_PORT:-2557}
REGISTRY=127.0.0.1:$REGISTRY_PORT
# A lab with a state folder of its own is a lab of its own: another engine, another bridge.
RUN=/run/mastopatch-lab
BRIDGE=mplab0
if [ "$STATE" != /var/tmp/mastopatch-lab ]; then
  OTHER=$(printf '%s' "$STATE" | sha256sum | cut -c1-6)
  RUN=$RUN-$OTHER
  BRIDGE=mplab$OTHER
fi
OWN_HOST=unix://$RUN/docker.sock
START=$(date +%s)

# shellcheck source=tests/lab/lib/rootfs.sh
. "$LAB_DIR/lib/rootfs.sh"
# shellcheck source=tests/lab/lib/images.sh
. "$LAB_DIR/lib/images.sh"

usage() {
  cat <<'TEXT'
usage: lab.sh COMMAND

  up            start what is not running (engine if none answers, registry, mail), build images once
  run CMD...    up, run CMD with the lab's environment, always down afterwards; exits with CMD's code
  site NAME [--tag TAG] [--web-port N] [--streaming-port N] [--domain D] [--dotenv] [--dir DIR]
                write a compose folder of a practice Mastodon (NAME must start with mplab); prints its path
  engine restart
                stop the lab's own engine as a service manager would, and start it again; not a foreign one
  status        what is running and what is cached
  down          remove everything the lab or a killed test left: containers, networks, volumes, images, engine
  purge         down, and remove the cache

environment: MASTOPATCH_LAB_CACHE (/var/cache/mastopatch-lab), MASTOPATCH_LAB_STATE (/var/tmp/mastopatch-lab),
  LAB_REGISTRY_PORT (5057), LAB_SMTP_PORT (2557), DOCKER_HOST (an engine to use instead of starting one)
After `up`, <state>/env holds KEY=VALUE lines: DOCKER_HOST, LAB_REGISTRY, LAB_SMTP, LAB_MAILDIR, LAB_COMPOSE, ...
TEXT
}

say() { echo "lab: $* ($(($(date +%s) - START)) s)" >&2; }
die() {
  echo "lab: $*" >&2
  exit 1
}

# The end of a log, then the sentence: `run` cleans up, and the log may be gone with it.
die_with() { # log sentence
  tail -n 12 "$1" >&2 || true
  shift
  die "$@"
}

# Becomes root through sudo, with the settings that matter.
as_root() { # sub-command arguments...
  [ "$(id -u)" != 0 ] || return 0
  command -v sudo >/dev/null || die 'this needs root: run it as root or install sudo.'
  local kept=() name
  for name in MASTOPATCH_LAB_CACHE MASTOPATCH_LAB_STATE LAB_REGISTRY_PORT LAB_SMTP_PORT DOCKER_HOST LAB_LOCK_HELD http_proxy HTTP_PROXY; do
    [ -z "${!name:-}" ] || kept+=("$name=${!name}")
  done
  exec sudo -E env "${kept[@]}" "$SELF" "$@"
}

# One lab at a time on a machine. A command that `run` started finds the lock held by its own ancestor.
take_lock() {
  if [ -n "${LAB_LOCK_HELD:-}" ] && kill -0 "$LAB_LOCK_HELD" 2>/dev/null; then return 0; fi
  if [ -n "${LAB_LOCK_HELD:-}" ] && [ -d "/proc/$LAB_LOCK_HELD" ]; then return 0; fi
  [ -e "$LOCK" ] || (umask 022 && : >>"$LOCK") || die "cannot create $LOCK: set MASTOPATCH_LAB_STATE to a folder you may write beside."
  exec 9<"$LOCK"
  if ! flock -n 9; then
    say 'waiting: another run has the lab'
    flock 9
  fi
  export LAB_LOCK_HELD=$$
}

# ---- packages

apt_install() { # packages...
  command -v apt-get >/dev/null || die "install $* by hand and try again: this machine has no apt-get."
  say "installing Debian packages: $*"
  local log=$STATE/apt.log options=(-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install -y --no-install-recommends)
  export DEBIAN_FRONTEND=noninteractive
  if ! apt-get "${options[@]}" "$@" >"$log" 2>&1 9<&-; then
    apt-get -o DPkg::Lock::Timeout=300 update >>"$log" 2>&1 9<&- || say 'apt-get update reported errors, going on with what it got'
    apt-get "${options[@]}" "$@" >>"$log" 2>&1 9<&- ||
      die_with "$log" "could not install $*: install them by hand (apt-get install $*) and try again."
  fi
}

need_package() { # command package
  command -v "$1" >/dev/null || apt_install "$2"
}

compose_command() {
  if docker compose version >/dev/null 2>&1; then
    echo 'docker compose'
  elif docker-compose version >/dev/null 2>&1; then
    echo docker-compose
  fi
}

# ---- engine

answers() { DOCKER_HOST=$1 timeout 15 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

own_pid() {
  local pid
  pid=$(cat "$RUN/docker.pid" 2>/dev/null) || return 1
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 1
  echo "$pid"
}

# Sets DOCKER_HOST to a living engine, without starting one.
find_engine() {
  if [ -e "$STATE/engine-owned" ] && answers "$OWN_HOST"; then
    export DOCKER_HOST=$OWN_HOST
    return 0
  fi
  local candidate
  for candidate in "${DOCKER_HOST:-}" unix:///var/run/docker.sock; do
    if [ -n "$candidate" ] && [ "$candidate" != "$OWN_HOST" ] && answers "$candidate"; then
      export DOCKER_HOST=$candidate
      return 0
    fi
  done
  return 1
}

ensure_engine() {
  if ! command -v docker >/dev/null; then
    apt_install docker.io
    command -v docker >/dev/null || apt_install docker-cli
  fi
  if find_engine; then
    if [ "$DOCKER_HOST" != "$OWN_HOST" ]; then say "using the engine at $DOCKER_HOST"; fi
    return 0
  fi
  if ! command -v dockerd >/dev/null; then
    apt_install docker.io
    local waited
    for waited in 1 2 3 4 5; do # the package may have started a service
      if find_engine; then
        say "using the engine at $DOCKER_HOST ($waited)"
        return 0
      fi
      [ -d /run/systemd/system ] || break
      sleep 1
    done
  fi
  need_package iptables iptables
  need_package ip iproute2
  start_engine
}

start_engine() {
  say 'starting a Docker Engine'
  mkdir -p "$STATE/engine" "$RUN"
  if [ ! -e "$STATE/engine-owned" ]; then
    remember_network >"$STATE/engine-network"
    : >"$STATE/engine-owned"
  fi
  rm -f "$RUN/docker.pid"
  make_bridge
  setsid dockerd --data-root "$STATE/engine" --exec-root "$RUN/exec" --pidfile "$RUN/docker.pid" \
    --bridge "$BRIDGE" --default-address-pool "base=$POOL,size=24" \
    --group "${SUDO_GID:-0}" -H "$OWN_HOST" >>"$STATE/dockerd.log" 2>&1 </dev/null 9<&- &
  local pid=$! waited
  for waited in $(seq 1 120); do
    if answers "$OWN_HOST"; then
      export DOCKER_HOST=$OWN_HOST
      say "engine $(docker version --format '{{.Server.Version}}') answers"
      return 0
    fi
    [ -d "/proc/$pid" ] || [ "$waited" -lt 4 ] || break
    sleep 0.5
  done
  die_with "$STATE/dockerd.log" "dockerd did not start: see above, or start a Docker Engine yourself and set DOCKER_HOST."
}

# A bridge of our own, so that another engine on this machine keeps its docker0 to itself.
make_bridge() {
  local octet
  for octet in 213 197 181 165; do
    if ! ip -4 route show | grep -qE "^10\.$octet\."; then break; fi
  done
  if [ ! -d "/sys/class/net/$BRIDGE" ]; then
    ip link add "$BRIDGE" type bridge
    ip addr add "10.$octet.0.1/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
  fi
  octet=$(ip -4 -o addr show dev "$BRIDGE" | grep -oE '10\.[0-9]+' | head -n 1)
  POOL=$octet.128.0/17
}

# What dockerd changes in the host's packet filter, to be put back.
remember_network() {
  echo "forward=$(cat /proc/sys/net/ipv4/ip_forward)"
  echo "policy=$(iptables -S FORWARD 2>/dev/null | awk '$1 == "-P" { print $3 }')"
  if iptables -S DOCKER-USER >/dev/null 2>&1; then echo chains=1; else echo chains=0; fi
}

other_engine() {
  local dir
  for dir in /proc/[0-9]*; do
    if [ "$(cat "$dir/comm" 2>/dev/null)" = dockerd ]; then return 0; fi
  done
  return 1
}

delete_rules() { # table pattern
  local rule words
  while read -r rule; do
    read -ra words <<<"$rule"
    iptables -t "$1" -D "${words[@]}" 2>/dev/null || true
  done < <(iptables -t "$1" -S 2>/dev/null | grep -E -- "$2" | sed -n 's/^-A //p')
}

restore_network() {
  ip link delete "$BRIDGE" 2>/dev/null || true
  [ -e "$STATE/engine-network" ] || return 0
  local forward='' policy='' chains='' chain table
  # shellcheck disable=SC1091
  . "$STATE/engine-network"
  for table in filter nat; do
    delete_rules $table "$BRIDGE|-s 10\.[0-9]+\.0\.0/24 ! -o $BRIDGE"
  done
  if [ "$chains" != 0 ] || other_engine; then return 0; fi
  for table in filter nat; do
    delete_rules $table '-j DOCKER'
    for chain in $(iptables -t $table -S 2>/dev/null | awk '$1 == "-N" && $2 ~ /^DOCKER/ { print $2 }'); do iptables -t $table -F "$chain" || true; done
    for chain in $(iptables -t $table -S 2>/dev/null | awk '$1 == "-N" && $2 ~ /^DOCKER/ { print $2 }'); do iptables -t $table -X "$chain" || true; done
  done
  [ -z "$policy" ] || iptables -P FORWARD "$policy" 2>/dev/null || true
  [ -z "$forward" ] || echo "$forward" >/proc/sys/net/ipv4/ip_forward || true
}

# Processes of our own engine, known by its folder on their command line.
own_processes() {
  local dir
  for dir in /proc/[0-9]*; do
    if tr "\0" " " 2>/dev/null <"$dir/cmdline" | grep -qE "^[^ ]*(dockerd|containerd|containerd-shim[^ ]*|docker-proxy) .*$RUN/exec"; then
      echo "${dir#/proc/}"
    fi
  done
}

stop_engine() {
  [ -e "$STATE/engine-owned" ] || return 0
  local pid waited mount
  if pid=$(own_pid); then
    say 'stopping the Docker Engine'
    kill -TERM "$pid" 2>/dev/null || true
    for waited in $(seq 1 100); do
      [ -d "/proc/$pid" ] || break
      [ "$waited" != 90 ] || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.2
    done
  fi
  for pid in $(own_processes); do kill -KILL "$pid" 2>/dev/null || true; done
  while read -r mount; do
    umount -l "$mount" 2>/dev/null || true
  done < <(awk -v a="$STATE/engine" -v b="$RUN/" 'index($2, a) == 1 || index($2, b) == 1 { print $2 }' /proc/mounts | sort -r)
  restore_network
  rm -rf --one-file-system "$STATE/engine" "$RUN"
  rm -f "$STATE/engine-owned" "$STATE/engine-network"
}

# ---- services

wait_for() { # seconds command...
  local end=$(($(date +%s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$end" ] || return 1
    sleep 0.1
  done
}

running() { [ "$(docker inspect -f '{{.State.Running}}' "$1" 2>/dev/null)" = true ]; }

run_service() { # name arguments...
  local name=$1 error
  shift
  docker rm -fv "$name" >/dev/null 2>&1 || true
  if ! error=$(docker run -d --name "$name" --label org.mastopatch.lab=1 "$@" 2>&1); then
    docker rm -fv "$name" >/dev/null 2>&1 || true
    echo "$error" >&2
    die "container $name did not start; if its port is taken, choose others with LAB_REGISTRY_PORT and LAB_SMTP_PORT."
  fi
}

start_registry_on() { # storage folder
  run_service mplab-registry -p "$REGISTRY:5000" -v "$1:/var/lib/registry" mastopatch-lab/registry
  wait_for 20 curl -sf --noproxy '*' "http://$REGISTRY/v2/" ||
    die "the lab registry does not answer on $REGISTRY: see docker logs mplab-registry."
}

# The registry works on a copy, so that a test may push and delete as it likes.
ensure_registry() {
  if running mplab-registry && [ "$(cat "$STATE/registry-hash" 2>/dev/null)" = "$HASH" ]; then return 0; fi
  say 'starting the registry'
  docker rm -fv mplab-registry >/dev/null 2>&1 || true
  rm -rf --one-file-system "$STATE/registry"
  cp -a --reflink=auto "$IMAGES/registry" "$STATE/registry"
  docker load -q -i "$IMAGES/registry-image.tar" >/dev/null
  start_registry_on "$STATE/registry"
  echo "$HASH" >"$STATE/registry-hash"
}

smtp_greets() { curl -sf --noproxy '*' -m 5 "smtp://127.0.0.1:$SMTP_PORT" -X NOOP; }

ensure_mail() {
  if running mplab-mail; then return 0; fi
  say 'starting the mail server'
  mkdir -p "$STATE/mail"
  docker pull -q "$REGISTRY/lab/mail:latest" >/dev/null || die "the mail image is not in the lab registry: run 'lab.sh purge' and 'lab.sh up' again."
  run_service mplab-mail -p "127.0.0.1:$SMTP_PORT:25" -v "$STATE/mail:/mail" -e "LAB_UID=${SUDO_UID:-0}" "$REGISTRY/lab/mail:latest"
  wait_for 20 smtp_greets || die "the lab mail server does not answer on port $SMTP_PORT: see docker logs mplab-mail."
}

write_env() {
  local owned=0
  [ ! -e "$STATE/engine-owned" ] || owned=1
  mkdir -p "$STATE/sites"
  chown "${SUDO_UID:-0}:${SUDO_GID:-0}" "$STATE/sites"
  cat >"$STATE/env.new" <<ENV
DOCKER_HOST=$DOCKER_HOST
LAB_REGISTRY=$REGISTRY
LAB_SMTP=127.0.0.1:$SMTP_PORT
LAB_MAILDIR=$STATE/mail
LAB_COMPOSE="$COMPOSE"
LAB_ENGINE_OWNED=$owned
LAB_DIR=$LAB_DIR
LAB_STATE=$STATE
LAB_SITES=$STATE/sites
ENV
  mv "$STATE/env.new" "$STATE/env"
}

# The user's own client settings (credential helpers, proxies for builds) are none of the lab's business.
private_client() {
  mkdir -p "$STATE/client"
  export DOCKER_CONFIG=$STATE/client
}

# ---- what is ours, in an engine that may be somebody else's

ours() { # reads "id name label project instance" lines, prints the ids that are ours
  awk -F'\t' '$2 ~ /^mplab/ || $3 != "" || $4 ~ /^mplab/ || $5 ~ /^mplab/ { print $1 }'
}

# One listing for each kind; "-" never appears as a label value of ours.
LABELS='{{.Label "org.mastopatch.lab"}}\t{{.Label "com.docker.compose.project"}}\t{{.Label "org.mastopatch.instance"}}'

sweep_containers() {
  local ids
  mapfile -t ids < <({
    docker ps -aq --no-trunc --filter label=org.mastopatch.lab
    docker ps -a --no-trunc --format "{{.ID}}\t{{.Names}}\t$LABELS" | ours
  } | sort -u)
  if [ ${#ids[@]} -gt 0 ]; then
    say "removing ${#ids[@]} containers"
    docker rm -fv "${ids[@]}" >/dev/null 2>&1 || docker rm -fv "${ids[@]}" >/dev/null 2>&1 || true
  fi
}

sweep_networks() {
  local id other
  for id in $({
    docker network ls -q --no-trunc --filter label=org.mastopatch.lab
    docker network ls --no-trunc --format "{{.ID}}\t{{.Name}}\t$LABELS" | ours
  } | sort -u); do
    for other in $(docker network inspect -f '{{range $id, $_ := .Containers}}{{$id}} {{end}}' "$id" 2>/dev/null); do
      docker network disconnect -f "$id" "$other" >/dev/null 2>&1 || true
    done
    docker network rm "$id" >/dev/null 2>&1 || say "could not remove network $id"
  done
}

sweep_volumes() {
  local name
  for name in $({
    docker volume ls -q --filter label=org.mastopatch.lab
    docker volume ls --format "{{.Name}}\t{{.Name}}\t$LABELS" | ours
  } | sort -u); do
    docker volume rm -f "$name" >/dev/null 2>&1 || say "could not remove volume $name"
  done
}

# References by prefix (the registry keeps its image while its container runs), then whatever carries our label.
sweep_images() {
  local refs ids
  mapfile -t refs < <(docker images --digests --format '{{.Repository}}\t{{.Tag}}\t{{.Digest}}' |
    awk -F'\t' -v registry="$REGISTRY/" 'index($1, registry) == 1 || $1 ~ /^mastopatch-(lab|keep)\// {
      if ($2 != "<none>") print $1 ":" $2; else if ($3 != "<none>") print $1 "@" $3 }' | sort -u)
  [ ${#refs[@]} -eq 0 ] || docker rmi -f "${refs[@]}" >/dev/null 2>&1 || true
  mapfile -t ids < <(docker images -aq --filter label=org.mastopatch.lab | sort -u)
  [ ${#ids[@]} -eq 0 ] || docker rmi -f "${ids[@]}" >/dev/null 2>&1 || true
}

sweep() {
  sweep_containers
  sweep_networks
  sweep_volumes
  sweep_images
}

# On our own engine everything is ours, and images and volumes go with its folder.
sweep_own() {
  local ids
  mapfile -t ids < <(docker ps -aq --no-trunc)
  [ ${#ids[@]} -eq 0 ] || docker rm -fv "${ids[@]}" >/dev/null 2>&1 || true
  mapfile -t ids < <(docker network ls -q --no-trunc --filter type=custom)
  [ ${#ids[@]} -eq 0 ] || docker network rm "${ids[@]}" >/dev/null 2>&1 || true
}

# ---- commands

cmd_up() {
  as_root up
  take_lock
  mkdir -p "$STATE" "$CACHE"
  chmod 755 "$STATE"
  ensure_engine
  need_package curl curl
  # A file system that shares blocks, for databases in tests.
  need_package mkfs.btrfs btrfs-progs
  COMPOSE=$(compose_command)
  if [ -z "$COMPOSE" ]; then
    apt_install docker-compose
    COMPOSE=$(compose_command)
  fi
  [ -n "$COMPOSE" ] || die "neither 'docker compose' nor 'docker-compose' works: install one (apt-get install docker-compose) and try again."
  private_client
  ensure_images
  ensure_registry
  ensure_mail
  write_env
  say "up: $(grep -c . <(releases)) releases in $REGISTRY, mail on 127.0.0.1:$SMTP_PORT, environment in $STATE/env"
}

cmd_down() {
  as_root down
  take_lock
  if command -v docker >/dev/null; then
    if [ -e "$STATE/engine-owned" ] && ! answers "$OWN_HOST" && [ -n "$(own_processes)" ]; then
      say 'our engine was killed: starting it once more to clean up'
      (start_engine) || true
    fi
    if find_engine; then
      private_client
      if [ "$DOCKER_HOST" = "$OWN_HOST" ]; then sweep_own; else sweep; fi
    fi
  fi
  stop_engine
  rm -rf --one-file-system "$STATE"
  if [ -e "$CACHE/lock" ]; then # unless another lab is just building
    flock -n "$CACHE/lock" rm -rf --one-file-system "$CACHE"/work.* "$CACHE"/*.new || true
  fi
  say 'down'
}

cmd_purge() {
  as_root purge
  take_lock
  cmd_down
  rm -rf --one-file-system "$CACHE"
  say "removed $CACHE"
}

cmd_run() {
  [ $# -gt 0 ] || die 'run needs a command: lab.sh run CMD ARGUMENT...'
  take_lock
  # Not local: the trap runs after the function is left, too.
  child='' code=0
  # shellcheck disable=SC2317
  finish() {
    code=$?
    trap '' INT TERM HUP
    trap - EXIT
    if [ -n "$child" ] && kill -0 -- "-$child" 2>/dev/null; then
      kill -TERM -- "-$child" 2>/dev/null || true
      wait_for 20 eval "! kill -0 -- -$child" || kill -KILL -- "-$child" 2>/dev/null || true
    fi
    if ! "$SELF" down 9<&-; then
      echo "lab: cleaning up failed: run '$SELF down' again." >&2
      [ "$code" != 0 ] || code=1
    fi
    exit "$code"
  }
  trap finish EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  if [ -e "$STATE" ]; then
    say 'removing what an earlier run left'
    "$SELF" down 9<&-
  fi
  "$SELF" up 9<&-
  set -a
  # shellcheck disable=SC1091
  . "$STATE/env"
  set +a
  answers "$DOCKER_HOST" || die "the engine at $DOCKER_HOST does not let this user in: add yourself to group docker, or run this as root."
  set -m # a process group of its own, so that it can be ended as a whole
  "$@" <&0 9<&- &
  child=$!
  set +m
  wait "$child" || code=$?
  exit "$code"
}

cmd_site() {
  [ $# -gt 0 ] || die 'site needs a name: lab.sh site mplabdemo'
  local name=$1 tag=v4.3.20 web=3300 streaming=4300 domain='' dir='' file=docker-compose.yml
  shift
  [[ $name =~ ^mplab[a-z0-9]*$ ]] || die "a site's name must be mplab and then small letters and digits, so that down finds what it leaves; $name is not."
  while [ $# -gt 0 ]; do
    case $1 in
      --tag) tag=$2; shift 2 ;;
      --web-port) web=$2; shift 2 ;;
      --streaming-port) streaming=$2; shift 2 ;;
      --domain) domain=$2; shift 2 ;;
      --dir) dir=$2; shift 2 ;;
      --dotenv) file=docker-compose.dotenv.yml; shift ;;
      *) die "site does not know $1: see lab.sh --help." ;;
    esac
  done
  dir=${dir:-$STATE/sites/$name}
  domain=${domain:-$name.lab.test}
  mkdir -p "$dir/public/system" "$dir/postgres14" "$dir/redis"
  chmod 777 "$dir/public/system"
  local fill=(-e "s|@REGISTRY@|$REGISTRY|g" -e "s|@TAG@|$tag|g" -e "s|@WEB_PORT@|$web|g" -e "s|@STREAMING_PORT@|$streaming|g" -e "s|@LOCAL_DOMAIN@|$domain|g")
  sed "${fill[@]}" "$LAB_DIR/compose/$file" >"$dir/docker-compose.yml"
  sed "${fill[@]}" "$LAB_DIR/compose/env.production" >"$dir/.env.production"
  { [ "$file" = docker-compose.yml ] || sed "${fill[@]}" "$LAB_DIR/compose/dotenv"; echo "COMPOSE_PROJECT_NAME=$name"; } >"$dir/.env"
  chmod 600 "$dir/.env.production"
  echo "$dir"
}

# The registry and the mail server have no restart policy: they come back by this hand, everything else by its own.
cmd_engine() {
  [ "${1:-}" = restart ] && [ $# = 1 ] || die 'engine knows one thing: lab.sh engine restart.'
  as_root engine restart
  take_lock
  local pid
  [ -e "$STATE/engine-owned" ] || die "the engine is not the lab's, so it is not restarted."
  pid=$(own_pid) || die "the lab's engine does not run."
  kill -TERM "$pid"
  wait_for 90 eval "! [ -d /proc/$pid ]" || die "the lab's engine does not end: see $STATE/dockerd.log."
  start_engine
  docker start mplab-registry mplab-mail >/dev/null
  wait_for 20 curl -sf --noproxy '*' "http://$REGISTRY/v2/" || die 'the registry did not come back.'
  wait_for 20 smtp_greets || die 'the mail server did not come back.'
}

cmd_status() {
  if find_engine; then
    if [ -e "$STATE/engine-owned" ]; then echo "engine: ours, $DOCKER_HOST"; else echo "engine: $DOCKER_HOST (not ours)"; fi
    docker ps -a --filter label=org.mastopatch.lab --format '{{.Names}}\t{{.Image}}\t{{.Status}}'
  else
    echo 'engine: none answers'
  fi
  if [ -e "$STATE/env" ]; then cat "$STATE/env"; else echo 'lab: down'; fi
  if [ -e "$CACHE/$(inputs_hash)/complete" ]; then echo "images: built, in $CACHE"; else echo 'images: not built for these sources'; fi
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
  up | down | purge | status)
    if [ "${1:-}" = --help ]; then usage; exit 0; fi
    [ $# -eq 0 ] || die "$command takes no arguments: see lab.sh --help."
    "cmd_$command"
    ;;
  run | site | engine)
    if [ "${1:-}" = --help ]; then usage; exit 0; fi
    "cmd_$command" "$@"
    ;;
  help | --help | -h) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
