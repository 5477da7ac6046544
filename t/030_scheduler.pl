# The scheduler: stream tables follow their sources in the background, in
# order, and databases and extensions come and go.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('scheduler');
create_extension($node, 'postgres');

# How many processes of a kind there are in a database.
sub processes
{
	my ($kind, $db) = @_;
	return "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_trickle $kind' AND datname = '$db'";
}

sub value
{
	my ($st, $column) = @_;
	return "SELECT $column FROM pgtrickle.pgt_stream_tables WHERE pgt_relid = '$st'::regclass";
}

# ---- following ----

ok($node->poll_query_until('postgres', processes('scheduler', 'postgres'), '1'),
	'CREATE EXTENSION starts a scheduler');

$node->safe_psql('postgres', q{
	CREATE TABLE src (k int, v int);
	INSERT INTO src SELECT i % 10, i FROM generate_series(1, 100) i;
	SELECT pgtrickle.create_stream_table('public.totals', 'SELECT k, sum(v) AS s, count(*) AS n FROM src GROUP BY k', 'continuous');
	SELECT pgtrickle.create_stream_table('public.totals_slow', 'SELECT k, count(*) AS n FROM src GROUP BY k', '200ms');
	SELECT pgtrickle.create_stream_table('public.grand', 'SELECT sum(s) AS s, sum(n) AS n FROM public.totals', 'continuous');
	SELECT pgtrickle.create_stream_table('public.middle', 'SELECT k, s * 2 AS s2 FROM public.totals');
	SELECT pgtrickle.create_stream_table('public.upper', 'SELECT count(*) AS n, sum(s2) AS s FROM public.middle', '300ms');
});
my @all = map { "public.$_" } qw(totals totals_slow grand middle upper);
for my $round (1 .. 3)
{
	$node->safe_psql('postgres', q{
		INSERT INTO src SELECT i % 13, i FROM generate_series(1, 50) i;
		UPDATE src SET v = v + 1 WHERE k = 3;
		DELETE FROM src WHERE k = 4 AND v > 20;
	});
	wait_caught_up($node, 'postgres', $_) for @all;
}
equals_query($node, 'postgres', $_, 'three rounds later') for @all;

is($node->safe_psql('postgres', q{
	SELECT count(*) > 0, bool_and(application_name LIKE 'pg_trickle refresh worker: public.%')
	  FROM pg_stat_activity WHERE backend_type = 'pg_trickle refresh worker'}),
	't|t', 'workers say what they refresh');
is($node->safe_psql('postgres', q{
	SELECT count(*) > 0, count(*) FILTER (WHERE status <> 'SUCCEEDED'), min(attempt), max(attempt)
	  FROM pgtrickle.parallel_job_status() WHERE finished_at IS NOT NULL}),
	't|0|1|1', 'finished jobs are shown');
is($node->safe_psql('postgres', q{SELECT max_workers, per_db_cap, parallel_mode FROM pgtrickle.worker_pool_status()}),
	'8|4|on', 'the pool is shown');

# ---- first fill by the scheduler, and a restart ----

$node->safe_psql('postgres', q{
	SELECT pgtrickle.create_stream_table('public.later', 'SELECT k, max(v) AS m FROM src GROUP BY k', '1s', initialize => false)});
ok($node->poll_query_until('postgres', value('public.later', 'is_populated')),
	'initialize => false is filled by the scheduler');
wait_caught_up($node, 'postgres', 'public.later');

$node->append_conf('postgresql.conf', 'pg_trickle.enabled = off');
$node->reload;
$node->poll_query_until('postgres', "SELECT current_setting('pg_trickle.enabled')", 'off');
$node->safe_psql('postgres', 'INSERT INTO src VALUES (100, 1), (101, 2)');
$node->stop;
$node->append_conf('postgresql.conf', 'pg_trickle.enabled = on');
$node->start;
wait_caught_up($node, 'postgres', $_) for @all, 'public.later';

# ---- errors ----

$node->append_conf('postgresql.conf', 'pg_trickle.max_consecutive_errors = 2');
$node->reload;
$node->safe_psql('postgres', q{
	CREATE TABLE num (a int, b int);
	INSERT INTO num VALUES (1, 1);
	SELECT pgtrickle.create_stream_table('public.ratio', 'SELECT a / b AS ratio FROM num', 'continuous');
	INSERT INTO num VALUES (1, 0);
});
ok($node->poll_query_until('postgres', value('public.ratio', 'status'), 'ERROR'),
	'a stream table that keeps failing is suspended');
is($node->safe_psql('postgres', value('public.ratio', 'consecutive_errors')), '2', 'after two errors');
is($node->safe_psql('postgres', 'SELECT * FROM public.ratio'), '1', 'with its last result');
wait_caught_up($node, 'postgres', 'public.totals');
$node->safe_psql('postgres', q{
	UPDATE num SET b = 4 WHERE b = 0;
	SELECT pgtrickle.resume_stream_table('public.ratio');
});
wait_caught_up($node, 'postgres', 'public.ratio');
is($node->safe_psql('postgres', value('public.ratio', 'status')), 'ACTIVE', 'resumed after the repair');

# ---- events ----

my ($in, $out) = ("LISTEN pgtrickle_refresh; INSERT INTO src VALUES (7, 7); INSERT INTO num VALUES (1, 0);\n", '');
my $listener = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
	'<' => \$in, '>' => \$out, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
sub heard
{
	my ($event, $st) = @_;
	while (1)
	{
		return $1
		  if $out =~ /payload "(\{"event": "$event", "stream_table": "$st".*?\})" received/;
		# psql prints what it was told after each command
		$in .= "SELECT 1;\n";
		$listener->pump;
	}
}
my $completed = heard('refresh_completed', 'public.totals');
my $failed = heard('refresh_failed', 'public.ratio');
heard('auto_suspended', 'public.ratio');
$in .= "\\q\n";
$listener->finish;
is($node->safe_psql('postgres', "SELECT (\$j\$$completed\$j\$::json->>'rows_inserted')::int > 0"),
	't', 'refresh_completed is JSON and has counts');
is($node->safe_psql('postgres', "SELECT \$j\$$failed\$j\$::json->>'error'"),
	'division by zero', 'refresh_failed has the message');

# ---- databases and extensions come and go ----

$node->safe_psql('postgres', 'CREATE DATABASE two');
create_extension($node, 'two');
ok($node->poll_query_until('postgres', processes('scheduler', 'two'), '1'),
	'CREATE EXTENSION in another database is noticed');
$node->safe_psql('two', q{
	CREATE TABLE s (a int);
	SELECT pgtrickle.create_stream_table('public.c', 'SELECT count(*) FROM s', 'continuous');
	INSERT INTO s VALUES (1), (2);
});
wait_caught_up($node, 'two', 'public.c');

$node->safe_psql('postgres', 'CREATE DATABASE three TEMPLATE two');
ok($node->poll_query_until('postgres', processes('scheduler', 'two'), '1'),
	'the scheduler of a template comes back');
$node->safe_psql('three', 'INSERT INTO s VALUES (3)');
wait_caught_up($node, 'three', 'public.c');
$node->safe_psql('postgres', 'ALTER DATABASE three RENAME TO drei');
$node->safe_psql('drei', 'INSERT INTO s VALUES (4)');
wait_caught_up($node, 'drei', 'public.c');
$node->safe_psql('postgres', 'DROP DATABASE drei');
is($node->safe_psql('postgres', processes('scheduler', 'drei')), '0', 'DROP DATABASE is not stopped by our workers');

my ($rc, $stdout, $stderr) = $node->psql('two', 'BEGIN; DROP DATABASE two');
isnt($rc, 0, 'a DROP DATABASE that fails');
ok($node->poll_query_until('postgres', processes('scheduler', 'two'), '1'), 'leaves the scheduler in place');

$node->safe_psql('two', 'DROP EXTENSION pg_trickle CASCADE');
ok($node->poll_query_until('postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg\_trickle %' AND datname = 'two'}, '0'),
	'DROP EXTENSION sends everybody home');
create_extension($node, 'two');
ok($node->poll_query_until('postgres', processes('scheduler', 'two'), '1'), 'and a new one is noticed');
$node->safe_psql('two', 'BEGIN; DROP EXTENSION pg_trickle; CREATE EXTENSION pg_trickle; COMMIT');
$node->safe_psql('two', q{
	SELECT pgtrickle.create_stream_table('public.c2', 'SELECT count(*) FROM s', 'continuous');
	INSERT INTO s VALUES (1), (2);
});
wait_caught_up($node, 'two', 'public.c2');
# in the middle of a refresh, by a worker and by the scheduler itself
for my $parallel (qw(on off))
{
	$node->append_conf('postgresql.conf', "pg_trickle.parallel_refresh_mode = $parallel");
	$node->reload;
	$node->poll_query_until('postgres', q{SELECT current_setting('pg_trickle.parallel_refresh_mode')}, $parallel);
	$node->safe_psql('postgres', "CREATE DATABASE busy_$parallel");
	create_extension($node, "busy_$parallel");
	$node->safe_psql("busy_$parallel", q{
		CREATE FUNCTION slowly(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
			'BEGIN PERFORM pg_sleep(600); RETURN v; END';
		CREATE TABLE s (v int);
		SELECT pgtrickle.create_stream_table('public.slow', 'SELECT slowly(v) AS v FROM s', 'continuous');
		INSERT INTO s VALUES (1);
	});
	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = 'busy_$parallel' AND query = 'refreshing public.slow' AND state = 'active'");
	is(($node->psql('postgres', "DROP DATABASE busy_$parallel"))[0], 0,
		"DROP DATABASE during a refresh, parallel_refresh_mode = $parallel");
}
$node->safe_psql('postgres', 'DROP DATABASE two');

# ---- bad schedules ----

my %refused = (
	'abc' => '22023', '-5s' => '22023', '0' => '22023', '' => '22023', '1000 years' => '22023',
	'@never' => '22023', '*/5 * * *' => '22023', '0 0 32 jan mon' => '22023', '0 30 24 * * *' => '22023');
for my $schedule (sort keys %refused)
{
	is($node->safe_psql('postgres', qq{
		DO \$\$ BEGIN
			PERFORM pgtrickle.create_stream_table('public.bad', 'SELECT k FROM src', '$schedule');
		EXCEPTION WHEN OTHERS THEN PERFORM set_config('t.state', sqlstate, false);
		END \$\$;
		SELECT current_setting('t.state')}),
		$refused{$schedule}, "schedule '$schedule' is refused");
}
($rc, $stdout, $stderr) = $node->psql('postgres', q{
	SET pg_trickle.min_schedule = '1s';
	SELECT pgtrickle.create_stream_table('public.bad', 'SELECT k FROM src', '500ms')});
like($stderr, qr/minimum of 1000 ms.*min_schedule/s, 'min_schedule is respected');

$node->stop;
done_testing();
