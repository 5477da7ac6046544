# The server is torn down again and again, by kill -9 of a process at random and by
# immediate shutdowns, while sources pass from triggers to the WAL and back under
# writers: whatever was committed is there once.  PGT_ROUNDS says how often.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{PGT_ROUNDS} // 5;
my $seed = $ENV{PGT_SEED} // time % 1_000_000;
srand $seed;
note "PGT_SEED=$seed PGT_ROUNDS=$rounds";
my $node = new_node('torn', conf => "restart_after_crash = on\n");
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', @_) }
sql(q{
	CREATE TABLE account (id int PRIMARY KEY, branch int, balance bigint NOT NULL);
	ALTER TABLE account REPLICA IDENTITY FULL;
	INSERT INTO account SELECT i, i % 7, 100 FROM generate_series(1, 200) i;
	CREATE TABLE log (kind int, amount int) PARTITION BY LIST (kind);
	CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1, 2);
	CREATE TABLE log_rest PARTITION OF log DEFAULT;
	ALTER TABLE log_1 REPLICA IDENTITY FULL;
	ALTER TABLE log_rest REPLICA IDENTITY FULL;
	SELECT pgtrickle.create_stream_table('public.totals', 'SELECT sum(balance) AS total, count(*) AS n FROM account', 'continuous', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.branches', 'SELECT branch, sum(balance) AS total FROM account GROUP BY branch', '100ms', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.kinds', 'SELECT kind, count(*) AS n, sum(amount) AS total FROM log GROUP BY kind', '100ms', 'DIFFERENTIAL');
});
my @order = qw(public.totals public.branches public.kinds);
my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/write.sql", <<'SQL');
\set a random(1, 200)
\set b random(1, 200)
\set k random(1, 4)
BEGIN;
UPDATE account SET balance = balance - :k WHERE id = least(:a, :b) AND :a <> :b;
UPDATE account SET balance = balance + :k, branch = :k WHERE id = greatest(:a, :b) AND :a <> :b;
INSERT INTO log VALUES (:k, :a);
DELETE FROM log WHERE ctid = ANY (ARRAY(SELECT ctid FROM log_1 LIMIT 1)) AND tableoid = 'log_1'::regclass;
COMMIT;
SQL

# one that goes on when the server is back
sub start_writers
{
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	open STDOUT, '>', "$dir/out";
	open STDERR, '>', "$dir/err";
	my @to = server_major() > 16 ? ('-d', $node->connstr('postgres')) : ($node->connstr('postgres'));
	exec 'pgbench', '-n', '-c', 3, '-T', 3600, '--max-tries=20', '-f', "$dir/write.sql", @to;
}

sub pick { return $_[ rand @_ ] }

# kill -9 of one of ours, or of a writer; the postmaster then starts anew
sub tear_down
{
	my ($kind) = @_;
	if ($kind eq 'immediate')
	{
		$node->stop('immediate');
		$node->start;
		return 1;
	}
	my ($rc, $pid) = $node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = '$kind' AND pid <> pg_backend_pid() AND query NOT LIKE '%alter_stream%' LIMIT 1");
	return 0 unless $rc == 0 && $pid;
	kill 'KILL', $pid;
	return 1;
}

my %torn;
for my $round (1 .. $rounds)
{
	my $writers = start_writers();
	my $mode = pick(qw(auto trigger));
	for my $name (@order)
	{
		$node->psql('postgres', "SELECT pgtrickle.alter_stream_table('$name', cdc_mode => '$mode')");
	}
	sleep rand 1;
	my $kind = pick('pg_trickle decoder', 'pg_trickle scheduler', 'client backend', 'pg_trickle refresh worker', 'immediate');
	$torn{$kind} += tear_down($kind);
	waitpid $writers, 0 if kill 'INT', $writers;
	$node->poll_query_until('postgres', 'SELECT 1', '1') or die 'the server does not come back';
	next if $round % 3;
	wait_caught_up($node, 'postgres', $_) for @order;
}
wait_caught_up($node, 'postgres', $_) for @order;
is(sql(q{SELECT total || ' ' || n FROM public.totals}), '20000 200', 'no money was lost or made');
for my $mode (qw(auto trigger))
{
	sql("SELECT pgtrickle.alter_stream_table(n, cdc_mode => '$mode') FROM unnest('{@{[join ',', @order]}}'::text[]) n");
	wait_cdc_mode($node, 'postgres', $_, $mode eq 'auto' ? 'WAL' : 'TRIGGER') for qw(account log);
	sql(q{UPDATE account SET balance = balance + 1; INSERT INTO log VALUES (1, 1)});
	wait_caught_up($node, 'postgres', $_) for @order;
}
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal 11|signal 6/, 'nothing crashed of itself');
note join ', ', map { "$_: $torn{$_}" } sort keys %torn;
done_testing();
