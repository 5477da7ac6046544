# The owner changes what the WAL tells of a source while it is captured from
# there: it goes back to triggers and no row is missed, under writers too.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('identity');
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', @_) }

sub blocked
{
	my ($source, $pattern, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return like(sql("SELECT blocked_reason FROM pgtrickle.check_cdc_health() WHERE source_table = '$source'::regclass"), $pattern, $what);
}

sub rebuilt
{
	my ($st) = @_;
	return sql("SELECT count(*) FROM pgtrickle.get_refresh_history('$st', 1000) WHERE action IN ('FULL', 'REINITIALIZE')");
}

sql(q{
	CREATE TABLE src (id int PRIMARY KEY, g int, v int);
	ALTER TABLE src REPLICA IDENTITY FULL;
	INSERT INTO src SELECT i, i % 5, i FROM generate_series(1, 100) i;
	SELECT pgtrickle.create_stream_table('public.st', 'SELECT g, sum(v) AS total FROM src GROUP BY g', '100ms', 'DIFFERENTIAL');
});
wait_cdc_mode($node, 'postgres', 'src', 'WAL');

# ---- ALTER TABLE hands back itself: nothing is written in between ----

sql(q{UPDATE src SET v = v + 1});
sql(q{ALTER TABLE src REPLICA IDENTITY DEFAULT});
is(sql(q{SELECT cdc_mode || ' ' || capture_form FROM pgtrickle.pgt_sources}), 'TRIGGER statement', 'without FULL the source is on triggers when the command ends');
blocked('src', qr/^the WAL lacks old rows of public.src: its replica identity is DEFAULT$/, 'and says why');
sql(q{UPDATE src SET v = v * 2 WHERE g = 1; DELETE FROM src WHERE id = 3});
wait_caught_up($node, 'postgres', 'public.st');
is(rebuilt('public.st'), '0', 'nothing had to be rebuilt');
sql(q{ALTER TABLE src REPLICA IDENTITY FULL});
wait_cdc_mode($node, 'postgres', 'src', 'WAL');
sql(q{UPDATE src SET v = v + 1 WHERE g = 2});
wait_caught_up($node, 'postgres', 'public.st');
is(rebuilt('public.st'), '0', 'nor on the way there');

# a transaction that wrote before: what it wrote is not decoded yet
sql(q{BEGIN; UPDATE src SET v = v + 3 WHERE g = 3; ALTER TABLE src REPLICA IDENTITY DEFAULT; UPDATE src SET v = v + 4 WHERE g < 4; COMMIT});
wait_caught_up($node, 'postgres', 'public.st');
is(rebuilt('public.st'), '1', 'one that wrote before has the readers rebuilt');
sql(q{ALTER TABLE src REPLICA IDENTITY FULL});
wait_cdc_mode($node, 'postgres', 'src', 'WAL');
# undone with the command
sql(q{BEGIN; ALTER TABLE src REPLICA IDENTITY NOTHING; ALTER TABLE src REPLICA IDENTITY DEFAULT; ROLLBACK; UPDATE src SET v = v + 1});
wait_caught_up($node, 'postgres', 'public.st');
is(sql(q{SELECT cdc_mode FROM pgtrickle.pgt_sources}), 'WAL', 'rolled back: nothing happened');

# ---- under writers ----

my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/write.sql", <<'SQL');
\set id random(1, 300)
BEGIN;
INSERT INTO src VALUES (:id, :id % 5, 1) ON CONFLICT (id) DO UPDATE SET v = src.v + 1, g = (src.g + 1) % 5;
DELETE FROM src WHERE id = (:id * 7) % 301;
COMMIT;
SQL
my $writers = fork // die "fork: $!";
if ($writers == 0)
{
	open STDOUT, '>', "$dir/out";
	open STDERR, '>', "$dir/err";
	my @to = server_major() > 16 ? ('-d', $node->connstr('postgres')) : ($node->connstr('postgres'));
	exec 'pgbench', '-n', '-c', 3, '-T', 3600, '-f', "$dir/write.sql", @to;
}
for (1 .. 3)
{
	sql(q{ALTER TABLE src REPLICA IDENTITY DEFAULT});
	wait_cdc_mode($node, 'postgres', 'src', 'TRIGGER');
	sql(q{ALTER TABLE src REPLICA IDENTITY FULL});
	wait_cdc_mode($node, 'postgres', 'src', 'WAL');
}
kill 'INT', $writers;
waitpid $writers, 0;
unlike(slurp_file("$dir/err"), qr/ERROR/, 'writers saw no error');
wait_caught_up($node, 'postgres', 'public.st');

# ---- unlogged ----

sql(q{UPDATE src SET v = v + 1; ALTER TABLE src SET UNLOGGED; UPDATE src SET v = v + 1});
is(sql(q{SELECT cdc_mode FROM pgtrickle.pgt_sources}), 'TRIGGER', 'an unlogged source is on triggers at once');
blocked('src', qr/unlogged/, 'and says why');
wait_caught_up($node, 'postgres', 'public.st');
sql(q{ALTER TABLE src SET LOGGED; UPDATE src SET v = v + 1});
wait_cdc_mode($node, 'postgres', 'src', 'WAL');
wait_caught_up($node, 'postgres', 'public.st');

# ---- the word that rows are only inserted ----

sql(q{
	CREATE TABLE log (at int, v int);
	ALTER TABLE log REPLICA IDENTITY NOTHING;
	SELECT pgtrickle.create_stream_table('public.logged', 'SELECT at, v FROM log', '100ms', 'DIFFERENTIAL');
});
wait_cdc_mode($node, 'postgres', 'log', 'WAL');
sql(q{INSERT INTO log SELECT i, i FROM generate_series(1, 50) i});
wait_caught_up($node, 'postgres', 'public.logged');
is(rebuilt('public.logged'), '0', 'insertions need no identity');
sql(q{UPDATE log SET v = v + 1 WHERE at < 10});
wait_caught_up($node, 'postgres', 'public.logged');
is(rebuilt('public.logged'), '1', 'an update without its old row has the readers rebuilt');
wait_cdc_mode($node, 'postgres', 'log', 'TRIGGER');
blocked('log', qr/replica identity is NOTHING/, 'and the source goes back to triggers for good');
sql(q{DELETE FROM log WHERE at = 20});
wait_caught_up($node, 'postgres', 'public.logged');
is(rebuilt('public.logged'), '1', 'which record deletions');
sql(q{ALTER TABLE log REPLICA IDENTITY FULL});
wait_cdc_mode($node, 'postgres', 'log', 'WAL');

# ---- keys that hold all that is read ----

sql(q{
	CREATE TABLE pair (a int, b int, note text, PRIMARY KEY (a, b));
	INSERT INTO pair SELECT i, i % 3, repeat('n', 10) FROM generate_series(1, 30) i;
	SELECT pgtrickle.create_stream_table('public.paired', 'SELECT b, count(*) AS n, sum(a) AS s FROM pair GROUP BY b', '100ms', 'DIFFERENTIAL');
});
wait_cdc_mode($node, 'postgres', 'pair', 'WAL');
sql(q{UPDATE pair SET note = 'other'; UPDATE pair SET b = b + 1 WHERE a < 5; UPDATE pair SET a = a + 100, note = 'x' WHERE b = 0; DELETE FROM pair WHERE a = 8});
wait_caught_up($node, 'postgres', 'public.paired');
is(rebuilt('public.paired'), '0', 'the key tells all that is read');
sql(q{SELECT pgtrickle.create_stream_table('public.noted', 'SELECT a, note FROM pair', '100ms', 'DIFFERENTIAL')});
wait_cdc_mode($node, 'postgres', 'pair', 'TRIGGER');
sql(q{UPDATE pair SET note = 'third' WHERE b = 1});
wait_caught_up($node, 'postgres', "public.$_") for qw(paired noted);
sql(q{SELECT pgtrickle.drop_stream_table('public.noted')});

# ---- a partition that comes without ----

sql(q{
	CREATE TABLE parts (id int, v int) PARTITION BY RANGE (id);
	CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);
	ALTER TABLE part_1 REPLICA IDENTITY FULL;
	SELECT pgtrickle.create_stream_table('public.parted', 'SELECT id, v FROM parts', '100ms', 'DIFFERENTIAL');
});
wait_cdc_mode($node, 'postgres', 'parts', 'WAL');
sql(q{CREATE TABLE part_2 PARTITION OF parts FOR VALUES FROM (100) TO (200); INSERT INTO parts SELECT i, i FROM generate_series(50, 150) i; UPDATE parts SET v = v + 1});
wait_cdc_mode($node, 'postgres', 'parts', 'TRIGGER');
wait_caught_up($node, 'postgres', 'public.parted');
sql(q{ALTER TABLE part_2 REPLICA IDENTITY FULL; UPDATE parts SET v = v + 1});
wait_cdc_mode($node, 'postgres', 'parts', 'WAL');
wait_caught_up($node, 'postgres', 'public.parted');
sql(q{ALTER TABLE part_2 REPLICA IDENTITY DEFAULT; UPDATE parts SET v = v + 1; DELETE FROM parts WHERE id = 120});
wait_caught_up($node, 'postgres', 'public.parted');
wait_cdc_mode($node, 'postgres', 'parts', 'TRIGGER');
is(sql(q{SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE status = 'FAILED'}), '0', 'no refresh failed');
done_testing();
