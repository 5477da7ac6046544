#!/usr/bin/env bash
# tools/fuzz.sh [SEED [COUNT]] - damaged change batches against their reader
# (make fuzz): builds t/fuzz/wire_fuzz.c with sanitizers, without a server, and
# runs it.  SEED is the time, COUNT a million unless given; the seed is printed.
set -euo pipefail
PGT_ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$PGT_ROOT"
. tools/lib.sh
unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS

seed=${1:-$(date +%s)}
count=${2:-1000000}
config=${PG_CONFIG:-pg_config}
includes=$("$config" --includedir-server) || die "no $config here: set PG_CONFIG"
work=$(mktemp -d "${TMPDIR:-/tmp}/pgt_fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT

build() {
	"${CC:-cc}" -g -O1 -fno-omit-frame-pointer "$@" -DUSE_ASSERT_CHECKING=1 -Wno-error -w \
		-I. -I"$includes" -o "$work/wire_fuzz" \
		t/fuzz/wire_fuzz.c decoder/wire_read.c decoder/wire_write.c
}
if ! build -fsanitize=address,undefined -fno-sanitize-recover=all 2>"$work/log"; then
	say "no sanitizers here: assertions only"
	build 2>"$work/log" || { cat "$work/log" >&2; die "wire_fuzz does not build"; }
fi
"$work/wire_fuzz" "$seed" "$count"
