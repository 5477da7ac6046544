#!/usr/bin/env bash
# tools/lint.sh - what a machine can find wrong without running anything.
#
# Compiles every C file with more warnings than the build has, as errors, in a
# copy of the tree; checks that the Perl compiles and the shell scripts parse;
# uses shellcheck and cppcheck where they are installed.
set -euo pipefail
PGT_ROOT=$(cd "$(dirname "$0")/.." && pwd)
cd "$PGT_ROOT"
. tools/lib.sh
unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS

tools/install-deps.sh "${PG_CONFIG:-pg_config}"
read_pg_config
make_work_dir
trap 'rm -rf "$PGT_WORK"' EXIT

failed=0
check() {
	local what=$1 log=$PGT_WORK/log
	shift
	if "$@" >"$log" 2>&1; then
		say "ok      $what"
	else
		say "FAILED  $what"
		cat "$log"
		failed=1
	fi
}

compile() {
	copy_sources "$PGT_WORK/src"
	make -s -k -C "$PGT_WORK/src" -j"$(nproc)" all \
		COPT='-Werror -Wshadow=compatible-local -Wlogical-op -Wduplicated-cond'
}

perl_files() {
	local file rc=0
	for file in t/lib/PgTrickle/*.pm t/*.pl; do
		perl -I t/lib -I "$PGT_TESTDIR/perl" -c "$file" || rc=1
	done
	return $rc
}

shell_files() {
	local file rc=0
	for file in tools/*.sh .ci/run bench/*.sh; do
		[ ! -e "$file" ] || bash -n "$file" || rc=1
	done
	return $rc
}

whitespace() {
	! grep -nE '[[:blank:]]+$' $(find decoder applier tools t bench sql/*.sql -type f \
		\( -name '*.[ch]' -o -name '*.sh' -o -name '*.p[lm]' -o -name '*.sql' -o -name '*.spec' \))
}

check "the C compiles with more warnings, none raised" compile
check "the Perl compiles" perl_files
check "the shell scripts parse" shell_files
check "no blanks at the ends of lines" whitespace
check "the tree keeps its promises (t/000_tree.pl)" prove t/000_tree.pl
if command -v shellcheck >/dev/null 2>&1; then
	check "shellcheck" shellcheck -x -e SC1091 tools/*.sh .ci/run
else
	say "skipped shellcheck: not installed"
fi
if command -v cppcheck >/dev/null 2>&1; then
	check "cppcheck" cppcheck -q --error-exitcode=1 --enable=warning,portability --inline-suppr -I . decoder applier
else
	say "skipped cppcheck: not installed"
fi
exit $failed
