# Dump and restore: definitions come back, contents are built again by the
# scheduler, and it does not get into the restore's way.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('restore');
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE TABLE src (k int, v int);
	INSERT INTO src SELECT i % 10, i FROM generate_series(1, 1000) i;
	SELECT pgtrickle.create_stream_table('public.totals', 'SELECT k, sum(v) AS s, count(*) AS n FROM src GROUP BY k', 'continuous');
	SELECT pgtrickle.create_stream_table('public.grand', 'SELECT sum(s) AS s, sum(n) AS n FROM public.totals', 'continuous');
	SELECT pgtrickle.create_stream_table('public.bag', 'SELECT v % 7 AS m FROM src WHERE k < 5', '100ms');
	SELECT pgtrickle.create_stream_table('public.asleep', 'SELECT count(*) AS n FROM src');
	SELECT pgtrickle.alter_stream_table('public.asleep', enabled => false);
	CREATE INDEX totals_s ON public.totals (s);
	CREATE VIEW big AS SELECT * FROM public.totals WHERE n > 1;
	INSERT INTO src VALUES (77, 1);
});
my @all = map { "public.$_" } qw(totals grand bag);
wait_caught_up($node, 'postgres', $_) for @all;

my $dump = "$PostgreSQL::Test::Utils::tmp_check/restore";
$node->command_ok([ 'pg_dump', '-f', "$dump.sql", '-d', $node->connstr('postgres') ], 'pg_dump, plain');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dump.fc", '-d', $node->connstr('postgres') ], 'pg_dump, custom');

my %restore = (
	plain => [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.sql" ],
	single => [ 'psql', '-Xq', '-1', '-v', 'ON_ERROR_STOP=1', '-f', "$dump.sql" ],
	parallel => [ 'pg_restore', '--exit-on-error', '-j', '2', "$dump.fc" ]);
for my $how (sort keys %restore)
{
	$node->safe_psql('postgres', "CREATE DATABASE $how");
	$node->command_ok([ @{ $restore{$how} }, '-d', $node->connstr($how) ], "$how: restored without an error");
	ok($node->poll_query_until($how,
			q{SELECT count(*) FROM pgtrickle.pgt_stream_tables WHERE is_populated AND NOT needs_reinit AND status = 'ACTIVE'}, '3'),
		"$how: the scheduler builds what was defined");
	is($node->safe_psql($how, q{SELECT status FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'asleep'}),
		'SUSPENDED', "$how: what was suspended stays so");
	$node->safe_psql($how, q{INSERT INTO src VALUES (78, 1); DELETE FROM src WHERE k = 3});
	wait_caught_up($node, $how, $_) for @all;
	is($node->safe_psql($how, 'SELECT count(*) FROM big'), '9', "$how: a view on a stream table follows");
	$node->safe_psql('postgres', "DROP DATABASE $how");
}

$node->stop;
done_testing();
