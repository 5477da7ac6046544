# The pool: refreshes overlap, caps hold, a full server still refreshes, and an
# idle one sleeps.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('pool');
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE FUNCTION slowly(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN
			IF current_setting('application_name') LIKE 'pg\_trickle %' THEN
				PERFORM pg_sleep(0.4);
			END IF;
			RETURN v;
		END $$;
	CREATE TABLE src (v int);
	SELECT pgtrickle.create_stream_table('public.slow' || i, 'SELECT slowly(v) AS v, ' || i || ' AS i FROM src', 'continuous')
	  FROM generate_series(1, 4) i;
});
my @slow = map { "public.slow$_" } 1 .. 4;

sub refresh_all
{
	$node->safe_psql('postgres', q{
		TRUNCATE pgtrickle.pgt_refresh_history;
		INSERT INTO src VALUES (1);
	});
	for my $st (@slow)
	{
		wait_caught_up($node, 'postgres', $st);
	}
	return $node->safe_psql('postgres', q{
		SELECT coalesce(max(n), 1) FROM (
			SELECT count(*) AS n FROM pgtrickle.pgt_refresh_history a, pgtrickle.pgt_refresh_history b
			 WHERE a.action <> 'NO_DATA' AND b.action <> 'NO_DATA'
			   AND b.start_time <= a.start_time AND b.end_time > a.start_time
			 GROUP BY a.refresh_id) c});
}

sub set_and_reload
{
	my (%setting) = @_;
	while (my ($name, $value) = each %setting)
	{
		$node->append_conf('postgresql.conf', "pg_trickle.$name = $value");
		$node->reload;
		$node->poll_query_until('postgres', "SELECT current_setting('pg_trickle.$name')", $value);
	}
	return;
}

# ---- overlap and caps ----

cmp_ok(refresh_all(), '>=', 2, 'slow refreshes overlap in time');
set_and_reload(max_concurrent_refreshes => 2);
is(refresh_all(), '2', 'no more than max_concurrent_refreshes at once');
set_and_reload(max_concurrent_refreshes => 4, max_dynamic_refresh_workers => 1);
$node->restart;
is(refresh_all(), '1', 'no more than max_dynamic_refresh_workers at once');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT worker_pid) FROM pgtrickle.parallel_job_status()
	WHERE status = 'SUCCEEDED'}), '1', 'by one worker');

# ---- two databases share the cluster's cap ----

$node->safe_psql('postgres', 'CREATE DATABASE two');
create_extension($node, 'two');
$node->safe_psql('two', q{
	CREATE TABLE s (a int);
	SELECT pgtrickle.create_stream_table('public.c', 'SELECT count(*) FROM s', 'continuous');
	INSERT INTO s VALUES (1);
});
wait_caught_up($node, 'two', 'public.c');
refresh_all();
$node->safe_psql('two', 'INSERT INTO s VALUES (1)');
wait_caught_up($node, 'two', 'public.c');
$node->safe_psql('postgres', 'DROP DATABASE two');

# ---- without workers ----

set_and_reload(max_dynamic_refresh_workers => 8, parallel_refresh_mode => 'off');
$node->restart;
is(refresh_all(), '1', 'parallel_refresh_mode = off: one after the other');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_trickle refresh worker'}),
	'0', 'by the scheduler itself');
set_and_reload(parallel_refresh_mode => 'dry_run');
refresh_all();
like(slurp_file($node->logfile), qr/would give the refresh of public\.slow1 to a worker/, 'dry_run says what it would do');

# launcher, logical replication launcher, scheduler: three slots, none left
set_and_reload(parallel_refresh_mode => 'on');
$node->append_conf('postgresql.conf', 'max_worker_processes = 3');
$node->restart;
my $log_start = -s $node->logfile;
is(refresh_all(), '1', 'out of worker slots: refreshed all the same');
my $log = substr slurp_file($node->logfile), $log_start;
my $said = () = $log =~ /could not start a refresh worker: out of background worker slots/g;
cmp_ok($said, '<=', 1, 'said once at most');
like(slurp_file($node->logfile), qr/could not start a refresh worker.*Raise max_worker_processes/s, 'and clearly');

# ---- an idle server ----

$node->append_conf('postgresql.conf', 'max_worker_processes = 24');
$node->restart;
refresh_all();

sub switches
{
	my %switches;
	my $pids = $node->safe_psql('postgres',
		q{SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE backend_type LIKE 'pg\_trickle %'});
	for my $pid (split ' ', $pids)
	{
		my ($n) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m;
		$switches{$pid} = $n;
	}
	return \%switches;
}

SKIP:
{
	skip 'no /proc', 2 unless -r '/proc/self/status';
	my $before = switches();
	sleep($ENV{PGT_IDLE_SECONDS} // 60);
	my $after = switches();
	my $wakeups = 0;
	$wakeups += $after->{$_} - ($before->{$_} // 0) for keys %$after;
	note("wake-ups: $wakeups");
	# statistics are sent, buffers and history cleaned once after the refreshes
	cmp_ok($wakeups, '<=', 12, 'an idle minute: launcher and scheduler sleep');
	ok($node->poll_query_until('postgres', q{
		SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type LIKE 'pg\_trickle %'}),
		'idle workers leave');
}

$node->stop;
done_testing();
