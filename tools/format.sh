#!/usr/bin/env bash
# tools/format.sh [FILE ...] - lay out C sources by .clang-format.
# Without arguments: every C file that differs from the last commit.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/lib.sh

formatter=$(command -v clang-format || command -v clang-format-14) || {
	say "installing: clang-format"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install clang-format >/dev/null
	formatter=clang-format
}
[ $# -gt 0 ] || mapfile -t files < <(git diff --name-only --diff-filter=d HEAD -- '*.c' '*.h'; git ls-files -o --exclude-standard -- '*.c' '*.h')
[ $# = 0 ] || files=("$@")
[ ${#files[@]} = 0 ] || "$formatter" -i --style=file "${files[@]}"
