# tools/lib.sh - what the set-up scripts share; sourced, never run.
#
# Two users matter: the one who calls (root, or a plain user who may sudo),
# and the one PostgreSQL runs as, which must not be root.  A plain caller is
# both; root hands over to "postgres", or to "nobody" where that is missing.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		die "this step needs root, and there is no sudo: $*"
	fi
}

# The user that servers and tests run as.
server_user() {
	if [ "$(id -u)" != 0 ]; then
		id -un
	elif id postgres >/dev/null 2>&1; then
		say postgres
	else
		say nobody
	fi
}

# Run a command as that user, with the environment given plus a HOME of its own.
as_server_user() {
	local user
	if [ "$(id -u)" != 0 ]; then
		"$@"
		return
	fi
	user=$(server_user)
	setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups \
		env HOME="${PGT_WORK:-/tmp}" USER="$user" LOGNAME="$user" "$@"
}

# A fresh directory the server user may write, in $PGT_WORK.  The path is kept
# short: unix sockets live in it.
make_work_dir() {
	local base
	for base in "${TMPDIR:-/tmp}" /tmp; do
		PGT_WORK=$(mktemp -d "$base/pgt.XXXXXX") || continue
		chown "$(server_user)" "$PGT_WORK"
		# under a directory closed to that user it would be of no use
		if as_server_user test -w "$PGT_WORK"; then
			export PGT_WORK TMPDIR=$base
			return
		fi
		rm -rf "$PGT_WORK"
	done
	die "no temporary directory that user $(server_user) can write"
}

# Stop every server whose data directory is below $PGT_WORK.  Three rounds: a
# test that was interrupted may be starting one just now.
stop_servers() {
	local pidfile pid found
	[ -n "${PGT_WORK:-}" ] || return 0
	for _ in 1 2 3; do
		found=no
		while IFS= read -r pidfile; do
			pid=$(head -n 1 "$pidfile" 2>/dev/null) || continue
			[ -n "$pid" ] && kill -INT "$pid" 2>/dev/null || continue
			found=yes
			for _ in $(seq 100); do
				kill -0 "$pid" 2>/dev/null || break
				sleep 0.1
			done
			kill -QUIT "$pid" 2>/dev/null || true
		done < <(find "$PGT_WORK" -name postmaster.pid 2>/dev/null)
		[ $found = yes ] || return 0
		sleep 0.3
	done
}

# Resolve PG_CONFIG to a path and read what it says into PGT_* variables.
read_pg_config() {
	PG_CONFIG=$(command -v "${PG_CONFIG:-pg_config}") ||
		die "no pg_config found; install PostgreSQL's server headers or set PG_CONFIG"
	PGT_BINDIR=$("$PG_CONFIG" --bindir)
	PGT_PKGLIBDIR=$("$PG_CONFIG" --pkglibdir)
	PGT_SHAREDIR=$("$PG_CONFIG" --sharedir)
	PGT_TESTDIR=$(dirname "$("$PG_CONFIG" --pgxs)")/../test
	PGT_VERSION=$("$PG_CONFIG" --version)
	export PG_CONFIG PGT_BINDIR PGT_PKGLIBDIR PGT_SHAREDIR PGT_TESTDIR PGT_VERSION
}

# Copy the sources, without what was built, to $1.
copy_sources() {
	mkdir -p "$1"
	tar -C "$PGT_ROOT" --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
		--exclude=./results --exclude='./tmp_*' -cf - . | tar -C "$1" --no-same-owner -xf -
}

# Build and install into the server that PG_CONFIG names.  A tree that the
# caller may not write is built from a copy.
build_and_install() {
	local tree=$PGT_ROOT log=$PGT_WORK/build.log
	if [ ! -w "$tree" ]; then
		tree=$PGT_WORK/build
		copy_sources "$tree"
	fi
	make -s -C "$tree" PG_CONFIG="$PG_CONFIG" -j"$(nproc)" all >"$log" 2>&1 ||
		{ cat "$log" >&2; die "the build failed"; }
	! grep -i 'warning:' "$log" || true
	if [ -w "$PGT_PKGLIBDIR" ] && [ -w "$PGT_SHAREDIR/extension" ]; then
		make -s -C "$tree" PG_CONFIG="$PG_CONFIG" install >>"$log" 2>&1
	else
		as_root make -s -C "$tree" PG_CONFIG="$PG_CONFIG" install >>"$log" 2>&1
	fi || { tail -n 20 "$log" >&2; die "the installation failed"; }
}

# A copy of the server PG_CONFIG names, below $1, for builds that must not be
# installed where anybody else looks.  PostgreSQL finds its files relative to
# its executables, so the directories keep their places towards each other.
copy_server() {
	local dir
	for dir in "$PGT_BINDIR" "$PGT_PKGLIBDIR" "$PGT_SHAREDIR" \
		"$("$PG_CONFIG" --includedir-server)" "$("$PG_CONFIG" --libdir)/libpq.so.5"; do
		[ -e "$dir" ] || continue
		mkdir -p "$1$(dirname "$dir")"
		cp -aL "$dir" "$1$dir"
	done
	chmod -R a+rX "$1"
	PG_CONFIG=$1$PGT_BINDIR/pg_config
	read_pg_config
}
