#!/usr/bin/env bash
# Runs every fuzz target of the module.
#
#   scripts/fuzz.sh                    each for 10 s, one after the other
#   scripts/fuzz.sh 10m 4              each for 10 minutes, four side by side with one worker each
#   scripts/fuzz.sh 10m 2 'smtp |dsn ' only targets whose «folder name» the regular expression finds
#
# go test fuzzes one target of one package at a time, so they are found first. What a target finds is left in its
# package's testdata/fuzz; commit it with the mend. With FUZZ_LOGS=folder the whole output of each target is kept there,
# and a target whose run stands there as done is not run again: a long run that was cut off goes on where it was.
set -euo pipefail
cd "$(dirname "$0")/.."
export time=${1:-10s} logs=${FUZZ_LOGS:-}
side=${2:-1}
which=${3:-.}

# One target has all cores; of several each has one worker.
workers=
if [ "$side" -gt 1 ]; then workers=-parallel=1; fi
export workers

if [ -z "$logs" ]; then
	logs=$(mktemp -d)
	trap 'rm -rf "$logs"' EXIT
fi
mkdir -p "$logs"

# When the time is over in the middle of an input, go test may end with «context deadline exceeded» though nothing was
# found (golang.org/issue/75804). That alone is no failure: what is found is always written down, with the file's name.
fuzz() {
	local said="$logs/${1//[.\/]/}-$2" status=0 executions
	if [ -e "$said.log" ]; then return; fi
	# A minute for each new input to become shorter, which is the default, is most of the time where goroutines meet.
	go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 3s $workers "$1" >"$said.now" 2>&1 || status=$?
	if [ "$status" != 0 ] && grep -q '^ *context deadline exceeded$' "$said.now" &&
		! grep -qE 'Failing input written|panic:|_test\.go:[0-9]+:' "$said.now"; then
		status=0
	fi
	executions=$(grep -oE 'execs: [0-9]+' "$said.now" | tail -n 1 || true)
	if [ "$status" != 0 ]; then
		mv "$said.now" "$said.failed"
		cat "$said.failed"
		printf '%-28s %-22s %s, %s: FAILED\n' "$1" "$2" "$time" "${executions:-execs: 0}"
		return 1
	fi
	mv "$said.now" "$said.log"
	printf '%-28s %-22s %s, %s: nothing found\n' "$1" "$2" "$time" "${executions:-execs: 0}"
}
export -f fuzz

# A package without tests lists nothing. Only files that name a target are compiled for this.
targets=$(git ls-files -co --exclude-standard -- '*_test.go' | xargs -r grep -l '^func Fuzz' 2>/dev/null | xargs -r -n1 dirname | sort -u |
	while IFS= read -r folder; do
		go test -list '^Fuzz' "./$folder" | { grep '^Fuzz' || true; } | sed "s,^,./$folder ,"
	done | { grep -E -- "$which" || true; })
if [ -z "$targets" ]; then
	echo "no fuzz target matches $which" >&2
	exit 1
fi
# All are run though one has found something: xargs says at the end that one has.
xargs -P "$side" -L 1 bash -c 'fuzz "$0" "$1"' <<<"$targets"
echo "$(wc -l <<<"$targets") fuzz targets"
