#!/usr/bin/env bash
# tools/install-deps.sh [PG_CONFIG] - have what building and testing need.
#
# A compiler, make, Perl's prove and IPC::Run, and a PostgreSQL server with its
# headers: the one PG_CONFIG names, or the release's own when there is none.
# Says nothing and changes nothing when everything is there.  Otherwise it
# uses apt, as root or through sudo.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
export DEBIAN_FRONTEND=noninteractive

PG_CONFIG=${1:-${PG_CONFIG:-pg_config}}
missing=()

want_command() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }

# The release's default major version, from its metapackage.
release_major() {
	apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1
}

want_server() {
	local major bindir
	if ! command -v "$PG_CONFIG" >/dev/null 2>&1; then
		[ "$PG_CONFIG" = pg_config ] || die "PG_CONFIG=$PG_CONFIG: no such program"
		major=$(release_major)
		if [ -z "$major" ]; then
			apt_update
			major=$(release_major)
		fi
		[ -n "$major" ] || die "apt knows no PostgreSQL server; set PG_CONFIG to an installed one"
		missing+=("postgresql-$major" "postgresql-server-dev-$major")
		return
	fi
	major=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	bindir=$("$PG_CONFIG" --bindir)
	[ -f "$("$PG_CONFIG" --pgxs)" ] || missing+=("postgresql-server-dev-$major")
	# libpq-dev's pg_config names the client's directory until a server is there
	[ -x "$bindir/postgres" ] || [ -x "/usr/lib/postgresql/$major/bin/postgres" ] ||
		missing+=("postgresql-$major")
	case $bindir in
		/usr/*) ;;
		*) [ ${#missing[@]} = 0 ] || [[ "${missing[*]}" != *postgresql* ]] ||
			die "$PG_CONFIG belongs to a PostgreSQL without server or headers (${missing[*]})" ;;
	esac
}

updated=no
apt_update() {
	[ $updated = no ] || return 0
	command -v apt-get >/dev/null 2>&1 ||
		die "missing: ${missing[*]:-PostgreSQL}; this machine has no apt-get to install it with"
	as_root apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null
	updated=yes
}

apt_install() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install "$@" </dev/null >/dev/null
}

# Debian's server package makes and starts a cluster when it is installed.
# Nobody asked for one here, so its switch is off for the time being.
install_without_cluster() {
	local conf=/etc/postgresql-common/createcluster.conf line='create_main_cluster = false' rc=0
	apt_install postgresql-common
	if grep -qsx "$line" "$conf"; then
		apt_install "$@"
		return
	fi
	printf '%s\n' "$line" | as_root tee -a "$conf" >/dev/null
	apt_install "$@" || rc=$?
	as_root sed -i "/^$line\$/d" "$conf"
	return $rc
}

want_command gcc gcc
want_command make make
want_command prove perl
want_command ps procps
[ -e /usr/include/stdio.h ] || missing+=(libc6-dev)
perl -MIPC::Run -e 1 2>/dev/null || missing+=(libipc-run-perl)
want_server
[ ${#missing[@]} = 0 ] && exit 0

say "installing: ${missing[*]}"
apt_update
case " ${missing[*]} " in
	*" postgresql-"[1-9]*) install_without_cluster "${missing[@]}" ;;
	*) apt_install "${missing[@]}" ;;
esac
