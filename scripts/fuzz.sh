#!/usr/bin/env bash
# Runs every fuzz target of the module, one after the other.
#
#   scripts/fuzz.sh 10s
#
# go test fuzzes one target of one package at a time, so they are found first. What a target finds is left in its
# package's testdata/fuzz; commit it with the mend.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}

said=$(mktemp)
trap 'rm -f "$said"' EXIT

# When the time is over in the middle of an input, go test may end with «context deadline exceeded» though nothing was
# found (golang.org/issue/75804). That alone is no failure: what is found is always written down, with the file's name.
fuzz() {
	if go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" "$1" >"$said" 2>&1; then
		tail -n 3 "$said"
		return
	fi
	if grep -q '^ *context deadline exceeded$' "$said" && ! grep -qE 'Failing input written|panic:|_test\.go:[0-9]+:' "$said"; then
		echo "time over in the middle of an input; nothing found"
		return
	fi
	cat "$said"
	return 1
}

# A package without tests lists nothing. Only files that name a target are compiled for this.
found=0
while IFS= read -r folder; do
	listing=$(go test -list '^Fuzz' "$folder")
	targets=$(grep '^Fuzz' <<<"$listing" || true)
	for target in $targets; do
		echo "$folder $target, $time"
		fuzz "$folder" "$target"
		found=$((found + 1))
	done
done < <(git ls-files -co --exclude-standard -- '*_test.go' | xargs -r grep -l '^func Fuzz' 2>/dev/null | xargs -r -n1 dirname | sort -u | sed 's,^,./,')
echo "$found fuzz targets"
