# `make test` runs every check, as CI does. It needs cargo, node and git, and installs or asks for the rest.

.PHONY: test check prepare lint client rust browser deny demo load simulate

test: prepare lint client rust browser

# Formatting, lints and tests of one crate: make check CRATE=chasqui-core
check:
	@test -n "$(CRATE)" || { echo "name a crate: make check CRATE=chasqui-core" >&2; exit 2; }
	cargo fmt -p $(CRATE) --check
	cargo clippy -p $(CRATE) --all-targets -- -D warnings
	ulimit -S -n 16384 && cargo test -p $(CRATE)

# Chromium, strace, haproxy, Redis (tests start their own servers on free ports), openssl, PHP, Python's venv, and
# the packages of npm and PyPI: installs them if run as root on Debian, else prints the command that does.
prepare:
	tests/prepare.sh

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The browser client: types, tests, and that the committed bundles match the sources.
client:
	cd js-client && npm run typecheck && npm test && npm run check-dist

# One scenario opens more than ten thousand connections.
rust:
	ulimit -S -n 16384 && cargo test --workspace

# A payer's way through the demo, in a real Chromium.
browser:
	cargo build -p demo
	cd tests/browser && npm test

# Licences, advisories, sources. Needs cargo-deny and the network.
deny:
	cargo deny check

demo:
	cargo run --release -p demo

# Measures the figures of tests/load/RESULTS.md.
load:
	cargo build --release -p chasqui -p khipu-sandbox -p chasqui-tests
	target/release/load idle --watchers 19000
	target/release/load redis --payments 10000

# Runs the simulations of tests/simulation/REPORT.md; each takes about eight minutes.
simulate:
	ulimit -S -n 16384 && cargo run --release -p chasqui-tests --bin simulate -- --payments 50000 --storage sqlite
	ulimit -S -n 16384 && cargo run --release -p chasqui-tests --bin simulate -- --payments 50000 --storage redis
