# IMMEDIATE and the scheduler: it fills what was created empty, rebuilds after
# DDL and after a restore, and otherwise has nothing to do with it.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('background');
create_extension($node, 'postgres');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE item (id int PRIMARY KEY, grp int, price int);
CREATE TABLE grp (grp int PRIMARY KEY, name text);
INSERT INTO item SELECT i, i % 3, i FROM generate_series(1, 30) i;
INSERT INTO grp VALUES (0, 'zero'), (1, 'one');
CREATE FUNCTION worth(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2';
SQL
my %st = (
	sums => q{SELECT grp, sum(price) AS s, count(*) AS n FROM public.item GROUP BY grp},
	joined => q{SELECT i.id, g.name, public.worth(i.price) AS worth FROM public.item i JOIN public.grp g USING (grp)},
	over => q{SELECT max(s) AS most, count(*) AS n FROM public.sums});
my @order = qw(sums joined over);
my $active = "SELECT count(*) = 3 FROM pgtrickle.pgt_stream_tables WHERE refresh_mode = 'IMMEDIATE' AND status = 'ACTIVE' AND is_populated AND NOT needs_reinit";

sub check
{
	my ($db, $what) = @_;
	$node->poll_query_until($db, $active) or die "not active: $what";
	$node->safe_psql($db, "INSERT INTO item SELECT max(id) + 1, 1, 5 FROM item; UPDATE item SET price = price + 1 WHERE id % 5 = 0; UPDATE grp SET name = name || '.'");
	for my $name (@order)
	{
		is($node->safe_psql($db, "SELECT count(*) FROM ((SELECT x::text FROM ($st{$name}) x EXCEPT ALL SELECT y::text FROM public.$name y)"
				  . " UNION ALL (SELECT y::text FROM public.$name y EXCEPT ALL SELECT x::text FROM ($st{$name}) x)) d"), 0, "$name $what");
	}
	return;
}
$node->safe_psql('postgres', "SELECT pgtrickle.create_stream_table('public.$_', \$\$$st{$_}\$\$, refresh_mode => 'IMMEDIATE', initialize => false)") for @order;
check('postgres', 'filled by the scheduler');

# created at REPEATABLE READ: filled after, too
$node->safe_psql('postgres', 'DROP TABLE over');
$node->safe_psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pgtrickle.create_stream_table('public.over', \$\$$st{over}\$\$, refresh_mode => 'IMMEDIATE'); COMMIT");
check('postgres', 'after creation at REPEATABLE READ');

$node->safe_psql('postgres', "CREATE OR REPLACE FUNCTION worth(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT \$1 * 3'");
check('postgres', 'after another function');

# at rest nothing runs
my $runs = $node->safe_psql('postgres', 'SELECT count(*) FROM pgtrickle.pgt_refresh_history');
$node->safe_psql('postgres', 'UPDATE item SET price = price + 1') for 1 .. 5;
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgtrickle.pgt_refresh_history'), $runs, 'writers make no work for the scheduler');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgtrickle.pgt_sources WHERE cdc_mode <> \'STREAM\''), 0, 'and write no change buffers');

my $dump = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('copy') ], 'restored');
check('copy', 'after a restore');
check('postgres', 'where the dump came from');
done_testing();
