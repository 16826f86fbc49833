# shellcheck shell=bash
# Debian root file systems: one base from debootstrap and, per role, a tar of what its packages add to the base.
# Sourced by lab.sh. Cached under $CACHE/rootfs, keyed by the package lists.

SUITE=bookworm
ROOTFS_FORMAT=1
BASE_PACKAGES=tini,curl,ca-certificates,procps
declare -A ROLE_PACKAGES=(
  [ruby]='ruby ruby-railties ruby-activerecord ruby-actionpack puma ruby-sidekiq ruby-pg ruby-redis ruby-bootsnap bundler tzdata'
  [node]='nodejs node-ws node-redis'
  [postgres]='postgresql-15'
  [redis]='redis-server'
  [registry]='docker-registry'
  [mail]='opensmtpd'
)
ROLES=(ruby node postgres redis registry mail)
# The PostgreSQL of other Debians, each with a root file system of its own: the oldest, the next, the newest there is.
declare -A SERVER_SUITES=([13]=bullseye [17]=trixie [18]=forky)
SERVERS=(13 17 18)
TAR_EXCLUDES=(
  --exclude=./dev/\* --exclude=./proc/\* --exclude=./sys/\* --exclude=./tmp/\* --exclude=./run/\*
  --exclude=./var/cache/apt/\* --exclude=./var/lib/apt/lists/\* --exclude=./var/log/\* --exclude=./etc/resolv.conf
  --exclude=./usr/share/doc/\* --exclude=./usr/share/man/\* --exclude=./usr/share/info/\* --exclude=./usr/share/locale/\*
  --exclude=./usr/sbin/policy-rc.d --exclude=./etc/apt/apt.conf.d/90lab-proxy --exclude=./etc/dpkg/dpkg.cfg.d/lab
  --exclude=./var/lib/postgresql/\* --exclude=./etc/postgresql/\* --exclude=./usr/lib/postgresql/\*/lib/bitcode
  --exclude=./usr/lib/postgresql/\*/lib/llvmjit\* --exclude=./usr/lib/\*/libLLVM\* --exclude=./usr/lib/llvm-\*
)

rootfs_key() { printf '%s\n' "$@" "$ROOTFS_FORMAT" "$SUITE" "$(dpkg --print-architecture)" | sha256sum | cut -c1-16; }
base_key() { rootfs_key base "$BASE_PACKAGES" "${TAR_EXCLUDES[*]}"; }
role_key() { rootfs_key "$(base_key)" "$1" "${ROLE_PACKAGES[$1]}"; }
base_tar() { echo "$CACHE/rootfs/base-$(base_key).tar"; }
server_tar() { echo "$CACHE/rootfs/postgres$1-$(rootfs_key server "$1" "${SERVER_SUITES[$1]}" "${TAR_EXCLUDES[*]}").tar"; }
role_tar() { echo "$CACHE/rootfs/$1-$(role_key "$1").tar"; }

# The mirror that this host itself uses, from apt's own lists; nothing if it uses none.
debian_site() { # label
  # shellcheck disable=SC2016 # apt's own placeholders
  apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(SITE)' 'Created-By: Packages' 2>/dev/null |
    awk -F'|' -v label="$1" '$1 == "Debian" && $2 == label && $3 == "main" && $4 ~ /^https?:/ { print $4; exit }' || true
}

# Makes sure that apt has lists, for they name the mirrors.
need_mirror() {
  [ -z "$(debian_site Debian)" ] || return 0
  apt-get -qq update >/dev/null 2>&1 || true
  [ -n "$(debian_site Debian)" ] ||
    die "apt knows no Debian mirror: put Debian $SUITE main into /etc/apt/sources.list and run apt-get update."
}

apt_proxy() {
  local value
  value=$(apt-config dump --format '%v%n' Acquire::http::Proxy 2>/dev/null | head -n 1) || true
  echo "${value:-${http_proxy:-${HTTP_PROXY:-}}}"
}

# Makes every missing tar; several roles at a time.
ensure_rootfs() {
  local missing=() servers=() role
  for role in "${ROLES[@]}"; do
    [ -s "$(role_tar "$role")" ] || missing+=("$role")
  done
  for role in "${SERVERS[@]}"; do
    [ -s "$(server_tar "$role")" ] || servers+=("$role")
  done
  if [ ${#missing[@]} -eq 0 ] && [ ${#servers[@]} -eq 0 ] && [ -s "$(base_tar)" ]; then return 0; fi
  need_package debootstrap debootstrap
  mkdir -p "$CACHE/rootfs"
  local work proxy
  work=$(mktemp -d "$CACHE/work.XXXXXX")
  proxy=$(apt_proxy)
  [ -s "$(base_tar)" ] || make_base "$work" "$proxy"
  [ ${#missing[@]} -eq 0 ] || make_roles "$work" "$proxy" "${missing[@]}"
  [ ${#servers[@]} -eq 0 ] || make_servers "$work" "$proxy" "${servers[@]}"
  rm -rf --one-file-system "$work"
}

make_base() { # work proxy
  local log=$CACHE/rootfs/debootstrap.log site
  need_mirror
  site=$(debian_site Debian)
  say "debootstrap of Debian $SUITE (one to two minutes, log: $log)"
  http_proxy=$2 debootstrap --variant=minbase --include="$BASE_PACKAGES" "$SUITE" "$1/base" "$site" >"$log" 2>&1 ||
    die_with "$log" "debootstrap failed (log: $log); most often the Debian mirror cannot be reached from here, so check the network or the proxy and try again."
  tar -C "$1/base" "${TAR_EXCLUDES[@]}" -cf "$(base_tar).part" .
  mv "$(base_tar).part" "$(base_tar)"
}

# Lets apt install into a root file system: devices, names of hosts, and no service that starts.
make_installable() { # root proxy
  if [ ! -c "$1/dev/null" ]; then
    mkdir -p "$1/dev"
    mknod -m 666 "$1/dev/null" c 1 3
    mknod -m 666 "$1/dev/urandom" c 1 9
  fi
  cp -L /etc/resolv.conf "$1/etc/resolv.conf"
  [ -z "$2" ] || printf 'Acquire::http::Proxy "%s";\n' "$2" >"$1/etc/apt/apt.conf.d/90lab-proxy"
  echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/lab"
  printf '#!/bin/sh\nexit 101\n' >"$1/usr/sbin/policy-rc.d"
  chmod 755 "$1/usr/sbin/policy-rc.d"
}

make_servers() { # work proxy versions...
  local work=$1 proxy=$2 version pids=() failed=0
  shift 2
  need_mirror
  for version in "$@"; do
    say "PostgreSQL $version of Debian ${SERVER_SUITES[$version]} (some minutes)"
    make_server "$work" "$proxy" "$version" >"$CACHE/rootfs/postgres$version.log" 2>&1 &
    pids+=($!)
  done
  for version in "${pids[@]}"; do wait "$version" || failed=1; done
  [ $failed = 0 ] ||
    die "making the root file systems of other PostgreSQL servers failed: see $CACHE/rootfs/postgres*.log; most often the Debian mirror cannot be reached, so check the network and try again."
}

make_server() { # work proxy version
  local root=$1/server-$3 suite=${SERVER_SUITES[$3]} tar scripts=/usr/share/debootstrap/scripts
  tar=$(server_tar "$3")
  # A suite that this host's debootstrap does not know yet is made as the newest is.
  local script=$scripts/$suite
  [ -e "$script" ] || script=$scripts/sid
  http_proxy=$2 debootstrap --variant=minbase "$suite" "$root" "$(debian_site Debian)" "$script" || return 1
  make_installable "$root" "$2"
  # Maintainer scripts of newer Debians want /proc; in a mount namespace of its own it is gone with the command.
  # shellcheck disable=SC2016 # expanded by the inner shell
  DEBIAN_FRONTEND=noninteractive unshare --mount sh -c \
    'mount -t proc proc "$0/proc" && exec chroot "$0" apt-get install -y --no-install-recommends "$1"' "$root" "postgresql-$3" || return 1
  tar -C "$root" "${TAR_EXCLUDES[@]}" -cf "$tar.part" . && mv "$tar.part" "$tar" || return 1
  rm -rf --one-file-system "$root"
}

make_roles() { # work proxy roles...
  local work=$1 proxy=$2 role pids=() failed=0 base=$1/base
  shift 2
  if [ ! -d "$base" ]; then
    mkdir "$base"
    tar -C "$base" -xf "$(base_tar)"
  fi
  make_installable "$base" "$proxy"
  need_mirror
  local security
  security=$(debian_site Debian-Security)
  {
    echo "deb $(debian_site Debian) $SUITE main"
    [ -z "$security" ] || echo "deb $security $SUITE-security main"
  } >"$base/etc/apt/sources.list"
  chroot "$base" apt-get -qq update >"$CACHE/rootfs/update.log" 2>&1 ||
    die_with "$CACHE/rootfs/update.log" "apt-get update inside the new root file system failed; check the network or the proxy and try again."
  for role in "$@"; do
    say "packages of $role"
    make_role "$work" "$role" >"$CACHE/rootfs/$role.log" 2>&1 &
    pids+=($!)
  done
  for role in "${pids[@]}"; do wait "$role" || failed=1; done
  [ $failed = 0 ] ||
    die "installing packages into a root file system failed: see $CACHE/rootfs/*.log; most often the Debian mirror cannot be reached, so check the network and try again."
}

# What the packages add to the base is what has a newer change time than the copy of the base.
make_role() { # work role
  local root=$1/$2 tar packages
  tar=$(role_tar "$2")
  cp -a "$1/base" "$root"
  sleep 0.05
  touch "$root.stamp"
  sleep 0.05
  read -ra packages <<<"${ROLE_PACKAGES[$2]}"
  DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y --no-install-recommends "${packages[@]}" || return 1
  if [ "$2" = registry ]; then
    registry_only "$root" "$tar" || return 1
  else
    (cd "$root" && find . -mindepth 1 -cnewer "$root.stamp" \( -type f -o -type l -o -type d \) -print0) |
      tar -C "$root" "${TAR_EXCLUDES[@]}" --null --no-recursion -T - -cf "$tar.part" || return 1
    mv "$tar.part" "$tar"
  fi
  rm -rf --one-file-system "$root"
}

# The registry is one Go program: with its libraries it needs no Debian around it, and loads in a moment.
registry_only() { # root tar
  local files=(usr/bin/docker-registry) file
  while read -r file; do
    files+=("${file#/}")
  done < <(chroot "$1" ldd /usr/bin/docker-registry | grep -o '/[^ ]*')
  (cd "$1" && mkdir -p registry-only/var/lib/registry registry-only/tmp && cp -L --parents "${files[@]}" etc/passwd registry-only/ && chmod 1777 registry-only/tmp) || return 1
  tar -C "$1/registry-only" -cf "$2.part" . && mv "$2.part" "$2"
}
