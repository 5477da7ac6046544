#!/usr/bin/env bash
# tools/install-postgres.sh MAJOR [--cassert] - another PostgreSQL to test with.
#
# Builds Debian's source package of that major version, from whichever suite
# carries it, and installs it as $PGT_PREFIX/MAJOR (with --cassert: assertions
# and injection points, as MAJOR-cassert).  Prints the path of pg_config:
#
#   make test PG_CONFIG=$(sudo tools/install-postgres.sh 18 --cassert)
#
# For developers, on Debian, as root; takes some minutes once, nothing later.
# The machine's own apt sources stay as they are.
#   PGT_PREFIX  where to install                   (default /opt/postgresql)
#   PGT_SUITES  Debian suites to look in, in order (default: trixie forky sid experimental)
set -euo pipefail
. "$(dirname "$0")/lib.sh"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
unset MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS

major=${1:-}
[[ $major =~ ^[0-9]{2}$ ]] || die "usage: $0 MAJOR [--cassert]"
[ "$(id -u)" = 0 ] || die "run it as root"
label=$major options=(--enable-tap-tests --enable-debug --without-icu --with-lz4 --with-zstd --with-openssl --with-libxml)
flags='-O2 -g -fno-omit-frame-pointer'
case ${2:-} in
	'') ;;
	--cassert)
		label=$major-cassert
		options+=(--enable-cassert)
		[ "$major" -lt 17 ] || options+=(--enable-injection-points)
		flags='-Og -g -fno-omit-frame-pointer' ;;
	*) die "unknown option $2" ;;
esac
prefix=${PGT_PREFIX:-/opt/postgresql}/$label
suites=${PGT_SUITES:-trixie forky sid experimental}
if [ -e "$prefix/.complete" ]; then
	say "$prefix/bin/pg_config"
	exit 0
fi

work=$(mktemp -d)
log=$work/log
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
quietly() {
	"$@" >>"$log" 2>&1 </dev/null || { tail -n 30 "$log" >&2; die "failed: $*"; }
}

# An apt of its own, that knows the sources of other suites.
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m 1 '/debian/*$') || die "apt has no Debian mirror"
mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$prefix"
for suite in $suites; do
	say "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$work/apt/sources.list"
own_apt() {
	local program=$1
	shift
	"$program" -q -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=- \
		-o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt" -o APT::Sandbox::User=root "$@"
}

quietly apt-get -q update
quietly apt-get -q -y --no-install-recommends install gcc make libc6-dev bison flex perl dpkg-dev pkg-config \
	bzip2 xz-utils libreadline-dev zlib1g-dev libssl-dev liblz4-dev libzstd-dev libxml2-dev libipc-run-perl
quietly own_apt apt-get update
version=$(own_apt apt-cache showsrc "postgresql-$major" 2>/dev/null | sed -n 's/^Version: //p' | sort -V | tail -n 1)
[ -n "$version" ] || die "no source of PostgreSQL $major in: $suites"
say "building PostgreSQL $version for $prefix" >&2
cd "$work"
quietly own_apt apt-get --download-only source "postgresql-$major=$version"
mkdir src build
quietly tar -C src --strip-components=1 -xf "$(find . -maxdepth 1 -name "postgresql-${major}_*.orig.tar.*" ! -name '*.asc' | head -n 1)"
cd build
quietly ../src/configure -q --prefix="$prefix" "${options[@]}" CFLAGS="$flags"
quietly make -s -j"$(nproc)" world-bin
quietly make -s install-world-bin
if [ -d ../src/src/test/modules/injection_points ]; then
	quietly make -s -C src/test/modules/injection_points install
fi
touch "$prefix/.complete"
say "$prefix/bin/pg_config"
