# One command per thing, the same by hand and in CI. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

LAB := tests/lab/lab.sh
PREPARE := .ci/prepare
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

# Seconds for each fuzz target, and which; FUZZ_FLAGS='--sanitizer none' where the address sanitizer does not work.
FUZZ_SECONDS := 600
FUZZ_TARGETS := release_body range version feed_json config policy calendar
FUZZ_FLAGS :=
# How long `make soak` goes on, and from which seed: another one each time. About nine runs of ten by chance are interrupted.
SOAK_RUNS := 11500000
SOAK_FIRST := $(shell date +%s)00000000
SOAK_MINUTES := 600
# SQLite is linked, not fuzzed, and takes minutes to optimise under the address sanitizer.
FUZZ = CFLAGS=-O0 PATH="$(CURDIR)/target/tools/bin:$$PATH" CARGO_TARGET_DIR="$(abspath $(TARGET_DIR))/fuzz" cargo +nightly fuzz

export CLIPPY_CONF_DIR := $(CURDIR)/.ci

# What is built as an ordinary user is run as root: it speaks to the engine and reads files that containers
# wrote. Cargo starts every program through this.
ifneq ($(shell id -u),0)
host := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
ifneq ($(host),)
export CARGO_TARGET_$(host)_RUNNER := sudo -E
endif
endif

.PHONY: help check test soak mutants demo bench fuzz package clean

help: ## list these targets
	@echo 'usage: make TARGET'
	@sed -nE 's/^([a-z]+):[^#]*## (.*)$$/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

check: ## format, lints, documentation and licences; needs no Docker, changes nothing
	@$(PREPARE) cargo cc rustfmt clippy
	@echo 'check: formatting'
	cargo fmt --check
	@echo 'check: lints'
	cargo clippy --locked --all-targets -- -D warnings
	@echo 'check: documentation'
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
	@if cargo deny --version >/dev/null 2>&1; then \
	  echo 'check: licences and sources of dependencies'; \
	  cargo deny check --config .ci/deny.toml bans licenses sources; \
	else \
	  echo 'check: SKIPPED licences and sources of dependencies: cargo-deny is not installed (cargo install cargo-deny --locked)'; \
	fi
	@if command -v systemd-analyze >/dev/null; then \
	  echo 'check: units'; \
	  units=$$(mktemp -d); trap 'rm -rf "$$units"' EXIT; \
	  for unit in systemd/*.service; do sed 's|/usr/bin/mastopatch|/bin/true|' "$$unit" >"$$units/$$(basename "$$unit")"; done; \
	  said=$$(systemd-analyze verify "$$units"/*.service 2>&1 | grep -F mastopatch || true); \
	  if [ -n "$$said" ]; then echo "$$said" >&2; exit 1; fi; \
	else \
	  echo 'check: SKIPPED units: systemd-analyze is not installed (apt-get install systemd)'; \
	fi
	@echo 'check: all good'

test: ## every test, on a real engine in the lab; starts what it needs and takes it down again
	@$(PREPARE) cargo cc root python tzdata systemd-analyze
	@echo 'test: building everything first, so that mistakes come early; the first time, the lab builds its images beside it'
	@$(LAB) run true & images=$$!; built=0; cargo test --locked --no-run || built=$$?; wait $$images && exit $$built
	@echo 'test: starting the lab'
	$(LAB) run cargo test --locked --no-fail-fast
	@echo 'test: all good'

mutants: ## change what decides about a run in small ways, one at a time, and see that a test notices; most of a day
	@$(PREPARE) cargo cc
	@cargo mutants --version >/dev/null 2>&1 || { echo 'mutants: cargo-mutants is not installed (cargo install cargo-mutants --locked)' >&2; exit 1; }
	cargo mutants --config .ci/mutants.toml --output $(TARGET_DIR)

soak: ## interruptions without end: SOAK_RUNS (11,500,000) in the simulated world, then SOAK_MINUTES (600) on a real engine
	@$(PREPARE) cargo cc root
	@echo 'soak: building'
	cargo test --locked --release --no-run --test simulated
	cargo test --locked --no-run --test interrupted
	@echo 'soak: $(SOAK_RUNS) runs by chance in the simulated world, from seed $(SOAK_FIRST)'
	FIRST=$(SOAK_FIRST) RUNS=$(SOAK_RUNS) cargo test --locked --release --test simulated -- by_chance --nocapture
	@echo 'soak: $(SOAK_MINUTES) minutes of interruptions on a real engine'
	SOAK=1 SOAK_MINUTES=$(SOAK_MINUTES) $(LAB) run cargo test --locked --test interrupted
	@echo 'soak: all good'

demo: ## three updates of a practice Mastodon, told as they happen: a patch, a minor, and one that is rolled back
	@$(PREPARE) cargo cc root
	@echo 'demo: building'
	cargo build --locked --bin mastopatch --example demo
	@echo 'demo: starting the lab; the first time its images are built, which takes some minutes'
	$(LAB) run cargo run --quiet --locked --example demo

bench: ## decisions about 10,000 instances; downtime of one patch beside `pull; up -d`; copies of databases (BENCH_SIZES="100M 1G"); what a rehearsal expects
	@$(PREPARE) cargo cc root restic
	@echo 'bench: building for release, to measure decisions'
	cargo run --quiet --locked --release --example decide
	@echo 'bench: building'
	cargo build --locked --bin mastopatch --example bench --example copies --example rehearsed
	@echo 'bench: starting the lab; the first time its images are built, which takes some minutes'
	$(LAB) run bash -c 'cargo run --quiet --locked --example bench && cargo run --quiet --locked --example copies && cargo run --quiet --locked --example rehearsed'

fuzz: ## throws odd input at every parser, FUZZ_SECONDS (600) each; needs the nightly toolchain
	@$(PREPARE) cargo cc
	@cargo +nightly --version >/dev/null 2>&1 || { \
	  echo "fuzz: the nightly toolchain is not here: run 'rustup toolchain install nightly --profile minimal' and try again." >&2; exit 1; }
	@command -v c++ >/dev/null || { \
	  echo "fuzz: a C++ compiler is needed to build libFuzzer: run 'apt-get install g++' as root and try again." >&2; exit 1; }
	@if ! PATH="$(CURDIR)/target/tools/bin:$$PATH" cargo fuzz --version >/dev/null 2>&1; then \
	  echo 'fuzz: building cargo-fuzz into target/tools, once'; \
	  cargo install cargo-fuzz --version '^0.13' --locked --root target/tools; \
	fi
	@echo 'fuzz: building; the first time this takes some minutes'
	@$(FUZZ) build --fuzz-dir tests/fuzz $(FUZZ_FLAGS)
	@for target in $(FUZZ_TARGETS); do \
	  found="$(abspath $(TARGET_DIR))/fuzz/corpus/$$target"; crashes="$(CURDIR)/tests/fuzz/crashes/$$target"; \
	  mkdir -p "$$found" "$$crashes"; \
	  echo "fuzz: $$target for $(FUZZ_SECONDS) s"; \
	  $(FUZZ) run --fuzz-dir tests/fuzz $(FUZZ_FLAGS) "$$target" "$$found" "$(CURDIR)/tests/fuzz/corpus/$$target" -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 -artifact_prefix="$$crashes/" 2>&1 \
	    | grep -vE '^#[0-9]+[[:space:]]+(REDUCE|NEW|pulse|RELOAD)|^[[:space:]]*NEW_FUNC' || \
	    { echo "fuzz: $$target failed; the input is in tests/fuzz/crashes/$$target, and cargo test --test fuzz_corpus replays it" >&2; exit 1; }; \
	  rmdir --ignore-fail-on-non-empty "$$crashes" "$$(dirname "$$crashes")" 2>/dev/null || true; \
	done
	@echo 'fuzz: all good'

package: ## a Debian package with binary, unit, policies and example configuration
	@$(PREPARE) cargo cc dpkg-deb
	@if ! PATH="$(CURDIR)/target/tools/bin:$$PATH" cargo deb --version >/dev/null 2>&1; then \
	  echo 'package: building cargo-deb into target/tools, once'; \
	  cargo install cargo-deb --version '^3' --locked --root target/tools; \
	fi
	@echo 'package: building'
	PATH="$(CURDIR)/target/tools/bin:$$PATH" cargo deb --locked --output "$(abspath $(TARGET_DIR))/debian/mastopatch.deb"
	@dpkg-deb -c "$(abspath $(TARGET_DIR))/debian/mastopatch.deb"
	@echo 'package: $(abspath $(TARGET_DIR))/debian/mastopatch.deb'

clean: ## remove what was built, and everything the lab left, its cached images too
	@$(PREPARE) cargo
	cargo clean
	$(LAB) purge
