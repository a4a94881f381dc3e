# `make` says what there is. Every target works from a clean clone: it fetches what it needs first.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PREFIX  ?= /usr/local
DESTDIR ?=
# SHORT=1: bench, fuzz and soak take seconds instead of minutes or hours.
SHORT   ?= 0

TARGET := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# Nextest's profile: `default` for people, `ci` on the build server.
NEXTEST_PROFILE ?= default

# Every kind of database server that is served.
DATABASES := postgres mysql mariadb mariadb-new

export PATH := $(CURDIR)/.cache/venv/bin:$(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
export PREFIX DESTDIR SHORT

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

.PHONY: build
build: ## the binary and the modules for database servers, for development
	@scripts/install-deps.sh build
	cargo build -p countersign -p pam_countersign -p auth_countersign

.PHONY: release
release: ## the binary and the modules for database servers, optimized
	@scripts/install-deps.sh build
	cargo build --release -p countersign -p pam_countersign -p auth_countersign

.PHONY: demo
demo: ## a database login with a token, end to end, on this machine; MySQL and MariaDB too where it has them
	@scripts/install-deps.sh build postgres aws
	@$(MAKE) --no-print-directory release
	@$(call pam,$(TARGET)/release)
	@$(TARGET)/release/countersign demo

.PHONY: test
test: ## every test; the end-to-end ones drive real databases and the AWS CLI
	@scripts/install-deps.sh build $(DATABASES) clients aws nextest
	cargo build --workspace --lib --bins --tests
	@$(call pam,$(TARGET)/debug)
	cargo test --quiet --workspace --doc
	cargo nextest run --workspace --profile $(NEXTEST_PROFILE)

.PHONY: check
check: ## format, lints, licences, layers
	@scripts/install-deps.sh build deny
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny check --hide-inclusion-graph bans licenses sources
	cargo xtask layers

.PHONY: bench
bench: ## the figures, beside those of other ways to log in (SHORT=1: rough)
	@scripts/install-deps.sh build $(DATABASES) aws peers
	@scripts/bench.sh

.PHONY: fuzz
fuzz: ## a million policies beside the reference, every parser for a minute (SHORT=1: 5 s)
	@scripts/install-deps.sh build fuzz
	@scripts/fuzz.sh

.PHONY: soak
soak: ## logins and faults for an hour, two kinds of servers at a time (SHORT=1: one minute)
	@scripts/install-deps.sh build $(DATABASES) clients aws nextest
	cargo build --workspace --lib --bins --tests
	@$(call pam,$(TARGET)/debug)
	COUNTERSIGN_SOAK_SECONDS=$(if $(filter 1,$(SHORT)),30,1800) cargo nextest run -p countersign-tests --profile soak --run-ignored only

.PHONY: install
install: ## what `make release` built: binary, PAM module and service file, plugin, systemd unit (PREFIX, DESTDIR)
	@scripts/install.sh all $(TARGET)/release

.PHONY: uninstall
uninstall: ## take all of that out again
	@scripts/install.sh remove

.PHONY: advisories
advisories: ## known holes in dependencies (asks the RustSec database)
	@scripts/install-deps.sh build deny
	cargo deny check advisories

.PHONY: clean
clean: ## remove everything built and fetched into this folder
	cargo clean
	[ ! -L .cache/servers ] || rm -rf "$$(readlink -f .cache/servers)"
	rm -rf .cache fuzz/target

# The PAM door needs root once. Without, the LDAP door does the same work and nothing is installed.
pam = if [ "$$(id -u)" -eq 0 ]; then scripts/install.sh pam $(1); \
	else echo "not root: the PAM module is not installed, logins go through the LDAP door"; fi
