# Changes captured from the WAL by the decoder: each exactly once, in whatever
# kind of transaction they come.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('wal', conf => "logical_decoding_work_mem = 64kB\npg_trickle.decoder_work_mem = 1MB\npg_trickle.cdc_mode = trigger\n");
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE TABLE src (k int, v int, t text);
	ALTER TABLE src REPLICA IDENTITY FULL;
	INSERT INTO src SELECT i % 10, i FROM generate_series(1, 1000) i;
	CREATE TABLE dim (k int PRIMARY KEY, name text);
	ALTER TABLE dim REPLICA IDENTITY FULL;
	INSERT INTO dim SELECT i, 'name ' || i FROM generate_series(0, 20) i;
	SELECT pgtrickle.create_stream_table('public.sums', 'SELECT k, sum(v) AS s, count(*) AS n, max(length(t)) AS l FROM src GROUP BY k', '1h', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.named', 'SELECT d.name, s.v FROM src s JOIN dim d USING (k)', '1h', 'DIFFERENTIAL');
});
capture_from_wal($node, 'postgres', 'src', 'dim');

# Refresh by hand and compare; how is what the refresh of sums has to be.
sub check
{
	my ($what, $how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql('postgres', q{SELECT action FROM pgtrickle.refresh_stream_table('public.sums')}),
		$how // 'DIFFERENTIAL', "$what: how it is refreshed");
	$node->safe_psql('postgres', q{SELECT pgtrickle.refresh_stream_table('public.named')});
	equals_query($node, 'postgres', "public.$_", $what) for 'sums', 'named';
	return;
}

sub run_and_check
{
	my ($what, $sql, $how) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$node->safe_psql('postgres', $sql);
	check($what, $how);
	return;
}

run_and_check('an insert', 'INSERT INTO src VALUES (3, 33, NULL)');
check('nothing more', 'NO_DATA');
run_and_check('an update', 'UPDATE src SET v = v + 1 WHERE k = 3');
run_and_check('a key update', 'UPDATE src SET k = 15 WHERE k = 4');
run_and_check('a delete', 'DELETE FROM src WHERE k = 5');
run_and_check('both sides of a join', q{BEGIN; INSERT INTO src VALUES (20, 1, 'x'); UPDATE dim SET name = 'new ' || k WHERE k IN (3, 20); DELETE FROM src WHERE k = 3 AND v % 2 = 0; COMMIT});
run_and_check('rolled back', 'BEGIN; DELETE FROM src; ROLLBACK', 'NO_DATA');
run_and_check('savepoints', q{
	BEGIN; INSERT INTO src VALUES (1, 1); SAVEPOINT a; INSERT INTO src VALUES (1, 10); ROLLBACK TO a;
	SAVEPOINT b; INSERT INTO src VALUES (1, 100); RELEASE b; INSERT INTO src VALUES (1, 1000); COMMIT});
run_and_check('a large value', q{INSERT INTO src SELECT 1, 1, string_agg(md5(i::text), '') FROM generate_series(1, 10000) i});
run_and_check('a large value left alone by an update', 'UPDATE src SET v = v + 7 WHERE length(t) > 1000');
run_and_check('a large transaction', q{
	INSERT INTO src SELECT i % 13, i, repeat('z', 20) FROM generate_series(1, 50000) i});
run_and_check('one that changes what it has inserted', q{
	BEGIN; INSERT INTO src SELECT 99, i FROM generate_series(1, 100) i; UPDATE src SET k = 98 WHERE k = 99 AND v % 2 = 0; DELETE FROM src WHERE k = 99; COMMIT});
run_and_check('ON CONFLICT', q{INSERT INTO dim SELECT i, 'upserted' FROM generate_series(15, 25) i ON CONFLICT (k) DO UPDATE SET name = excluded.name}, 'NO_DATA');
run_and_check('MERGE', q{MERGE INTO dim USING generate_series(20, 30) g(i) ON g.i = dim.k WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (g.i, 'merged')}, 'NO_DATA');

# many columns of wanted ones unchanged: the plugin says nothing
run_and_check('prepared', q{BEGIN; INSERT INTO src VALUES (2, 2); PREPARE TRANSACTION 'p'}, 'NO_DATA');
run_and_check('commit prepared', q{COMMIT PREPARED 'p'});
run_and_check('truncate and more', 'BEGIN; INSERT INTO src VALUES (1, 1); TRUNCATE src; INSERT INTO src VALUES (2, 2); COMMIT', 'FULL');
run_and_check('after a truncate', 'INSERT INTO src SELECT i % 7, i FROM generate_series(1, 100) i');

# a stream table that reads another, and one made on a captured source
$node->safe_psql('postgres', q{
	SELECT pgtrickle.create_stream_table('public.later', 'SELECT k, t, count(*) AS n FROM src GROUP BY k, t', '1h', 'DIFFERENTIAL');
	INSERT INTO src VALUES (1, 2, 'three');
	SELECT pgtrickle.refresh_stream_table('public.later');
});
equals_query($node, 'postgres', 'public.later', 'made on a source that is captured from the WAL');
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT pgtrickle.create_stream_table('public.later2', 'SELECT v, count(*) AS n FROM src GROUP BY v', '1h', 'DIFFERENTIAL');
	INSERT INTO src VALUES (1, 3, 'four');
	COMMIT;
	SELECT pgtrickle.refresh_stream_table('public.later2');
});
equals_query($node, 'postgres', 'public.later2', 'written to after it was made, in one transaction');
$node->safe_psql('postgres', q{SELECT pgtrickle.refresh_stream_table('public.sums')});
check('all are up to date', 'NO_DATA');

# ---- catalogs of the past ----

# The decoder comes to these changes long after what they were made under is
# past; it goes to and fro between writing with the catalogs of today and
# reading with those of then.
for my $round (1 .. 3)
{
	my $decoder = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_trickle decoder'});
	kill 'STOP', $decoder;
	$node->safe_psql('postgres', qq{
		BEGIN; INSERT INTO src VALUES (1, $round); UPDATE src SET v = v + 1 WHERE k = 1; COMMIT;
		ALTER TABLE src ADD COLUMN extra$round text DEFAULT 'none';
		INSERT INTO src (k, v, extra$round) VALUES (2, $round, 'some');
		ALTER TABLE dim RENAME TO dim$round;
		UPDATE dim$round SET name = name || '$round' WHERE k < 3;
		ALTER TABLE dim$round RENAME TO dim;
		CREATE TABLE unrelated$round AS SELECT 1 AS x;
		INSERT INTO src SELECT 3, i, repeat('y', 100) FROM generate_series(1, 2000) i;
		ALTER TABLE src DROP COLUMN extra$round;
		DELETE FROM src WHERE k = 3 AND v % 2 = 0;
	});
	kill 'CONT', $decoder;
	check("DDL between changes, round $round");
	run_and_check("after the DDL, round $round", 'INSERT INTO src VALUES (5, 5); DELETE FROM src WHERE k = 2');
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE action = 'FULL' AND reason NOT LIKE '%truncated%'}), '0',
	'nothing was read with the wrong catalogs');

# ---- a transaction's own writes ----

my ($rc, $out, $err) = $node->psql('postgres', q{BEGIN; INSERT INTO src VALUES (1, 1); SELECT pgtrickle.refresh_stream_table('public.sums');});
like($err, qr/cannot refresh stream table "sums" in a transaction that has written to "src"/, 'own writes: refused');
like($err, qr/HINT:.*Commit first/, 'own writes: with a hint');
($rc, $out, $err) = $node->psql('postgres', q{BEGIN; TRUNCATE src; SELECT pgtrickle.refresh_stream_table('public.sums', mode => 'FULL');});
like($err, qr/in a transaction that has written to "src"/, 'own TRUNCATE: refused');
($rc, $out, $err) = $node->psql('postgres', q{BEGIN; DELETE FROM src; SELECT pgtrickle.create_stream_table('public.refused', 'SELECT k FROM src', '1h', 'DIFFERENTIAL');});
like($err, qr/in a transaction that has written to "src"/, 'own writes: no first fill');
$node->safe_psql('postgres', q{
	BEGIN; SAVEPOINT a; DELETE FROM src; ROLLBACK TO a; SELECT pgtrickle.refresh_stream_table('public.sums'); COMMIT;
	BEGIN; SELECT * FROM src FOR UPDATE; SELECT pgtrickle.refresh_stream_table('public.sums'); INSERT INTO src VALUES (4, 4); COMMIT;
});
check('a write rolled back, a lock and a later write do not count');

# ---- many writers at once, and the workers ----

$node->safe_psql('postgres', q{
	SELECT pgtrickle.alter_stream_table('public.sums', schedule => 'continuous');
	SELECT pgtrickle.alter_stream_table('public.named', schedule => '200ms');
});
append_to_file($node->data_dir . '/load.sql', q{
\set k random(0, 12)
\set v random(1, 1000)
BEGIN;
INSERT INTO src VALUES (:k, :v);
UPDATE src SET v = v + 1 WHERE k = :k AND v = :v;
END;
DELETE FROM src WHERE k = :k AND v = :v - 1;
});
$node->command_ok([ 'pgbench', '-n', '-c', '4', '-t', '150', '-f', $node->data_dir . '/load.sql', '-h', $node->host, '-p', $node->port, 'postgres' ], 'writers');
$node->safe_psql('postgres', 'SET synchronous_commit = off; INSERT INTO src VALUES (11, 11); UPDATE src SET v = 12 WHERE k = 11');
wait_caught_up($node, 'postgres', $_) for 'public.sums', 'public.named';
is($node->safe_psql('postgres', q{SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE status = 'FAILED'}), '0', 'no refresh failed');
is($node->safe_psql('postgres', q{SELECT n_lost FROM pgtrickle.pgt_decoder}), '0', 'nothing was lost');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM pgtrickle.pgt_refresh_history WHERE status = 'COMPLETED' AND action = 'DIFFERENTIAL' AND initiated_by = 'SCHEDULER'}),
	't', 'workers refreshed differentially');

$node->stop;
done_testing();
