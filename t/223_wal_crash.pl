# kill -9 of the decoder at named places, of anything at random places, and
# immediate shutdowns: nothing is lost, nothing is doubled.
# PGT_CRASH_ROUNDS says how many random kills (default 6).
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('crash', conf => "restart_after_crash = on\npg_trickle.cdc_mode = trigger\nsynchronous_commit = on\nfsync = on\n");
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE TABLE src (k int, v int);
	ALTER TABLE src REPLICA IDENTITY FULL;
	CREATE TABLE dim (k int, name text);
	ALTER TABLE dim REPLICA IDENTITY FULL;
	INSERT INTO src SELECT i % 10, i FROM generate_series(1, 300) i;
	INSERT INTO dim SELECT i, 'name ' || i FROM generate_series(0, 10) i;
	SELECT pgtrickle.create_stream_table('public.sums', 'SELECT k, sum(v) AS s, count(*) AS n FROM src GROUP BY k', 'continuous', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.named', 'SELECT d.name, s.v FROM src s JOIN dim d USING (k)', '100ms', 'DIFFERENTIAL');
});
capture_from_wal($node, 'postgres', 'src', 'dim');

sub caught_up
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	note($what);
	wait_caught_up($node, 'postgres', $_) for 'public.sums', 'public.named';
	return is($node->safe_psql('postgres', 'SELECT n_lost FROM pgtrickle.pgt_decoder'), '0',
		"$what: nothing was missed");
}

sub killed
{
	my @deaths = slurp_file($node->logfile) =~ /was terminated by signal 9/g;
	return scalar @deaths;
}

sub wait_until
{
	my ($condition) = @_;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $condition->();
		select undef, undef, undef, 0.1;
	}
	return 0;
}

# psql ends before it has read its input while the server recovers, so the
# question is an argument.
sub wait_for_server
{
	return wait_until(sub {
		my $answer = '';
		IPC::Run::run([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT NOT pg_is_in_recovery()' ],
			'<' => \undef, '>' => \$answer, '2>' => \my $err);
		$answer eq "t\n";
	}) || die 'the server did not come back';
}

caught_up('at first');

# ---- the decoder, at named places (assert-enabled servers) ----

SKIP:
{
	skip 'crash points are in assert-enabled builds only', 1
	  unless $node->safe_psql('postgres', 'SHOW debug_assertions') eq 'on';
	for my $point (qw(decoded written stored committed flushed confirmed))
	{
		my $before = killed();
		# nothing of before is left to be confirmed
		$node->poll_query_until('postgres', q{SELECT confirmed_flush_lsn >= position FROM pg_replication_slots, pgtrickle.pgt_decoder});
		$node->append_conf('postgresql.conf', "pg_trickle.crash_point = '$point'");
		$node->reload;
		$node->poll_query_until('postgres', 'SHOW pg_trickle.crash_point', $point);
		my ($rc, $lsn) = $node->psql('postgres', qq{
			BEGIN;
			INSERT INTO src SELECT i % 10, i FROM generate_series(1, 50) i;
			SELECT pg_current_wal_insert_lsn();
			COMMIT;
			UPDATE dim SET name = '$point' WHERE k = 3});
		ok(wait_until(sub { killed() > $before }), "the decoder kills itself at \"$point\"");
		my $offset = -s $node->logfile;
		$node->append_conf('postgresql.conf', q{pg_trickle.crash_point = ''});
		system('pg_ctl', 'reload', '-s', '-D', $node->data_dir);
		wait_for_server();
		caught_up("killed at \"$point\"");
		next unless $point eq 'flushed' && defined $lsn && $lsn ne '';

		# written before the crash, so not decoded again
		my ($from) = slurp_file($node->logfile, $offset) =~ /pg_trickle decodes from (\S+)/;
		is($node->safe_psql('postgres', "SELECT '$from'::pg_lsn >= '$lsn'::pg_lsn"), 't',
			'between batch commit and confirm: the restart skips what is written');
	}
}

# ---- at any place ----

append_to_file($node->data_dir . '/load.sql', q{
\set k random(0, 10)
\set v random(1, 100000)
BEGIN;
INSERT INTO src VALUES (:k, :v), (:k, :v + 1);
UPDATE src SET v = v + 1 WHERE k = :k AND v = :v;
END;
DELETE FROM src WHERE k = :k AND v < 100;
UPDATE dim SET name = 'x' || :v WHERE k = :k;
});

my @victims = ('pg_trickle decoder', 'pg_trickle refresh worker', 'pg_trickle scheduler', 'client backend', 'walwriter', 'shutdown');
my $rounds = $ENV{PGT_CRASH_ROUNDS} // 6;
for my $round (1 .. $rounds)
{
	my $victim = $victims[ ($round - 1) % @victims ];
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-c', '3', '-T', '60', '-f', $node->data_dir . '/load.sql', '-h', $node->host, '-p', $node->port, 'postgres' ],
		'<' => \undef, '>' => \my $out, '2>' => \my $err);
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM pgtrickle.pgt_refresh_history');
	$node->poll_query_until('postgres', "SELECT count(*) > $before + 3 + " . int(rand 20) . ' FROM pgtrickle.pgt_refresh_history');
	if ($victim eq 'shutdown')
	{
		$node->stop('immediate');
		$load->kill_kill;
		$node->start;
	}
	else
	{
		my $pid = '';
		wait_until(sub {
			$pid = $node->safe_psql('postgres', "SELECT min(pid) FROM pg_stat_activity WHERE backend_type = '$victim' AND pid <> pg_backend_pid()");
			$pid ne '' && kill 'KILL', $pid;
		});
		$load->finish;    # its connections are gone
		wait_for_server();
	}
	caught_up("round $round, $victim killed");
}

$node->stop;
done_testing();
