# Random writers at the same time, with savepoints, rollbacks, TRUNCATE, rows
# that move between partitions, and DDL under way: replaying what the plugin
# sent gives the tables, row for row.
use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use PgTrickle::Batch;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('concurrent', conf => "pg_trickle.enabled = off\nlogical_decoding_work_mem = 64kB\n");
$node->safe_psql('postgres', q{
	CREATE TABLE plain (id int, k int, v text);
	CREATE TABLE parted (id int, k int, v text) PARTITION BY LIST (k);
	CREATE TABLE part0 PARTITION OF parted FOR VALUES IN (0, 1, 2);
	CREATE TABLE part1 (v text, gone int, k int, id int);
	ALTER TABLE part1 DROP COLUMN gone;
	ALTER TABLE parted ATTACH PARTITION part1 FOR VALUES IN (3, 4, 5, 6, 7, 8, 9);
	ALTER TABLE plain REPLICA IDENTITY FULL;
	ALTER TABLE part0 REPLICA IDENTITY FULL;
	ALTER TABLE part1 REPLICA IDENTITY FULL;
	CREATE FUNCTION act(t text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		dice float8 := random();
		pick int := random() * 200;
	BEGIN
		CASE
		WHEN dice < 0.5 THEN
			EXECUTE format('INSERT INTO %I SELECT $1 + i, i %% 10, repeat(chr(97 + i %% 26), ($2 * $2 * 40)::int) FROM generate_series(1, ($2 * 8)::int) i', t) USING pick, random();
		WHEN dice < 0.65 THEN
			EXECUTE format('UPDATE %I SET v = v || ''!'' WHERE id %% 10 = $1 %% 10', t) USING pick;
		WHEN dice < 0.75 THEN
			EXECUTE format('UPDATE %I SET k = (k + 1) %% 10 WHERE id BETWEEN $1 AND $1 + 5', t) USING pick;
		WHEN dice < 0.8 THEN
			EXECUTE format('UPDATE %I SET v = repeat(md5(v), 200) WHERE id = $1', t) USING pick;
		WHEN dice < 0.84 THEN
			EXECUTE format('INSERT INTO %I SELECT i, i %% 10, i::text FROM generate_series(1, 400) i', t);
		WHEN dice < 0.97 THEN
			EXECUTE format('DELETE FROM %I WHERE id %% 5 = $1 %% 5', t) USING pick;
		WHEN dice < 0.98 THEN
			EXECUTE format('TRUNCATE %I', t);
		ELSE
			RAISE division_by_zero;
		END CASE;
	END $$;
	-- a transaction of a few actions, each kept or undone, and then all of it
	CREATE PROCEDURE work(t text) LANGUAGE plpgsql AS $$
	BEGIN
		FOR i IN 1 .. 1 + (random() * 4)::int LOOP
			BEGIN
				PERFORM act(t);
				IF random() < 0.2 THEN RAISE division_by_zero; END IF;
			EXCEPTION WHEN division_by_zero OR serialization_failure OR deadlock_detected THEN NULL;
			END;
		END LOOP;
		IF random() < 0.15 THEN ROLLBACK; END IF;
	END $$;
	SELECT pg_create_logical_replication_slot('concurrent', 'pg_trickle_decoder')});
my $columns = load_columns($node, 'postgres');
my %oid = map { $_ => $node->safe_psql('postgres', "SELECT '$_'::regclass::oid") } qw(plain parted);

my $script = "$PostgreSQL::Test::Utils::tmp_check/concurrent.sql";
append_to_file($script, "SET lock_timeout = '10s';\nCALL work('plain');\nCALL work('parted');\n");
my @ddl = split /\n/, <<'SQL';
ALTER TABLE plain ADD extra int DEFAULT 5
CREATE INDEX ON plain (id)
ALTER TABLE parted ADD extra text DEFAULT 'extra'
VACUUM FULL plain
ALTER TABLE plain DROP COLUMN extra
CREATE TABLE unrelated AS SELECT i FROM generate_series(1, 100) i
ALTER TABLE parted DROP COLUMN extra
CLUSTER part1 USING part1_id
ANALYZE
SQL
$node->safe_psql('postgres', 'CREATE INDEX part1_id ON part1 (id)');

# what has come so far, in order
my (%rows, $batches, $lost);
sub follow
{
	my $options = q{'sources', 'public.plain(id, k, v), public.parted(v, id, k)'};
	my $data = $node->safe_psql('postgres',
		"SELECT encode(data, 'hex') FROM pg_logical_slot_get_binary_changes('concurrent', NULL, NULL, $options)");
	for (map { parse_batch(pack('H*', $_), $columns) } split /\n/, $data)
	{
		$batches++;
		$lost .= "$_->{reason}\n" for grep { $_->{op} eq 'L' } @{ $_->{changes} };
		# a TRUNCATE of the root says the same of all, one of a partition would not
		replay($rows{ $_->{source} } //= {}, $_);
	}
	return;
}

my ($out, $err) = ('', '');
my $writers = IPC::Run::start [ 'pgbench', '-n', '-c', 4, '-j', 1, '-t', 60, '-f', $script, '-h', $node->host, '-p', $node->port, 'postgres' ],
  '<' => \undef, '>' => \$out, '2>' => \$err;
for (@ddl)
{
	$node->safe_psql('postgres', $_);
	follow();
}
$writers->finish;
is($writers->result(0), 0, 'the writers end well') or diag $err;
follow();

ok($batches > 50, "there was something to follow ($batches batches)");
is($lost, undef, 'nothing is lost');
for my $table (qw(plain parted))
{
	my @is = sort map { ($_) x $rows{ $oid{$table} }{$_} } keys %{ $rows{ $oid{$table} } };
	my @should = split /\n/, $node->safe_psql('postgres', "SELECT id, k, v FROM $table");
	is_deeply(\@is, [ sort @should ], "$table: replayed row for row, " . @is . ' rows');
}
is($node->safe_psql('postgres', q{SELECT spill_txns > 0 FROM pg_stat_replication_slots WHERE slot_name = 'concurrent'}),
	't', 'some transactions did not fit into memory');
$node->stop;
done_testing();
