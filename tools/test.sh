#!/usr/bin/env bash
# tools/test.sh [t/FILE.pl ...] - build, install and run the tests (make test).
#
# Installs what is missing, builds, installs into the server PG_CONFIG names,
# and lets prove run t/*.pl (or the files given) from a copy of the tree, as a
# user that PostgreSQL accepts, against private servers.  Prove's summary is
# the last thing printed.  PROVE_FLAGS is passed on.  The copy is removed
# unless a test failed; its name is printed first.
set -euo pipefail
PGT_ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$PGT_ROOT"
. tools/lib.sh
unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS

tools/install-deps.sh "${PG_CONFIG:-pg_config}"
read_pg_config
make_work_dir

rc=1
finish() {
	trap - EXIT INT TERM
	stop_servers
	if [ "$rc" = 0 ] && [ -z "${PG_TEST_NOCLEAN:-}" ]; then rm -rf "$PGT_WORK"; fi
	exit "$rc"
}
trap finish EXIT
trap 'exit 130' INT TERM

say "$PGT_VERSION ($PGT_BINDIR)"
say "tests run as $(server_user) in $PGT_WORK, kept if one fails"
build_and_install

tree=$PGT_WORK/tree
copy_sources "$tree"
chown -R "$(server_user)" "$PGT_WORK"
cd "$tree"
as_server_user "$PGT_BINDIR/postgres" --version >/dev/null ||
	die "user $(server_user) may not run $PGT_BINDIR/postgres"

[ $# -gt 0 ] || set -- t/*.pl
rc=0
as_server_user env PATH="$PGT_BINDIR:$PATH" LC_ALL=C.UTF-8 LC_CTYPE=C.UTF-8 LANG=C.UTF-8 \
	PG_REGRESS="$PGT_TESTDIR/regress/pg_regress" \
	PGT_ISOLATION_REGRESS="$PGT_TESTDIR/isolation/pg_isolation_regress" \
	TESTDIR="$tree" TESTDATADIR="$tree/tmp_check" TESTLOGDIR="$tree/tmp_check/log" \
	PG_TEST_PORT_DIR="$PGT_WORK/ports" \
	prove --timer -I t/lib -I "$PGT_TESTDIR/perl" ${PROVE_FLAGS:-} "$@" </dev/null || rc=$?
