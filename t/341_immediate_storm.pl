# Writers at random, at every isolation level, over sources of IMMEDIATE stream
# tables, while these change their mode, are suspended, resumed, verified and
# dropped; a crash at the end.  What money moves about is never made: readers
# check it all the time, and at rest every stream table equals its query.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{PGT_CONCURRENT_SECONDS} // 12;
my $node = new_node('storm', conf => "deadlock_timeout = 100ms\n");
create_extension($node, 'postgres');
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE account (id int PRIMARY KEY, branch int, balance bigint NOT NULL, note text);
INSERT INTO account SELECT i, i % 7, 100, NULL FROM generate_series(1, 200) i;
CREATE TABLE branch (id int PRIMARY KEY, name text);
INSERT INTO branch SELECT i, 'b' || i FROM generate_series(0, 6) i;
CREATE TABLE log (kind int, amount int, at_branch int);
SQL
my %st = (
	totals => q{SELECT sum(balance) AS total, count(*) AS n FROM account},
	by_branch => q{SELECT branch, count(*) AS n, sum(balance) AS total, min(balance), max(balance) FROM account GROUP BY branch},
	rich => q{SELECT id, balance FROM account WHERE balance > 100},
	named => q{SELECT a.id, a.balance, b.name FROM account a JOIN branch b ON b.id = a.branch},
	by_name => q{SELECT b.name, count(*) AS n, sum(a.balance) AS total FROM account a JOIN branch b ON b.id = a.branch GROUP BY b.name},
	kinds => q{SELECT DISTINCT kind, at_branch FROM log},
	log_sums => q{SELECT kind, count(*) AS n, sum(amount) AS total FROM log GROUP BY kind},
	over => q{SELECT max(total) AS most, sum(n) AS n, sum(total) AS total FROM public.by_branch},
);
my @order = qw(totals by_branch rich named by_name kinds log_sums over);
$node->safe_psql('postgres', "SELECT pgtrickle.create_stream_table('public.$_', \$\$$st{$_}\$\$, refresh_mode => 'IMMEDIATE')") for @order;

my $dir = PostgreSQL::Test::Utils::tempdir;
sub script
{
	my ($name, $sql) = @_;
	append_to_file("$dir/$name.sql", $sql);
	return ('-f', "$dir/$name.sql");
}
my @scripts;
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	my $n = $level =~ s/ .*//r;
	push @scripts, [ script("transfer_$n" => <<"SQL"), $level eq 'READ COMMITTED' ? 4 : 1 ];
\\set a random(1, 200)
\\set b random(1, 200)
\\set x random(1, 9)
BEGIN ISOLATION LEVEL $level;
UPDATE account SET balance = balance + CASE id WHEN :a THEN -:x ELSE :x END WHERE id IN (:a, :b) AND :a <> :b;
COMMIT;
SQL
	push @scripts, [ script("move_$n" => <<"SQL"), $level eq 'READ COMMITTED' ? 2 : 1 ];
\\set a random(1, 200)
\\set b random(0, 7)
BEGIN ISOLATION LEVEL $level;
UPDATE account SET branch = nullif(:b, 7) WHERE id = :a;
SAVEPOINT s;
UPDATE account SET balance = balance + 1000000 WHERE id = :a;
ROLLBACK TO s;
COMMIT;
SQL
	push @scripts, [ script("log_$n" => <<"SQL"), 1 ];
\\set k random(1, 5)
\\set b random(0, 6)
BEGIN ISOLATION LEVEL $level;
INSERT INTO log VALUES (:k, :b, :b), (:k, 5, nullif(:b, 3));
DELETE FROM log WHERE ctid = ANY (ARRAY(SELECT ctid FROM log WHERE kind = :b LIMIT 3));
COMMIT;
SQL
}
push @scripts, [ script(branch => <<'SQL'), 1 ];
\set b random(0, 6)
\set n random(1, 5)
WITH a AS (UPDATE account SET note = 'n' WHERE id = :b), l AS (INSERT INTO log VALUES (:b, 1, :n))
UPDATE branch SET name = 'b' || :n WHERE id = :b;
SQL
push @scripts, [ script(undone => <<'SQL'), 1 ];
\set a random(1, 200)
BEGIN;
UPDATE account SET balance = balance + 1000000 WHERE id = :a;
INSERT INTO log VALUES (9, 1, 1);
ROLLBACK;
SQL
push @scripts, [ script(cut => "TRUNCATE log;\n"), 1 ];
# a state that never was is a division by zero
my @look = script(look => <<'SQL');
SELECT CASE WHEN total <> 20000 OR n <> 200 THEN 1 / (n - n) END FROM public.totals;
SELECT CASE WHEN sum(total) <> 20000 OR sum(n) <> 200 THEN 1 / (sum(n) - sum(n)) END FROM public.by_branch;
SELECT CASE WHEN count(*) <> 0 THEN 1 / (count(*) - count(*)) END FROM public.kinds WHERE kind = 9;
\sleep 5 ms
SQL
# these have their lock on the writers' tables for a moment only
my @change = script(change => <<'SQL');
SELECT pgtrickle.alter_stream_table('public.by_name', refresh_mode => 'DIFFERENTIAL', schedule => '50ms');
\sleep 60 ms
SELECT pgtrickle.alter_stream_table('public.by_name', refresh_mode => 'IMMEDIATE');
\sleep 30 ms
SELECT pgtrickle.alter_stream_table('public.log_sums', enabled => false);
\sleep 30 ms
SELECT pgtrickle.resume_stream_table('public.log_sums');
\sleep 30 ms
SELECT CASE WHEN rows_inserted + rows_deleted <> 0 THEN 1 / (rows_inserted - rows_inserted) END FROM pgtrickle.refresh_stream_table('public.by_branch');
SELECT CASE WHEN rows_inserted + rows_deleted <> 0 THEN 1 / (rows_inserted - rows_inserted) END FROM pgtrickle.refresh_stream_table('public.named');
\sleep 30 ms
SELECT pgtrickle.create_stream_table('public.passing', 'SELECT at_branch, count(*) FROM log GROUP BY 1', refresh_mode => 'IMMEDIATE');
\sleep 30 ms
SELECT pgtrickle.drop_stream_table('public.passing');
SQL

sub bench
{
	my ($clients, @args) = @_;
	my $err = "$dir/bench" . join('', $args[1] =~ /(\w+)\.sql/) . '.err';
	my $pid = fork // die "fork: $!";
	return [ $pid, $err ] if $pid;
	open STDOUT, '>', "$err.out";
	open STDERR, '>', $err;
	exec 'pgbench', '-n', '-c', $clients, '-j', 1, '-T', $seconds, '--max-tries=100', @args, (server_major() > 16 ? '-d' : ()), $node->connstr('postgres');
}
my %running = (
	writers => bench(6, map { ($_->[0], "$_->[1]\@$_->[2]") } @scripts),
	readers => bench(2, @look),
	changes => bench(1, @change));
for my $who (sort keys %running)
{
	my ($pid, $err) = @{ $running{$who} };
	waitpid $pid, 0;
	is($? >> 8, 0, "$who end well") or diag slurp_file($err);
	my ($done) = slurp_file("$err.out") =~ /transactions actually processed: (\d+)/;
	cmp_ok($done // 0, '>', $who eq 'changes' ? 2 : 50, "$who got something done") or diag slurp_file("$err.out");
}

sub differences
{
	my ($name) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FROM ((SELECT x::text FROM ($st{$name}) x EXCEPT ALL SELECT y::text FROM public.$name y)"
		  . " UNION ALL (SELECT y::text FROM public.$name y EXCEPT ALL SELECT x::text FROM ($st{$name}) x)) d");
}
# the one that changes its mode may have stopped as a deferred one, or suspended
$node->safe_psql('postgres', "DROP TABLE IF EXISTS public.passing");
$node->safe_psql('postgres', "SELECT pgtrickle.alter_stream_table('public.by_name', refresh_mode => 'IMMEDIATE')");
$node->safe_psql('postgres', "SELECT pgtrickle.resume_stream_table('public.log_sums')");
is(differences($_), 0, "$_ equals its query") for @order;

# writes cut off by a crash are in neither, committed ones in both
$node->safe_psql('postgres', "INSERT INTO branch VALUES (7, 'b7')");
my $writer = $node->background_psql('postgres');
$writer->query_safe("BEGIN; UPDATE account SET balance = balance + 7; INSERT INTO log VALUES (8, 8, 8)");
$node->stop('immediate');
$writer->{run}->finish;
$node->start;
is(differences($_), 0, "$_ equals its query after a crash") for @order;
is($node->safe_psql('postgres', "SELECT count(*) FROM public.kinds WHERE kind = 8"), 0, 'what was not committed is gone');
$node->safe_psql('postgres', "UPDATE account SET branch = 7 WHERE id < 50; INSERT INTO log VALUES (8, 8, 8)");
is(differences($_), 0, "$_ goes on") for @order;
done_testing();
