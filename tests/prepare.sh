#!/bin/sh
# Makes sure that everything `make test` needs is here: installs what it can, and prints how to get the rest.
set -eu
cd "$(dirname "$0")"

missing=""
need() { # command, Debian package
  command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need chromium chromium
need strace strace
need haproxy haproxy
need curl curl
need redis-server redis-server
need openssl openssl
need cc gcc
need php php-cli
php -m 2>/dev/null | grep -q '^pdo_sqlite$' || missing="$missing php-sqlite3"
need python3 python3
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"

if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # one word per package
    apt-get install -y --no-install-recommends $missing >/dev/null 2>&1 ||
      { apt-get update >/dev/null && apt-get install -y --no-install-recommends $missing >/dev/null; }
  else
    echo "the tests need these Debian packages:$missing" >&2
    echo "install them with: sudo apt-get install$missing" >&2
    exit 1
  fi
fi

for tool in cargo-fmt cargo-clippy; do
  command -v "$tool" >/dev/null 2>&1 || {
    echo "the tests need $tool; install it with: rustup component add rustfmt clippy" >&2
    exit 1
  }
done
command -v npm >/dev/null 2>&1 || {
  echo "the tests need node 20 or newer with npm: https://nodejs.org" >&2
  exit 1
}

for package in ../js-client browser clients/typescript ../examples/node-express ../examples/static-serverless; do
  # Install only if the lock file is newer than the last installation.
  if [ ! -e "$package/node_modules/.package-lock.json" ] ||
    [ "$package/package-lock.json" -nt "$package/node_modules/.package-lock.json" ]; then
    (cd "$package" && npm ci --no-audit --no-fund)
  fi
done

# The same for packages of Python; pip itself is the one of the venv.
for package in clients/python ../examples/python-flask; do
  if [ ! -e "$package/.venv/installed" ] || [ "$package/requirements.txt" -nt "$package/.venv/installed" ]; then
    python3 -m venv --clear "$package/.venv"
    "$package/.venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$package/requirements.txt"
    touch "$package/.venv/installed"
  fi
done
