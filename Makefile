# One command per thing, the same by hand and in CI. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

LAB := tests/lab/lab.sh
PREPARE := .ci/prepare
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

export CLIPPY_CONF_DIR := $(CURDIR)/.ci

# What is built as an ordinary user is run as root: it speaks to the engine and reads files that containers
# wrote. Cargo starts every program through this.
ifneq ($(shell id -u),0)
host := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
ifneq ($(host),)
export CARGO_TARGET_$(host)_RUNNER := sudo -E
endif
endif

.PHONY: help check test demo bench package clean

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
	@$(PREPARE) cargo cc root
	@echo 'test: building everything first, so that mistakes come early'
	cargo test --locked --no-run
	@echo 'test: starting the lab; the first time its images are built, which takes some minutes'
	$(LAB) run cargo test --locked --no-fail-fast
	@echo 'test: all good'

demo: ## three updates of a practice Mastodon, told as they happen: a patch, a minor, and one that is rolled back
	@$(PREPARE) cargo cc root
	@echo 'demo: building'
	cargo build --locked --bin mastopatch --example demo
	@echo 'demo: starting the lab; the first time its images are built, which takes some minutes'
	$(LAB) run cargo run --quiet --locked --example demo

bench: ## downtime of one patch: mastopatch apply beside `docker-compose pull; docker-compose up -d`
	@$(PREPARE) cargo cc root
	@echo 'bench: building'
	cargo build --locked --bin mastopatch --example bench
	@echo 'bench: starting the lab; the first time its images are built, which takes some minutes'
	$(LAB) run cargo run --quiet --locked --example bench

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
