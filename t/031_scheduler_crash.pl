# Processes die in every way; stream tables catch up all the same.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('crash', conf => "restart_after_crash = on\n");
create_extension($node, 'postgres');
# Hangs on negative numbers while the file "hang" stands in the data directory.
$node->safe_psql('postgres', q{
	CREATE FUNCTION slowly(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN
			WHILE v < 0 AND (pg_stat_file('hang', true)).size IS NOT NULL LOOP
				PERFORM pg_sleep(0.02);
			END LOOP;
			RETURN v;
		END $$;
	CREATE TABLE src (k int, v int);
	CREATE TABLE other (k int, v int);
	SELECT pgtrickle.create_stream_table('public.a', 'SELECT k, slowly(v) AS v FROM src', 'continuous');
	SELECT pgtrickle.create_stream_table('public.b', 'SELECT k, sum(v) AS s FROM other GROUP BY k', 'continuous');
	INSERT INTO src VALUES (1, 1);
	INSERT INTO other VALUES (1, 1);
});
wait_caught_up($node, 'postgres', $_) for 'public.a', 'public.b';

my $worker_of_a = q{SELECT pid FROM pg_stat_activity
	WHERE application_name = 'pg_trickle refresh worker: public.a' AND state = 'active'};

sub pid_of
{
	my ($kind) = @_;
	$node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'pg_trickle $kind'");
	return $node->safe_psql('postgres',
		"SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'pg_trickle $kind'");
}

# The server goes through recovery after a kill -9 of any of its processes.
sub kill_9
{
	my ($pid) = @_;
	kill 'KILL', $pid;
	$node->poll_query_until('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", '0');
	return;
}

# Start a refresh that hangs: the caller breaks it, then lets it go.
my $hang = $node->data_dir . '/hang';
sub hang_a
{
	append_to_file($hang, '');
	$node->safe_psql('postgres', 'INSERT INTO src VALUES (2, -1)');
	$node->poll_query_until('postgres', "SELECT EXISTS ($worker_of_a)");
	return $node->safe_psql('postgres', $worker_of_a);
}

sub let_go_and_check
{
	my ($what) = @_;
	unlink $hang;
	$node->safe_psql('postgres', 'INSERT INTO other SELECT i % 3, i FROM generate_series(1, 10) i');
	wait_caught_up($node, 'postgres', $_) for 'public.a', 'public.b';
	ok($node->poll_query_until('postgres',
			q{SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE status = 'RUNNING'}, '0'),
		"$what: no refresh is left running");
	return;
}

# ---- SIGTERM: the server stays up ----

my $pid = hang_a();
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 5000)");
let_go_and_check('worker terminated');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE status = 'FAILED'}),
	'>=', 1, 'its refresh is recorded as failed');

for my $kind ('launcher', 'scheduler')
{
	$pid = pid_of($kind);
	hang_a() if $kind eq 'scheduler';
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 5000)");
	let_go_and_check("$kind terminated");
	isnt(pid_of($kind), $pid, "another $kind runs");
}

# ---- SIGKILL: crash recovery ----

kill_9(hang_a());
let_go_and_check('worker killed');

for my $kind ('scheduler', 'launcher')
{
	hang_a() if $kind eq 'scheduler';
	kill_9(pid_of($kind));
	let_go_and_check("$kind killed");
}

# a writer, in the middle of its transaction
{
	my ($in, $out) = ("BEGIN; INSERT INTO src VALUES (9, 9); SELECT pg_backend_pid();\n", '');
	my $writer = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<' => \$in, '>' => \$out, '2>' => \my $err);
	$writer->pump until $out =~ /(\d+)\n/;
	kill_9($1);
	$in .= "\\q\n";
	eval { $writer->finish };
}
let_go_and_check('writer killed');
is($node->safe_psql('postgres', 'SELECT count(*) FROM public.a WHERE k = 9'), '0', 'nothing of its transaction arrived');

hang_a();
$node->stop('immediate');
$node->start;
let_go_and_check('server crashed');

# ---- a standby does nothing; promoted, it goes on ----

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('postgres', 'INSERT INTO src VALUES (20, 20)');
wait_caught_up($node, 'postgres', 'public.a');
# what is seen on the primary may not be written to its WAL yet
ok($standby->poll_query_until('postgres', 'SELECT count(*) = 1 FROM public.a WHERE k = 20'), 'the result is replicated');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg\_trickle %'}),
	'0', 'no process of ours on a standby');
$node->stop('fast');
$standby->promote;
$standby->safe_psql('postgres', 'INSERT INTO src VALUES (21, 21)');
wait_caught_up($standby, 'postgres', 'public.a');
$standby->stop;

done_testing();
