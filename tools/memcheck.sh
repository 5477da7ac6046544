#!/usr/bin/env bash
# tools/memcheck.sh valgrind|sanitize [TEST ...] - the regression tests under
# a memory checker (make valgrind, make sanitize).
#
# Works on a copy of the server PG_CONFIG names, in which the library is built
# for the purpose; nothing is installed elsewhere.  Only reports in which code
# of pg_trickle stands count: PostgreSQL itself, built without its checker
# hooks, writes uninitialised padding to files on purpose.
set -euo pipefail
PGT_ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$PGT_ROOT"
. tools/lib.sh
unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS

kind=${1:-}
shift || true
case $kind in
	valgrind) copt='-O1 -g' ;;
	sanitize) copt='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize=alignment' ;;
	*) die "usage: $0 valgrind|sanitize [TEST ...]" ;;
esac

tools/install-deps.sh "${PG_CONFIG:-pg_config}"
if [ "$kind" = valgrind ] && ! command -v valgrind >/dev/null 2>&1; then
	say "installing: valgrind"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install valgrind >/dev/null
fi
read_pg_config
make_work_dir
rc=1 server=
finish() {
	trap - EXIT INT TERM
	stop_servers
	[ -z "$server" ] || pkill -KILL -P "$server" 2>/dev/null || true
	if [ "$rc" = 0 ]; then rm -rf "$PGT_WORK"; else say "kept: $PGT_WORK"; fi
	exit "$rc"
}
trap finish EXIT
trap 'exit 130' INT TERM

say "$PGT_VERSION, $kind, in $PGT_WORK"
asan=$(gcc -print-file-name=libasan.so)
if [ "$kind" = sanitize ] && ! LD_PRELOAD=$asan ASAN_OPTIONS=detect_leaks=0 timeout 10 "$PGT_BINDIR/postgres" --version >/dev/null 2>&1; then
	# seen with Debian's servers: built with NLS, they hang in bindtextdomain
	say "this server does not run under the address sanitizer: undefined behaviour only"
	copt='-O1 -g -fno-omit-frame-pointer -fsanitize=undefined -fno-sanitize=alignment'
	asan=
fi
regress_program=$PGT_TESTDIR/regress/pg_regress
copy_server "$PGT_WORK/pg"
copy_sources "$PGT_WORK/tree"
make -s -C "$PGT_WORK/tree" -j"$(nproc)" COPT="$copt" all install
chown -R "$(server_user)" "$PGT_WORK"
cd "$PGT_WORK/tree"

# the settings of the tests; see PgTrickle::Test
mkdir -p "$PGT_WORK/log"
chown "$(server_user)" "$PGT_WORK/log"
export PATH=$PGT_BINDIR:$PATH LC_ALL=C.UTF-8
as_server_user initdb -D "$PGT_WORK/data" -A trust -N -U postgres >/dev/null
{
	cat t/regress.conf
	say "pg_trickle.enabled = off"
	say "listen_addresses = ''"
	say "unix_socket_directories = '$PGT_WORK'"
	if as_server_user postgres --describe-config | grep '^output_plugin_libraries' >/dev/null; then
		say "output_plugin_libraries = 'pgoutput, test_decoding, pg_trickle_decoder'"
	fi
} >>"$PGT_WORK/data/postgresql.conf"

case $kind in
	valgrind)
		checker=(valgrind --quiet --trace-children=yes --leak-check=no --num-callers=30
			--error-markers=BEGIN-REPORT,END-REPORT "--log-file=$PGT_WORK/log/report.%p") ;;
	sanitize)
		checker=(env ${asan:+"LD_PRELOAD=$asan"}
			"ASAN_OPTIONS=detect_leaks=0:abort_on_error=0:halt_on_error=0:detect_stack_use_after_return=0:log_path=$PGT_WORK/log/report"
			"UBSAN_OPTIONS=print_stacktrace=1:log_path=$PGT_WORK/log/report") ;;
esac
as_server_user "${checker[@]}" "$PGT_BINDIR/postgres" -D "$PGT_WORK/data" >"$PGT_WORK/log/server" 2>&1 &
server=$!
for _ in $(seq 120); do
	as_server_user pg_isready -q -h "$PGT_WORK" && break
	sleep 0.5
done
as_server_user pg_isready -q -h "$PGT_WORK" || { tail -n 20 "$PGT_WORK/log/server" >&2; die "the server did not start"; }

mapfile -t tests < <(perl -0777 -ne 's/\\\n/ /g; print join "\n", split " ", $1 if /^REGRESS\s*=[ \t]*(.*)$/m' Makefile)
[ $# = 0 ] || tests=(extension $(printf '%s\n' "$@" | grep -vx extension || true))
as_server_user "$regress_program" --inputdir=. --outputdir="$PGT_WORK" --bindir= --host="$PGT_WORK" \
	--user=postgres --dbname=regress "${tests[@]}" ||
	say "some tests failed; what counts here is the reports"
stop_servers
wait || true
server=

# reports in whose stack the extension stands
reports=$(find "$PGT_WORK/log" -name "report*" -exec cat {} + | awk -v kind="$kind" '
	/BEGIN-REPORT/ || /^=+[0-9]+=+ERROR/ || /runtime error:/ { if (ours) printf "%s\n", text; text = ""; ours = 0 }
	{ text = text $0 "\n" }
	/pg_trickle(_decoder)?\.so|(applier|decoder)\/[a-z_\/]+\.[ch]:/ { ours = 1 }
	END { if (ours) printf "%s\n", text }')
if [ -n "$reports" ]; then
	say "$reports"
	say "Result: FAIL"
else
	say "no report in which pg_trickle stands"
	say "Result: PASS"
	rc=0
fi
