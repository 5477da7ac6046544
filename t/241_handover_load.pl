# Sources flip between triggers and the WAL again and again while several
# sessions write to them without a pause: nothing is lost and nothing comes
# twice.  PGT_FLIPS says how often each way (fifty by hand).
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;

my $flips = $ENV{PGT_FLIPS} // 4;
my $node = new_node('flips', conf => "synchronous_commit = off\n");
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', @_) }
sql(q{
	CREATE TABLE account (id int PRIMARY KEY, branch int, balance bigint NOT NULL);
	ALTER TABLE account REPLICA IDENTITY FULL;
	INSERT INTO account SELECT i, i % 7, 100 FROM generate_series(1, 200) i;
	CREATE TABLE branch (id int, name text);
	ALTER TABLE branch REPLICA IDENTITY FULL;
	INSERT INTO branch SELECT i, 'b' || i FROM generate_series(0, 6) i;
	CREATE TABLE log (kind int, amount numeric, at_branch int) PARTITION BY LIST (kind);
	CREATE TABLE log_1 PARTITION OF log FOR VALUES IN (1, 2);
	CREATE TABLE log_rest (at_branch int, amount numeric, kind int);
	ALTER TABLE log ATTACH PARTITION log_rest DEFAULT;
	ALTER TABLE log_1 REPLICA IDENTITY FULL;
	ALTER TABLE log_rest REPLICA IDENTITY FULL;
});
my %st = (
	totals => q{SELECT sum(balance) AS total, count(*) AS n FROM account},
	by_name => q{SELECT b.name, count(*) AS n, sum(a.balance) AS total FROM account a JOIN branch b ON b.id = a.branch GROUP BY b.name},
	log_sums => q{SELECT kind, count(*) AS n, sum(amount) AS total FROM log GROUP BY kind},
	log_join => q{SELECT l.kind, b.name, l.amount FROM log l JOIN branch b ON b.id = l.at_branch},
	over => q{SELECT max(total) AS most, sum(n) AS n, sum(total) AS total FROM public.by_name},
);
my @order = qw(totals by_name log_sums log_join over);
for my $name (@order)
{
	my $schedule = $name eq 'totals' ? 'continuous' : '100ms';
	sql("SELECT pgtrickle.create_stream_table('public.$name', \$\$$st{$name}\$\$, schedule => '$schedule', refresh_mode => 'DIFFERENTIAL')");
}

my $dir = PostgreSQL::Test::Utils::tempdir;
sub script
{
	my ($name, $sql) = @_;
	append_to_file("$dir/$name.sql", $sql);
	return ('-f', "$dir/$name.sql");
}
# money moves, none is made
my @transfer = script(transfer => <<'SQL');
\set a random(1, 200)
\set b random(1, 200)
\set x random(1, 9)
BEGIN;
UPDATE account SET balance = balance - :x WHERE id = least(:a, :b) AND :a <> :b;
UPDATE account SET balance = balance + :x WHERE id = greatest(:a, :b) AND :a <> :b;
COMMIT;
SQL
my @mixed = script(mixed => <<'SQL');
\set k random(1, 4)
\set b random(0, 6)
\set x random(-50, 50)
BEGIN;
INSERT INTO log VALUES (:k, :x / 10.0, :b), (:k, :x, nullif(:b, 3));
SAVEPOINT s;
UPDATE log SET kind = kind % 4 + 1 WHERE ctid = ANY (ARRAY(SELECT ctid FROM log_rest WHERE kind = :k LIMIT 2)) AND tableoid = 'log_rest'::regclass;
DELETE FROM log_1 WHERE ctid = ANY (ARRAY(SELECT ctid FROM log_1 LIMIT 2));
RELEASE s;
UPDATE branch SET name = 'n' || :k WHERE id = :b;
COMMIT;
SQL
my @undone = script(undone => <<'SQL');
\set a random(1, 200)
BEGIN;
UPDATE account SET balance = balance + 1000000 WHERE id = :a;
INSERT INTO log VALUES (4, 1, 1);
ROLLBACK;
SQL
# a state that never was is a division by zero
my @look = script(look => <<'SQL');
SELECT CASE WHEN total <> 20000 OR n <> 200 THEN 1 / (n - n) END FROM public.totals;
SELECT CASE WHEN sum(total) <> 20000 OR sum(n) <> 200 THEN 1 / (sum(n) - sum(n)) END FROM public.by_name;
SELECT CASE WHEN total <> 20000 OR n <> 200 THEN 1 / (n - n) END FROM public.over;
\sleep 5 ms
SQL

# stopped when the flips are done
sub bench
{
	my ($name, $clients, @scripts) = @_;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	open STDOUT, '>', "$dir/$name.out";
	open STDERR, '>', "$dir/$name.err";
	my @to = server_major() > 16 ? ('-d', $node->connstr('postgres')) : ($node->connstr('postgres'));
	exec 'pgbench', '-n', '-c', $clients, '-j', 1, '-T', 3600, '--max-tries=20', @scripts, @to;
}
my %running = (
	writers => bench('writers', 4, map { ($_->[0], "$_->[1]\@$_->[2]") } ([ @transfer, 4 ], [ @mixed, 3 ], [ @undone, 1 ])),
	readers => bench('readers', 1, @look));

for my $flip (1 .. $flips)
{
	sql(qq{SELECT pgtrickle.alter_stream_table('public.' || n, cdc_mode => 'auto') FROM unnest('{totals,by_name,log_sums,log_join}'::text[]) n});
	wait_cdc_mode($node, 'postgres', $_, 'WAL') for qw(account branch log);
	sql(qq{SELECT pgtrickle.alter_stream_table('public.' || n, cdc_mode => 'trigger') FROM unnest('{totals,log_join}'::text[]) n});
	wait_cdc_mode($node, 'postgres', $_, 'TRIGGER') for qw(account branch log);
}
for my $who (sort keys %running)
{
	is(waitpid($running{$who}, POSIX::WNOHANG()), 0, "$who are still at it");
	kill 'INT', $running{$who};
	waitpid $running{$who}, 0;
	unlike(slurp_file("$dir/$who.err"), qr/ERROR|aborted/, "$who saw no error");
}
wait_caught_up($node, 'postgres', "public.$_") for @order;
is(sql(q{SELECT total || ' ' || n FROM public.totals}), '20000 200', 'no money was lost or made');
is(sql(q{SELECT string_agg(DISTINCT reason, '; ') FROM pgtrickle.pgt_refresh_history WHERE action IN ('FULL', 'REINITIALIZE')}), '',
	'and nothing had to be rebuilt for it');
is(sql(q{SELECT string_agg(DISTINCT error_message, '; ') FROM pgtrickle.pgt_refresh_history WHERE status = 'FAILED'}), '', 'no refresh failed');
done_testing();
