# A table that logical replication writes to passes from (row) triggers to the WAL
# and back while the apply worker writes: it needs no triggers there, and what
# comes by replication is captured like any other write.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = new_node('publisher');
my $node = new_node('subscriber');
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', @_) }

my $tables = q{
	CREATE TABLE t (id int PRIMARY KEY, g int, v text);
	ALTER TABLE t REPLICA IDENTITY FULL;
	CREATE TABLE part_t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
	CREATE TABLE part_low PARTITION OF part_t FOR VALUES FROM (0) TO (100);
	CREATE TABLE part_high PARTITION OF part_t FOR VALUES FROM (100) TO (100000);
	ALTER TABLE part_low REPLICA IDENTITY FULL;
	ALTER TABLE part_high REPLICA IDENTITY FULL;
};
$publisher->safe_psql('postgres', $tables . q{
	INSERT INTO t SELECT i, i % 3, 'v' || i FROM generate_series(1, 50) i;
	INSERT INTO part_t SELECT i * 3, 'p' || i FROM generate_series(1, 60) i;
	CREATE PUBLICATION pub FOR TABLE t, part_t WITH (publish_via_partition_root = true);
});
sql($tables);
my $connection = $publisher->connstr . ' dbname=postgres';
sql("CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub");
$node->wait_for_subscription_sync($publisher, 'sub');
sql(q{
	SELECT pgtrickle.create_stream_table('public.st_t', 'SELECT g, count(*) AS n, max(v) AS v FROM t GROUP BY g', '100ms', 'DIFFERENTIAL', cdc_mode => 'trigger');
	SELECT pgtrickle.create_stream_table('public.st_part', 'SELECT id, v FROM part_t', '100ms', 'DIFFERENTIAL', cdc_mode => 'trigger');
});
is(sql(q{SELECT string_agg(DISTINCT capture_form, ',') FROM pgtrickle.pgt_sources}), 'row', 'row triggers, as the apply worker fires no others');

my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/write.sql", <<'SQL');
\set id random(1, 300)
BEGIN;
INSERT INTO t VALUES (:id, :id % 3, 'new') ON CONFLICT (id) DO UPDATE SET g = (t.g + 1) % 4, v = 'u' || :id;
DELETE FROM t WHERE id = (:id * 7) % 301;
UPDATE part_t SET v = v || 'x' WHERE id = :id;
DELETE FROM part_t WHERE id = :id + 1;
INSERT INTO part_t VALUES (:id, 'i') ON CONFLICT DO NOTHING;
COMMIT;
SQL
my $writers = fork // die "fork: $!";
if ($writers == 0)
{
	open STDOUT, '>', "$dir/out";
	open STDERR, '>', "$dir/err";
	my @to = server_major() > 16 ? ('-d', $publisher->connstr('postgres')) : ($publisher->connstr('postgres'));
	exec 'pgbench', '-n', '-c', 2, '-T', 3600, '--max-tries=20', '-f', "$dir/write.sql", @to;
}
for my $mode (qw(auto trigger auto))
{
	sql("SELECT pgtrickle.alter_stream_table('public.' || n, cdc_mode => '$mode') FROM unnest('{st_t,st_part}'::text[]) n");
	wait_cdc_mode($node, 'postgres', $_, $mode eq 'auto' ? 'WAL' : 'TRIGGER') for qw(t part_t);
	is(sql(q{SELECT count(*) > 0 FROM pg_trigger WHERE tgfoid = 'pgtrickle.capture'::regproc}), $mode eq 'auto' ? 'f' : 't', 'triggers follow');
	my $seen = sql(q{SELECT sum(changes_consumed) FROM pgtrickle.pgt_progress});
	ok($node->poll_query_until('postgres', "SELECT sum(changes_consumed) > $seen + 50 FROM pgtrickle.pgt_progress"), 'changes arrive');
}
kill 'INT', $writers;
waitpid $writers, 0;
unlike(slurp_file("$dir/err"), qr/ERROR/, 'writers saw no error');
$publisher->wait_for_catchup('sub');
wait_caught_up($node, 'postgres', "public.$_") for qw(st_t st_part);
is(sql(q{SELECT string_agg(DISTINCT reason, '; ') FROM pgtrickle.pgt_refresh_history WHERE action IN ('FULL', 'REINITIALIZE')}), '', 'nothing had to be rebuilt');
my $all = 'SELECT md5(string_agg(x::text, chr(10) ORDER BY id)) FROM';
is(sql("$all t x"), $publisher->safe_psql('postgres', "$all t x"), 'the subscriber has the publisher\'s rows');
done_testing();
