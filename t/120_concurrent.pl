# Several writers at random on shared tables while the scheduler refreshes and
# others refresh by hand: at no time is a stream table seen that no snapshot
# of its source could give, and at rest each equals its query.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{PGT_CONCURRENT_SECONDS} // 20;
my $node = new_node('concurrent');
create_extension($node, 'postgres');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE account (id int PRIMARY KEY, branch int, balance bigint NOT NULL, note text);
INSERT INTO account SELECT i, i % 7, 100, NULL FROM generate_series(1, 200) i;
CREATE TABLE branch (id int, name text);
INSERT INTO branch SELECT i, 'b' || i FROM generate_series(0, 6) i;
CREATE TABLE log (kind int, amount numeric, at_branch int);
SQL
my %st = (
	totals => q{SELECT sum(balance) AS total, count(*) AS n FROM account},
	by_branch => q{SELECT branch, count(*) AS n, sum(balance) AS total, min(balance), max(balance) FROM account GROUP BY branch},
	named => q{SELECT a.id, a.balance, b.name FROM account a JOIN branch b ON b.id = a.branch},
	by_name => q{SELECT b.name, count(*) AS n, sum(a.balance) AS total FROM account a JOIN branch b ON b.id = a.branch GROUP BY b.name},
	kinds => q{SELECT DISTINCT kind, at_branch FROM log},
	log_sums => q{SELECT kind, count(*) AS n, sum(amount) AS total, avg(amount) FROM log GROUP BY kind},
	log_join => q{SELECT l.kind, b.name, l.amount FROM log l JOIN branch b ON b.id = l.at_branch WHERE l.amount > 3},
	over => q{SELECT max(total) AS most, sum(n) AS n, sum(total) AS total FROM public.by_branch},
);
my @order = qw(totals by_branch named by_name kinds log_sums log_join over);
for my $name (@order)
{
	my $schedule = $name =~ /^(totals|kinds)$/ ? 'continuous' : '100ms';
	$node->safe_psql('postgres', "SELECT pgtrickle.create_stream_table('public.$name', \$\$$st{$name}\$\$, schedule => '$schedule', refresh_mode => 'DIFFERENTIAL')");
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
my @move = script(move => <<'SQL');
\set a random(1, 200)
\set b random(0, 7)
UPDATE account SET branch = nullif(:b, 7) WHERE id = :a;
SQL
my @branch = script(branch => <<'SQL');
\set b random(0, 6)
\set n random(1, 5)
BEGIN;
SAVEPOINT s;
UPDATE branch SET name = 'b' || :n WHERE id = :b;
ROLLBACK TO s;
UPDATE branch SET name = 'n' || :n WHERE id = :b;
COMMIT;
SQL
my @log = script(log => <<'SQL');
\set k random(1, 5)
\set b random(0, 6)
\set x random(-50, 50)
BEGIN;
INSERT INTO log VALUES (:k, :x / 10.0, :b), (:k, :x, nullif(:b, 3));
SAVEPOINT s;
DELETE FROM log WHERE ctid = ANY (ARRAY(SELECT ctid FROM log WHERE kind = :b LIMIT 3));
RELEASE s;
INSERT INTO log SELECT * FROM log WHERE kind = :k LIMIT 1;
COMMIT;
SQL
my @undone = script(undone => <<'SQL');
\set a random(1, 200)
BEGIN;
UPDATE account SET balance = balance + 1000000 WHERE id = :a;
INSERT INTO log VALUES (9, 1, 1);
ROLLBACK;
SQL
# readers: a state that never was is a division by zero
my @look = script(look => <<'SQL');
SELECT CASE WHEN total <> 20000 OR n <> 200 THEN 1 / (n - n) END FROM public.totals;
SELECT CASE WHEN sum(total) <> 20000 OR sum(n) <> 200 THEN 1 / (sum(n) - sum(n)) END FROM public.by_branch;
SELECT CASE WHEN total <> 20000 OR n <> 200 THEN 1 / (n - n) END FROM public.over;
SELECT CASE WHEN count(*) <> 0 THEN 1 / (count(*) - count(*)) END FROM public.kinds WHERE kind = 9;
\sleep 5 ms
SQL
my @by_hand = script(by_hand => <<'SQL');
SELECT pgtrickle.refresh_stream_table('public.by_name', wait => random() < 0.5);
SELECT pgtrickle.refresh_stream_table('public.log_sums');
\sleep 30 ms
SQL

sub bench
{
	my ($clients, @scripts) = @_;
	my $err = "$dir/bench" . join('', $scripts[1] =~ /(\w+)\.sql/) . '.err';
	my $pid = fork // die "fork: $!";
	return [ $pid, $err ] if $pid;
	open STDOUT, '>', "$err.out";
	open STDERR, '>', $err;
	exec 'pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds, '--max-tries=10', @scripts, '-d', $node->connstr('postgres')
	  if server_major() > 16;
	exec 'pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds, '--max-tries=10', @scripts, $node->connstr('postgres');
}
my %running = (
	writers => bench(5, map { ($_->[0], "$_->[1]\@$_->[2]") } ([ @transfer, 5 ], [ @move, 2 ], [ @branch, 1 ], [ @log, 2 ], [ @undone, 1 ])),
	readers => bench(2, @look),
	'refreshes by hand' => bench(2, @by_hand));
for my $who (sort keys %running)
{
	my ($pid, $err) = @{ $running{$who} };
	waitpid $pid, 0;
	my $text = slurp_file($err);
	is($? >> 8, 0, "$who end well") or diag $text;
}

wait_caught_up($node, 'postgres', "public.$_") for @order;
is($node->safe_psql('postgres', "SELECT string_agg(pgt_name || ' ' || last_error, ', ') FROM pgtrickle.pgt_stream_tables WHERE consecutive_errors > 0"), '', 'no errors left');
is($node->safe_psql('postgres', "SELECT count(*) FROM pgtrickle.pgt_stream_tables WHERE effective_mode = 'DIFFERENTIAL'"), scalar(@order), 'all differential');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE action = 'DIFFERENTIAL' AND initiated_by = 'SCHEDULER'"), '>', 20, 'the scheduler refreshed');
is($node->safe_psql('postgres', "SELECT string_agg(DISTINCT error_message, '; ') FROM pgtrickle.pgt_refresh_history WHERE status = 'FAILED'"), '', 'no refresh failed');
done_testing();
