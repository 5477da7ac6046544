# A dump of a database with stream tables, restored: definitions come back, the
# contents are rebuilt, changes are followed again.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('dump');
my $dir = PostgreSQL::Test::Utils::tempdir();
my @all = ('public.totals', 'public.grand', 'pgtrickle.joined', '"My Schema"."top.s"', 'public.through_view');

$node->safe_psql('postgres', 'CREATE DATABASE src');
create_extension($node, 'src');
$node->safe_psql('src', q{
	CREATE ROLE regress_pgt_dumped;
	CREATE SCHEMA "My Schema" AUTHORIZATION regress_pgt_dumped;
	CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric, note text);
	CREATE TABLE customers (id int PRIMARY KEY, name text);
	INSERT INTO customers SELECT i, 'c' || i FROM generate_series(0, 9) i;
	INSERT INTO orders SELECT i, i % 10, i * 1.5, 'n' FROM generate_series(1, 500) i;
	CREATE VIEW big AS SELECT * FROM orders WHERE amount > 300;
	GRANT SELECT, TRIGGER ON orders TO regress_pgt_dumped;
	SELECT pgtrickle.create_stream_table('public.totals', 'SELECT customer, sum(amount) AS total, count(*) AS n FROM orders GROUP BY customer', '1s');
	SELECT pgtrickle.create_stream_table('public.grand', 'SELECT max(total) AS best FROM totals');
	SELECT pgtrickle.create_stream_table('joined', 'SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer', 'continuous', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.through_view', 'SELECT customer FROM big', '1h');
	SELECT pgtrickle.create_stream_table('public.resting', 'SELECT id FROM orders', '1s');
	SELECT pgtrickle.alter_stream_table('public.resting', enabled => false);
	SET ROLE regress_pgt_dumped;
	SELECT pgtrickle.create_stream_table('"My Schema"."top.s"', 'SELECT max(amount) AS top FROM public.orders', '1s');
	RESET ROLE;
	CREATE INDEX totals_by_total ON totals (total);
	COMMENT ON TABLE totals IS 'by customer';
	GRANT SELECT ON totals TO regress_pgt_dumped;
	CREATE VIEW over_totals AS SELECT * FROM totals WHERE n > 1;
	INSERT INTO orders SELECT i, i % 10, i, 'm' FROM generate_series(501, 520) i;
});
my $settings = q{SELECT pgt_schema, pgt_name, defining_query, schedule, refresh_mode, effective_mode, status = 'SUSPENDED'
	FROM pgtrickle.pgt_stream_tables ORDER BY 1, 2};
my $before = $node->safe_psql('src', $settings);

# What a restored database must be.
sub check_restored
{
	my ($db, $how) = @_;

	ok($node->poll_query_until($db, q{SELECT count(*) FROM pgtrickle.pgt_stream_tables}, '6'),
		"$how: all stream tables are known again");
	is($node->safe_psql($db, $settings), $before, "$how: definitions are as they were");
	wait_caught_up($node, $db, $_) for @all;
	is($node->safe_psql($db, q{SELECT status FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'resting'}),
		'SUSPENDED', "$how: what was suspended rests");
	is($node->safe_psql($db, q{SELECT obj_description('totals'::regclass), has_table_privilege('regress_pgt_dumped', 'totals', 'SELECT'),
			to_regclass('totals_by_total') IS NOT NULL, (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = '"My Schema"."top.s"'::regclass)}),
		'by customer|t|t|regress_pgt_dumped', "$how: comment, grants, index and owner");

	# sources are captured again, and only once
	is($node->safe_psql($db, q{SELECT bool_and(present AND enabled) FROM pgtrickle.trigger_inventory()}), 't',
		"$how: capture is complete");
	$node->safe_psql($db, q{
		INSERT INTO orders SELECT i, i % 10, i, 'm' FROM generate_series(1001, 1020) i;
		UPDATE orders SET amount = amount + 1000 WHERE id % 7 = 0;
		DELETE FROM orders WHERE id % 11 = 0;
	});
	$node->safe_psql($db, q{SELECT pgtrickle.refresh_stream_table('public.through_view')});
	wait_caught_up($node, $db, $_) for @all;
	is($node->safe_psql($db, q{SELECT last_action FROM pgtrickle.pg_stat_stream_tables WHERE relname = 'joined'}),
		'DIFFERENTIAL', "$how: changes are followed differentially");

	# and stream tables are guarded and fall with their sources as before
	my ($rc, $out, $err) = $node->psql($db, 'DELETE FROM totals');
	like($err, qr/cannot change stream table/, "$how: guarded");
	($rc, $out, $err) = $node->psql($db, 'DROP TABLE orders');
	like($err, qr/other objects depend on it/, "$how: sources are protected");
	return;
}

# A plain script.
command_ok([ 'pg_dump', '-d', $node->connstr('src'), '-f', "$dir/plain.sql" ], 'pg_dump');
unlike(slurp_file("$dir/plain.sql"), qr/changes_\d|pgtrickle_state\.s\d|pgt_capture/, 'nothing internal is dumped');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('plain'), '-f', "$dir/plain.sql" ], 'restored by psql');
check_restored('plain', 'script');

# The custom format, restored by several jobs.
command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('src'), '-f', "$dir/custom.dump" ], 'pg_dump -Fc');
$node->safe_psql('postgres', 'CREATE DATABASE custom');
command_ok([ 'pg_restore', '--exit-on-error', '-j', '3', '-d', $node->connstr('custom'), "$dir/custom.dump" ], 'restored by pg_restore -j');
check_restored('custom', 'parallel');

# What a restore leaves when sources are missing is said, and mended later.
$node->safe_psql('postgres', 'CREATE DATABASE partial');
command_ok([ 'pg_restore', '-d', $node->connstr('partial'), '--section=pre-data', "$dir/custom.dump" ], 'definitions of tables only');
is($node->safe_psql('partial', 'SELECT count(*) FROM pgtrickle.pgt_stream_tables'), '0', 'no definitions yet');
command_ok([ 'pg_restore', '-d', $node->connstr('partial'), '--section=data', '--section=post-data', "$dir/custom.dump" ], 'the rest');
check_restored('partial', 'in parts');

# A copy by template: frontiers of the old database mean nothing in the new one.
$node->safe_psql('src', q{INSERT INTO orders VALUES (2001, 1, 1, 'late')});
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE src');
$node->safe_psql('copy', q{DELETE FROM orders WHERE id < 100});
wait_caught_up($node, 'copy', $_) for grep { $_ ne 'public.through_view' } @all;
$node->safe_psql('copy', q{SELECT pgtrickle.refresh_stream_table('public.through_view')});
equals_query($node, 'copy', 'public.through_view', 'in the copy');
wait_caught_up($node, 'src', $_) for grep { $_ ne 'public.through_view' } @all;

# Databases with workers in them can be renamed and dropped.
$node->safe_psql('postgres', 'ALTER DATABASE copy RENAME TO renamed');
$node->safe_psql('renamed', q{INSERT INTO orders VALUES (3001, 1, 1, 'x')});
wait_caught_up($node, 'renamed', 'public.totals');
$node->safe_psql('postgres', 'DROP DATABASE renamed');
$node->safe_psql('postgres', 'DROP DATABASE plain');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_database WHERE datname IN ('renamed', 'plain')}), '0', 'dropped');

done_testing();
