# Gates and watermarks: what they hold back and release, by content.
#
# "free" reads a source that nothing holds; once it shows a marker row, the
# scheduler has been through everything that was due before.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('coordination');
create_extension($node, 'postgres');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sql(q{
	CREATE TABLE a (id int PRIMARY KEY, v int);
	CREATE TABLE b (id int PRIMARY KEY, v int);
	CREATE TABLE f (id int);
	INSERT INTO a SELECT i, i FROM generate_series(1, 10) i;
	INSERT INTO b SELECT i, i FROM generate_series(1, 10) i;
	SELECT pgtrickle.create_stream_table('public.free', 'SELECT count(*) AS n FROM f', 'continuous');
	SELECT pgtrickle.create_stream_table('public.sum_a', 'SELECT sum(v) AS s, count(*) AS n FROM a', 'continuous');
	SELECT pgtrickle.create_stream_table('public.sum_b', 'SELECT sum(v) AS s, count(*) AS n FROM b', 'continuous');
	SELECT pgtrickle.create_stream_table('public.above', 'SELECT s * 2 AS s2 FROM public.sum_a', 'continuous');
	SELECT pgtrickle.create_stream_table('public.both', 'SELECT x.s AS a, y.s AS b FROM public.sum_a x CROSS JOIN public.sum_b y', 'continuous');
	SELECT pgtrickle.create_stream_table('public.pairs', 'SELECT a.id, a.v AS av, b.v AS bv FROM a JOIN b USING (id)', 'continuous');
});
my @all = map { "public.$_" } qw(free sum_a sum_b above both pairs);

sub settle
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	sql('INSERT INTO f VALUES (1)');
	return wait_caught_up($node, 'postgres', 'public.free');
}
my $state = q{SELECT (SELECT s FROM sum_a), (SELECT s FROM sum_b), (SELECT s2 FROM above),
	(SELECT a || '/' || b FROM "both"), (SELECT sum(av) || '/' || sum(bv) FROM pairs)};
wait_caught_up($node, 'postgres', $_) for @all;
is(sql($state), '55|55|110|55/55|55/55', 'all are filled');

# ---- a gate with capture going on ----

sql(q{SELECT pgtrickle.gate_source('a', stop_capture => false)});
sql('UPDATE a SET v = v + 1; UPDATE b SET v = v + 1');
wait_caught_up($node, 'postgres', 'public.sum_b');
settle();
is(sql($state), '55|65|110|55/55|55/55', 'a gate holds back what reads the source, directly or not');
is(sql(q{SELECT source_table, gated, stop_capture, gated_by = current_user, array_to_string(affected, ' ') FROM pgtrickle.source_gates()}),
	'a|t|f|t|public."both" public.above public.pairs public.sum_a', 'and says which those are');
is(sql(q{SELECT string_agg(stream_table || ' ' || waiting_for, ', '), bool_and(since <= now()) FROM pgtrickle.waiting_stream_tables()}),
	'"both" gate on public.a, above gate on public.a, pairs gate on public.a, sum_a gate on public.a|t', 'why and since when');
is(sql(q{SELECT action FROM pgtrickle.refresh_stream_table('public.sum_a')}), 'DIFFERENTIAL', 'a refresh by hand passes the gate');
is(sql('SELECT s FROM sum_a'), '65', 'and shows what was captured');
settle();
is(sql('SELECT s2 FROM above'), '110', 'what reads it still waits');
sql(q{SELECT pgtrickle.ungate_source('a')});
wait_caught_up($node, 'postgres', $_) for @all;
is(sql(q{SELECT DISTINCT action FROM pgtrickle.get_refresh_history('public.pairs', 1)}), 'DIFFERENTIAL',
	'after the gate it goes on differentially');
is(sql('SELECT count(*) FROM pgtrickle.source_gates()'), '0', 'nothing is gated');

# ---- a gate that stops capture ----

sql(q{SELECT pgtrickle.gate_source('a')});
is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'a'::regclass AND tgisinternal}), '0', 'no capture trigger is left');
sql('INSERT INTO a SELECT i, 1 FROM generate_series(11, 5000) i; DELETE FROM a WHERE id <= 5');
sql('INSERT INTO b SELECT i, 2 FROM generate_series(11, 20) i');
wait_caught_up($node, 'postgres', 'public.sum_b');
settle();
is(sql(q{SELECT coalesce(sum(pending_changes), 0) FROM pgtrickle.change_buffer_sizes() WHERE source_table = 'a'::regclass}),
	'0', 'a bulk load behind the gate leaves nothing in the buffer');
is(sql($state), '65|85|130|65/65|65/65', 'and is not shown');
is(sql(q{SELECT severity FROM pgtrickle.health_check() WHERE check_name = 'capture_triggers'}), 'OK', 'which is no fault');
# by hand: what is read is read as a whole, however often
is(sql(q{SELECT action FROM pgtrickle.refresh_stream_table('public.pairs')}), 'FULL', 'a refresh by hand reads all');
equals_query($node, 'postgres', 'public.pairs', 'refreshed behind the gate');
sql('DELETE FROM a WHERE id = 7; INSERT INTO b VALUES (21, 3)');
is(sql(q{SELECT action FROM pgtrickle.refresh_stream_table('public.pairs')}), 'FULL', 'and again');
equals_query($node, 'postgres', 'public.pairs', 'refreshed twice behind the gate');
# a stream table made behind the gate follows after it
sql(q{SELECT pgtrickle.create_stream_table('public.late', 'SELECT max(id) AS m, count(*) AS n FROM a', 'continuous')});
sql('INSERT INTO a VALUES (6000, 1)');
settle();
is(sql('SELECT m FROM late'), '5000', 'a new stream table is held as well');
sql(q{SELECT pgtrickle.ungate_source('a')});
wait_caught_up($node, 'postgres', $_) for @all, 'public.late';
sql('UPDATE a SET v = 3 WHERE id = 8');
wait_caught_up($node, 'postgres', $_) for @all, 'public.late';
is(sql(q{SELECT action FROM pgtrickle.get_refresh_history('public.pairs', 1)}), 'DIFFERENTIAL', 'captured again');

# a gate that is rolled back, a partitioned source, both ends in transactions
sql(q{
	CREATE TABLE p (id int, v int) PARTITION BY RANGE (id);
	CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
	SELECT pgtrickle.create_stream_table('public.sum_p', 'SELECT sum(v) AS s FROM p', 'continuous');
	SELECT pgtrickle.create_stream_table('public.sum_p1', 'SELECT sum(v) AS s FROM p1', 'continuous');
	BEGIN; SELECT pgtrickle.gate_source('p'); INSERT INTO p VALUES (1, 1); ROLLBACK;
	INSERT INTO p VALUES (1, 10);
});
wait_caught_up($node, 'postgres', $_) for qw(public.sum_p public.sum_p1);
sql(q{SELECT pgtrickle.gate_source('p'); INSERT INTO p VALUES (2, 20)});
wait_caught_up($node, 'postgres', 'public.sum_p1');
sql(q{CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200); INSERT INTO p VALUES (150, 50)});
settle();
is(sql('SELECT s FROM sum_p'), '10', 'a partitioned source is gated with its partitions, a partition not');
sql(q{BEGIN; INSERT INTO p VALUES (3, 30); SELECT pgtrickle.ungate_source('p'); INSERT INTO p VALUES (4, 40); COMMIT});
wait_caught_up($node, 'postgres', $_) for qw(public.sum_p public.sum_p1);
sql('INSERT INTO p VALUES (151, 51)');
wait_caught_up($node, 'postgres', 'public.sum_p');

# ---- watermarks ----

sql(q{
	SELECT pgtrickle.create_watermark_group('load', '{a,b}', 60);
	SELECT pgtrickle.advance_watermark('a', '2026-01-01 10:00+00');
});
sql('UPDATE b SET v = v + 1');
wait_caught_up($node, 'postgres', 'public.sum_b');
settle();
is(sql(q{SELECT (SELECT s FROM sum_b) <> (SELECT b FROM "both"), (SELECT sum(bv) FROM pairs) <> (SELECT sum(b.v) FROM a JOIN b USING (id))}),
	't|t', 'one watermark without the other holds who reads both, directly or not');
is(sql(q{SELECT group_name, min_watermark = max_watermark, lag_secs, aligned, array_to_string(waiting, ' ') FROM pgtrickle.watermark_status()}),
	'load|t|0|f|public."both" public.pairs', 'and the status says so');
is(sql(q{SELECT string_agg(DISTINCT waiting_for, ','), bool_and(since = (SELECT updated_at FROM pgtrickle.watermarks())) FROM pgtrickle.waiting_stream_tables()}),
	'watermark group load|t', 'since the first was advanced');
sql(q{SELECT pgtrickle.advance_watermark('b', '2026-01-01 09:59+00')});
wait_caught_up($node, 'postgres', $_) for @all;
is(sql(q{SELECT lag_secs, aligned, waiting FROM pgtrickle.watermark_status()}), '60|t|{}', 'within the tolerance they are released');
# load and watermark in one transaction: the load of one source is never shown alone
sql(q{BEGIN; UPDATE a SET v = v + 1; SELECT pgtrickle.advance_watermark('a', '2026-01-01 11:00+00'); COMMIT});
wait_caught_up($node, 'postgres', 'public.sum_a');
settle();
is(sql(q{SELECT (SELECT s FROM sum_a) <> (SELECT a FROM "both")}), 't', 'the next load waits for the other source');
sql(q{BEGIN; UPDATE b SET v = v + 1; SELECT pgtrickle.advance_watermark('b', '2026-01-01 11:00+00'); COMMIT});
wait_caught_up($node, 'postgres', $_) for @all;
is(sql(q{SELECT count(*) FROM pgtrickle.watermarks() WHERE advanced_by = current_user AND lsn > '0/0'}), '2', 'watermarks are shown');
is(sql(q{SELECT group_name, sources, tolerance_secs FROM pgtrickle.watermark_groups()}), 'load|{public.a,public.b}|60', 'groups are shown');
sql(q{SELECT pgtrickle.advance_watermark('a', '2027-01-01')});
sql('UPDATE b SET v = v + 1');
wait_caught_up($node, 'postgres', 'public.sum_b');
settle();
is(sql(q{SELECT (SELECT s FROM sum_b) <> (SELECT b FROM "both")}), 't', 'held again');
sql(q{SELECT pgtrickle.drop_watermark_group('load')});
wait_caught_up($node, 'postgres', $_) for @all;

# ---- held under way: a scheduler that was told too late shows nothing behind a gate ----

# Invariant: while "both doors" are shut, rows with odd v are only there in
# between; the gate is shut before they come and opened after they have gone.
sql(q{
	CREATE TABLE flick (id int PRIMARY KEY, v int);
	INSERT INTO flick VALUES (1, 0);
	SELECT pgtrickle.create_stream_table('public.flicker', 'SELECT id, v FROM flick', 'continuous');
});
my $odd = 0;
for my $i (1 .. 60)
{
	sql('UPDATE flick SET v = v + 2');
	sql(q{SELECT pgtrickle.gate_source('flick', false)});
	sql('UPDATE flick SET v = v + 1');
	$odd++ if sql('SELECT v % 2 FROM flicker') ne '0';
	sql('UPDATE flick SET v = v + 1');
	sql(q{SELECT pgtrickle.ungate_source('flick')});
}
is($odd, 0, 'sixty gates, and nothing from behind them was seen');
wait_caught_up($node, 'postgres', 'public.flicker');

# ---- a crash and a dump keep them ----

sql(q{SELECT pgtrickle.gate_source('b', false); SELECT pgtrickle.create_watermark_group('load', '{a,b}')});
$node->stop('immediate');
$node->start;
sql('UPDATE b SET v = v + 1');
settle();
is(sql(q{SELECT count(*) FROM pgtrickle.source_gates()}), '1', 'a gate outlives a crash');
isnt(difference($node, 'postgres', 'public.sum_b'), '0', 'and holds');

$node->stop;
done_testing();
