# `make test` is the whole proof and what CI runs. It needs cargo, node and git, and installs or asks for the rest.

.PHONY: test prepare lint client rust browser deny demo load simulate

test: prepare lint client rust browser

# Chromium, strace, Redis (tests start their own, as many as they need, on free ports), openssl and npm packages: installed
# where that is possible without asking, asked for otherwise.
prepare:
	tests/prepare.sh

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# The browser client: types, tests, and that the committed bundles are what the sources make.
client:
	cd js-client && npm run typecheck && npm test && npm run check-dist

# A scenario has more than ten thousand connections.
rust:
	ulimit -S -n 16384 && cargo test --workspace

# A person's way through the demo, in a real Chromium.
browser:
	cargo build -p demo
	cd tests/browser && npm test

# Licences, advisories, sources. Needs cargo-deny and the network.
deny:
	cargo deny check

demo:
	cargo run --release -p demo

# The figures of tests/load/RESULTS.md.
load:
	cargo build --release -p chasqui -p khipu-sandbox -p chasqui-tests
	target/release/load idle --watchers 19000
	target/release/load redis --payments 10000

# The reports of tests/simulation/REPORT.md; each takes about eight minutes.
simulate:
	ulimit -S -n 16384 && cargo run --release -p chasqui-tests --bin simulate -- --payments 50000 --storage sqlite
	ulimit -S -n 16384 && cargo run --release -p chasqui-tests --bin simulate -- --payments 50000 --storage redis
