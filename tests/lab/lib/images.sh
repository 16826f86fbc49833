# shellcheck shell=bash
# The images of the lab: built once, kept as the storage folder of the lab's own registry in $CACHE/<hash>.
# Sourced by lab.sh.

# Everything that decides what is in the images.
inputs_hash() {
  (
    cd "$LAB_DIR" || exit
    {
      base_key
      for role in "${ROLES[@]}"; do role_key "$role"; done
      for role in "${SERVERS[@]}"; do basename "$(server_tar "$role")"; done
      find app images streaming releases lib/images.sh -type f ! -name '*.md' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c1-16
  )
}

# tag line schema sets flaws, one release a line
releases() { grep -v '^#' "$LAB_DIR/releases/releases.conf" | sed '/^[[:space:]]*$/d'; }

ensure_images() {
  HASH=$(inputs_hash)
  IMAGES=$CACHE/$HASH
  exec 8>"$CACHE/lock"
  if ! flock -n 8; then
    say 'waiting: another lab is building images'
    flock 8
  fi
  make_images
  exec 8>&-
}

make_images() {
  if [ -e "$IMAGES/complete" ]; then
    touch "$IMAGES/complete"
    return 0
  fi
  say "building the images (once; later starts take them from $CACHE)"
  ensure_rootfs
  build_images
  prune_cache
}

build() { # name context [docker build arguments...]
  local name=$1 context=$2
  shift 2
  DOCKER_BUILDKIT=0 docker build --network none -q -t "mastopatch-lab/$name" "$@" "$context" >>"$BUILD_LOG" 2>&1 ||
    die_with "$BUILD_LOG" "building image $name failed: see above and $BUILD_LOG, correct it and try again."
}

# A build context out of hard links and copies: images/<name> plus what it needs.
context() { # name files-or-folders...
  local name=$1 dir=$BUILD_DIR/$1
  shift
  mkdir -p "$dir"
  cp -a "$LAB_DIR/images/$name/." "$dir/"
  while [ $# -gt 0 ]; do
    case $1 in
      *.tar) ln "$1" "$dir/$2" 2>/dev/null || cp "$1" "$dir/$2"; shift 2 ;;
      *) cp -a "$LAB_DIR/$1" "$dir/"; shift ;;
    esac
  done
  echo "$dir"
}

build_images() {
  local new=$CACHE/$HASH.new tag line schema sets flaws
  rm -rf --one-file-system "$new"
  mkdir -p "$new/registry"
  BUILD_LOG=$CACHE/build.log
  : >"$BUILD_LOG"
  BUILD_DIR=$(mktemp -d "$CACHE/work.XXXXXX")
  local role
  say 'building image base'
  build base "$(context base "$(base_tar)" base.tar)"
  say 'building image registry'
  build registry "$(context registry "$(role_tar registry)" registry.tar)"
  docker save -o "$new/registry-image.tar" mastopatch-lab/registry
  start_registry_on "$new/registry"
  for role in postgres redis mail; do
    say "building image $role"
    build "$role" "$(context "$role" "$(role_tar "$role")" "$role.tar")"
  done
  for role in "${SERVERS[@]}"; do
    say "building image postgres:$role"
    build "postgres$role" "$(context server "$(server_tar "$role")" server.tar images/postgres/entrypoint.sh)" --build-arg "MAJOR=$role" --build-arg "PGDATA=$(server_folder "$role")"
    rm -rf "$BUILD_DIR/server"
    push "postgres$role" "lab/postgres:$role"
  done
  say 'building image mastodon (common part)'
  build mastodon "$(context mastodon "$(role_tar ruby)" ruby.tar app)"
  say 'building image mastodon-streaming (common part)'
  build streaming "$(context streaming "$(role_tar node)" node.tar streaming)"
  push postgres lab/postgres:15
  push redis lab/redis:7
  push mail lab/mail:latest
  push registry lab/registry:latest
  while read -r tag line schema sets flaws; do
    say "building image mastodon:$tag"
    build_release "$tag" "$line" "$schema" "$sets" "$flaws"
  done < <(releases)
  docker rm -fv mplab-registry >/dev/null
  rm -rf "$BUILD_DIR"
  sweep_images
  touch "$new/complete"
  rm -rf --one-file-system "$IMAGES"
  mv "$new" "$IMAGES"
}

server_folder() { # version
  if [ "$1" -ge 18 ]; then echo "/var/lib/postgresql/$1/docker"; else echo /var/lib/postgresql/data; fi
}

build_release() { # tag line schema sets flaws
  local tag=$1 line=$2 schema=$3 flaws=$5 number=${1#v} sets set commit text ruby_flaws='' js_flaws='' dir=$BUILD_DIR/release-$1
  IFS=, read -ra sets <<<"$4"
  mkdir -p "$dir/opt/lib/mastodon" "$dir/opt/db"
  cp "$LAB_DIR/images/release/Dockerfile" "$dir/"
  for set in "${sets[@]}"; do cp -a "$LAB_DIR/releases/migrations/$set/db/." "$dir/opt/db/"; done
  if [ "$flaws" != - ]; then
    ruby_flaws=":${flaws//,/, :}"
    js_flaws="\"${flaws//,/\", \"}\""
  fi
  cat >"$dir/opt/lib/mastodon/release.rb" <<RUBY
# frozen_string_literal: true

module Mastodon
  module Release
    NUMBER = '$number'
    LINE = '$line'
    SCHEMA = '$schema'
    FLAWS = [$ruby_flaws].freeze
  end
end
RUBY
  text="mastodon-lab $tag"
  if [[ $flaws == *other_commit* ]]; then text='mastodon-lab v0.0.0'; fi
  commit=$(printf '%s' "$text" | sha1sum | cut -d' ' -f1)
  build "release-$tag" "$dir" --build-arg "SOURCE_COMMIT=$commit"
  push "release-$tag" "mastodon/mastodon:$tag"
  if [[ $flaws == *no_streaming_image* ]]; then return 0; fi
  dir=$BUILD_DIR/streaming-$tag
  mkdir -p "$dir"
  cp "$LAB_DIR/images/streaming-release/Dockerfile" "$dir/"
  echo "{ \"number\": \"$number\", \"flaws\": [$js_flaws] }" >"$dir/release.json"
  build "streaming-$tag" "$dir" --build-arg "SOURCE_COMMIT=$commit"
  push "streaming-$tag" "mastodon/mastodon-streaming:$tag"
}

push() { # local-name reference
  docker tag "mastopatch-lab/$1" "$REGISTRY/$2"
  docker push "$REGISTRY/$2" >>"$BUILD_LOG" 2>&1 || die_with "$BUILD_LOG" "pushing $2 into the lab registry failed: see above; free disk space under $CACHE is worth a look."
}

# Keeps the three newest sets of images and the root file systems in use.
prune_cache() {
  local old file keep
  while read -r old; do
    rm -rf --one-file-system "$old"
  done < <(find "$CACHE" -mindepth 2 -maxdepth 2 -name complete -printf '%T@ %h\n' | sort -rn | tail -n +4 | cut -d' ' -f2-)
  keep=" $(base_tar)"
  for file in "${ROLES[@]}"; do keep+=" $(role_tar "$file")"; done
  for file in "${SERVERS[@]}"; do keep+=" $(server_tar "$file")"; done
  for file in "$CACHE"/rootfs/*.tar; do
    [[ "$keep " == *" $file "* ]] || rm -f "$file"
  done
}
