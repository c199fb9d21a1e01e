#!/usr/bin/env bash
# Starts the built program as an operator would and sends one mail through it.
#
#   scripts/smoke.sh bin/onward
#
# Asserts: the demo ends with 0; serve comes up with a configuration; a mailbox made while it runs takes mail at once; the
# mail lies in its Maildir; SIGTERM drains and the exit status is 0. Everything happens on loopback and in a temporary folder.
set -euo pipefail
onward=$(realpath "${1:-bin/onward}")

work=$(mktemp -d)
server=
finish() {
	local status=$?
	if [ -n "$server" ] && kill -0 "$server" 2>/dev/null; then kill -KILL "$server"; fi
	if [ "$status" != 0 ] && [ -e "$work/serve.log" ]; then
		echo "--- what serve said"
		tail -n 40 "$work/serve.log"
	fi
	rm -rf "$work"
}
trap finish EXIT
fail() {
	echo "smoke: $*" >&2
	exit 1
}

# A port that nobody listens on.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000))
		if ! (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return
		fi
	done
}

# Reads one reply from the server on descriptor 3, all its lines, and checks the code.
expect() {
	local want=$1 line
	while IFS= read -r -t 10 line <&3; do
		line=${line%$'\r'}
		if [ "${line:3:1}" != - ]; then
			[ "${line:0:3}" = "$want" ] || fail "want $want, the server said: $line"
			return
		fi
	done
	fail "want $want, the server said nothing for 10 s"
}
say() { printf '%s\r\n' "$1" >&3; }

echo "demo"
(cd "$work" && "$onward" demo) >"$work/demo.log" 2>&1 || {
	tail -n 40 "$work/demo.log"
	fail "the demo failed"
}
tail -n 3 "$work/demo.log"

echo "serve"
mx=$(free_port)
cat >"$work/onward.toml" <<TOML
hostname = "mx.example.org"
data = "$work/data"
[listen]
mx = ["127.0.0.1:$mx"]
submission = []
submissions = []
web = []
TOML
export ONWARD_CONFIG=$work/onward.toml
"$onward" check-config >/dev/null || fail "check-config refuses the configuration"
"$onward" serve >"$work/serve.log" 2>&1 &
server=$!
up=no
for _ in $(seq 100); do
	kill -0 "$server" 2>/dev/null || fail "serve ended by itself"
	if (exec 9<>"/dev/tcp/127.0.0.1/$mx") 2>/dev/null; then
		up=yes
		break
	fi
	sleep 0.1
done
[ "$up" = yes ] || fail "serve does not listen after 10 s"

"$onward" domain add example.org >/dev/null
"$onward" address add box@example.org --mailbox >/dev/null

exec 3<>"/dev/tcp/127.0.0.1/$mx"
expect 220
say "EHLO client.example.com"
expect 250
say "MAIL FROM:<someone@example.com>"
expect 250
say "RCPT TO:<nobody@example.org>"
expect 550
say "RCPT TO:<box@example.org>"
expect 250
say "DATA"
expect 354
say "From: someone@example.com"
say "Subject: smoke"
say ""
say "This mail goes the whole way."
say "."
expect 250
say "QUIT"
expect 221
exec 3>&-

mail=
for _ in $(seq 100); do
	mail=$(find "$work/data" -path '*/new/*' -type f | head -n 1)
	if [ -n "$mail" ]; then break; fi
	sleep 0.1
done
[ -n "$mail" ] || fail "no mail in the Maildir after 10 s"
grep -q 'This mail goes the whole way.' "$mail" || fail "the mail in the Maildir is another one"
grep -q '^Received: ' "$mail" || fail "the mail in the Maildir has no Received field"

echo "drain"
kill -TERM "$server"
status=0
wait "$server" || status=$?
server=
[ "$status" = 0 ] || {
	tail -n 20 "$work/serve.log"
	fail "SIGTERM ended serve with status $status, not 0"
}
echo "smoke: demo, one mail through, drained"
