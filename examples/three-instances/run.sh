#!/bin/sh
# Starts Redis, the simulator of Khipu, three gateways and a balancer on loopback. Ctrl-C stops all of them.
#
# Environment variables set the ports and the directory of already built programs:
#   BALANCER_PORT=8080 REDIS_PORT=6379 SANDBOX_PORT=9090 GATEWAY_PORTS="8081 8082 8083" ADMIN_PORTS="8091 8092 8093" BIN=target/release
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

BALANCER_PORT=${BALANCER_PORT:-8080}
REDIS_PORT=${REDIS_PORT:-6379}
SANDBOX_PORT=${SANDBOX_PORT:-9090}
GATEWAY_PORTS=${GATEWAY_PORTS:-8081 8082 8083}
ADMIN_PORTS=${ADMIN_PORTS:-8091 8092 8093}

missing=""
for tool in redis-server haproxy; do
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -n "$missing" ]; then
  echo "this needs the Debian packages$missing; install them with: sudo apt-get install$missing" >&2
  exit 1
fi
if [ -z "${BIN:-}" ]; then
  (cd "$root" && cargo build --release -p chasqui -p khipu-sandbox)
  BIN=${CARGO_TARGET_DIR:-$root/target}/release
fi

state=$(mktemp -d)
started=""
stop() {
  trap - EXIT INT TERM
  # Stop in reverse order: the balancer first, then the gateways, which drain, and Redis last.
  for id in $started; do
    kill "$id" 2>/dev/null || true
    wait "$id" 2>/dev/null || true
  done
  rm -rf "$state"
}
trap stop EXIT
trap 'exit 0' INT TERM

run() { # name, command…: runs in the background, logs to a file
  name=$1
  shift
  "$@" >"$state/$name.log" 2>&1 &
  started="$! $started"
  echo "$! $name" >>"$state/processes"
}

answers() { # url: waits until it answers 200, for half a minute
  tries=0
  until curl -fsS -o /dev/null "$1" 2>/dev/null; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ]; then
      echo "$1 does not answer; the logs:" >&2
      tail -n 5 "$state"/*.log >&2
      exit 1
    fi
    sleep 0.1
  done
}

run redis redis-server "$here/redis.conf" --port "$REDIS_PORT" --dir "$state"
run sandbox "$BIN/khipu-sandbox" --listen "127.0.0.1:$SANDBOX_PORT" \
  --api-key sandbox-api-key-not-real --secret sandbox-secret-not-real --receiver-id 990939

"$BIN/chasqui" keys new >"$state/key"
key=$(sed -n 's/^key *//p' "$state/key")
hash=$(sed -n 's/^hash *//p' "$state/key")

# Settings that all gateways share and that are not in the file.
export CHASQUI_SERVER__PUBLIC_URL="http://127.0.0.1:$BALANCER_PORT"
export CHASQUI_STORAGE__URL="redis://127.0.0.1:$REDIS_PORT"
export CHASQUI_KHIPU__BASE_URL="http://127.0.0.1:$SANDBOX_PORT"
export CHASQUI_ACCOUNTS__0__API_KEYS="[\"$hash\"]"

set -- $ADMIN_PORTS
for port in $GATEWAY_PORTS; do
  run "gateway-$port" env CHASQUI_SERVER__LISTEN="127.0.0.1:$port" CHASQUI_SERVER__ADMIN_LISTEN="127.0.0.1:$1" \
    "$BIN/chasqui" serve --config "$here/chasqui.toml"
  shift
done
set -- $GATEWAY_PORTS
for port in "$@"; do
  answers "http://127.0.0.1:$port/readyz"
done
run balancer env BALANCER="127.0.0.1:$BALANCER_PORT" \
  GATEWAY_A="127.0.0.1:$1" GATEWAY_B="127.0.0.1:$2" GATEWAY_C="127.0.0.1:$3" \
  haproxy -db -f "$here/haproxy.cfg"
answers "http://127.0.0.1:$BALANCER_PORT/js/chasqui.js"

cat <<END

three gateways at 127.0.0.1:{$(echo "$GATEWAY_PORTS" | tr ' ' ',')}, balanced at http://127.0.0.1:$BALANCER_PORT
processes and logs: $state

Create a payment, and open the payment_url of the answer in a browser:

  curl http://127.0.0.1:$BALANCER_PORT/v3/payments -H 'x-api-key: $key' -H 'content-type: application/json' \\
    -d '{"amount": 24990, "currency": "CLP", "subject": "Order 17", "transaction_id": "17"}'

Then stop one gateway while the page is open (kill its number in $state/processes), or Redis, and continue to pay.
Ctrl-C stops everything.
END
wait
