# Sources pass from triggers to the WAL and back by themselves: which, what is
# left of their triggers, who is told, and that writers who hold a table are
# waited for without others having to wait.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('handover');
create_extension($node, 'postgres');
my $modes = q{SELECT string_agg(source_relid::regclass || ' ' || cdc_mode || ' ' || capture_form, ', ' ORDER BY source_relid::regclass::text)
	FROM pgtrickle.pgt_sources WHERE cdc_mode <> 'STREAM'};

sub sql { return $node->safe_psql('postgres', @_) }

sub triggers
{
	my ($relation) = @_;
	return sql(qq{SELECT count(*) FROM pg_trigger WHERE tgfoid = 'pgtrickle.capture'::regproc
		AND (tgrelid = '$relation'::regclass OR tgrelid IN (SELECT relid FROM pg_partition_tree('$relation')))});
}

my ($in, $heard, $asked) = ('', '', 0);
my $listener = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<' => \$in, '>' => \$heard,
	IPC::Run::timeout(5 * $PostgreSQL::Test::Utils::timeout_default));
$in .= "LISTEN pgtrickle_refresh; SELECT 'listening';\n";
$listener->pump until $heard =~ /listening/;

# psql shows what it has heard after a statement; true when the pattern is there
sub told
{
	my ($pattern, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	while ($heard !~ $pattern && time < $deadline)
	{
		$asked++;
		$in .= "SELECT pg_sleep(0.05), 'asked $asked';\n";
		$listener->pump until $heard =~ /asked $asked\n/;
	}
	return like($heard, $pattern, $what);
}

sql(q{
	CREATE TABLE whole (id int PRIMARY KEY, g int, v numeric);
	ALTER TABLE whole REPLICA IDENTITY FULL;
	CREATE TABLE plain (id int PRIMARY KEY, g int);
	CREATE TABLE log (at int, v int);
	ALTER TABLE log REPLICA IDENTITY NOTHING;
	CREATE TABLE parts (v text, id int, g int) PARTITION BY RANGE (id);
	CREATE TABLE part_low PARTITION OF parts FOR VALUES FROM (0) TO (100) PARTITION BY LIST (g);
	CREATE TABLE part_low_0 PARTITION OF part_low FOR VALUES IN (0);
	CREATE TABLE part_low_rest PARTITION OF part_low DEFAULT;
	CREATE TABLE part_high (junk int, g int, id int, v text);
	ALTER TABLE part_high DROP COLUMN junk;
	ALTER TABLE parts ATTACH PARTITION part_high FOR VALUES FROM (100) TO (200);
	ALTER TABLE part_low_0 REPLICA IDENTITY FULL;
	ALTER TABLE part_low_rest REPLICA IDENTITY FULL;
	ALTER TABLE part_high REPLICA IDENTITY FULL;
	INSERT INTO whole SELECT i, i % 3, i FROM generate_series(1, 20) i;
	INSERT INTO plain SELECT i, i % 3 FROM generate_series(1, 20) i;
	INSERT INTO parts SELECT 'v' || i, i, i % 4 FROM generate_series(1, 150) i;
	SELECT pgtrickle.create_stream_table('public.sums', 'SELECT g, sum(v) AS total, count(*) AS n FROM whole GROUP BY g', '100ms', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.pairs', 'SELECT w.id, p.g, w.v FROM whole w JOIN plain p USING (id)', '100ms', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.logged', 'SELECT count(*) AS n, max(v) AS most FROM log', '100ms', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.halves', 'SELECT g, v FROM parts WHERE id % 2 = 0', '100ms', 'DIFFERENTIAL');
});
my @stream_tables = qw(public.sums public.pairs public.logged public.halves);

# ---- there ----

wait_cdc_mode($node, 'postgres', $_, 'WAL') for qw(whole log parts);
is(sql($modes), 'log WAL none, parts WAL none, plain TRIGGER statement, whole WAL none',
	'auto: what the replica identity allows is captured from the WAL');
is(triggers($_), '0', "$_ holds none of our triggers") for qw(whole log parts);
is(triggers('plain'), '4', 'the one with the default identity keeps them');
told(qr/"cdc_transition_complete", "stream_table": "public.sums".*"source": "public.whole", "cdc_mode": "WAL"/, 'readers are told');
told(qr/"cdc_transition_complete", "stream_table": "public.pairs"/, 'all of them');
is(sql(q{SELECT DISTINCT cdc_mode, blocked_reason IS NULL FROM pgtrickle.pgt_cdc_status WHERE source_table <> 'plain'::regclass}),
	'WAL|t', 'pgt_cdc_status says so');
is(sql(q{SELECT DISTINCT cdc_mode FROM pgtrickle.list_sources('public.sums')}), 'WAL', 'list_sources too');
is(sql(q{SELECT count(*) FROM pgtrickle.trigger_inventory() WHERE source_table <> 'plain'::regclass}), '0', 'no trigger is missed');
is(sql(q{SELECT string_agg(check_name, ',' ORDER BY check_name) FROM pgtrickle.health_check() WHERE severity = 'OK'
	AND check_name IN ('decoder_running', 'slot_lag', 'slot_missing', 'wal_capture', 'capture_triggers')}),
	'capture_triggers,decoder_running,slot_lag,slot_missing,wal_capture', 'all is well');

my $round = 0;
sub write_and_compare
{
	my ($what) = @_;
	$round++;
	sql(qq{
		INSERT INTO whole SELECT 1000 * $round + i, i % 5, i / 7.0 FROM generate_series(1, 10) i;
		UPDATE whole SET v = v + 1, g = (g + 1) % 4 WHERE id % 3 = 0;
		DELETE FROM whole WHERE id % 7 = $round % 7 AND id > 20;
		UPDATE plain SET g = g + 1 WHERE id % 2 = 0;
		INSERT INTO log SELECT $round, i FROM generate_series(1, 5) i;
		UPDATE parts SET g = (g + 1) % 4, v = v || $round WHERE id % 5 = $round % 5;
		UPDATE parts SET id = (id + 100) % 200 WHERE id = $round;
		DELETE FROM parts WHERE id = 20 + $round;
	});
	wait_caught_up($node, 'postgres', $_) for @stream_tables;
	is(sql(q{SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE action IN ('FULL', 'REINITIALIZE')}), '0', "differentially, $what");
	return;
}
write_and_compare('from the WAL');

# ---- and back ----

sql(q{SELECT pgtrickle.alter_stream_table('public.pairs', cdc_mode => 'trigger')});
wait_cdc_mode($node, 'postgres', 'whole', 'TRIGGER');
is(triggers('whole'), '4', 'a reader asks for triggers: they are back');
told(qr/"cdc_transition_complete", "stream_table": "public.sums".*"cdc_mode": "TRIGGER", "reason": "stream table public.pairs asks/, 'readers are told, and why');
write_and_compare('by triggers again');
sql(q{SELECT pgtrickle.alter_stream_table('public.pairs', cdc_mode => 'auto')});
wait_cdc_mode($node, 'postgres', 'whole', 'WAL');
write_and_compare('from the WAL again');

# the owner takes old rows out of the WAL: the command hands back, events follow
sql(q{ALTER TABLE whole REPLICA IDENTITY DEFAULT});
is(triggers('whole'), '4', 'without FULL triggers are back when the command ends');
told(qr/"cdc_transition_complete", "stream_table": "public.sums".*"cdc_mode": "TRIGGER", "reason": "the WAL lacks old rows of public.whole/, 'readers are told');
sql(q{ALTER TABLE whole REPLICA IDENTITY FULL});
wait_cdc_mode($node, 'postgres', 'whole', 'WAL');

# a setting that is reloaded counts for all who asked for nothing else
$node->append_conf('postgresql.conf', "pg_trickle.cdc_mode = 'trigger'");
$node->reload;
wait_cdc_mode($node, 'postgres', $_, 'TRIGGER') for qw(whole log parts);
is(triggers('parts'), 4 * 5, 'triggers on the whole tree');
write_and_compare('by triggers, as the setting says');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM pg_replication_slots}, '0'), 'without sources there is no slot');

# ---- writers in the way ----

sql(q{SELECT pgtrickle.alter_stream_table('public.pairs', cdc_mode => 'trigger')});
$node->append_conf('postgresql.conf', "pg_trickle.cdc_mode = 'auto'\npg_trickle.wal_transition_timeout = '3s'");
$node->reload;
wait_cdc_mode($node, 'postgres', $_, 'WAL') for qw(log parts);
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN});
$writer->query_safe(q{INSERT INTO whole VALUES (-1, 0, 0)});
sql(q{SELECT pgtrickle.alter_stream_table('public.pairs', cdc_mode => 'auto')});
ok($node->poll_query_until('postgres', q{SELECT cdc_mode FROM pgtrickle.pgt_sources WHERE source_relid = 'whole'::regclass}, 'TRANSITIONING'),
	'an open writer keeps the source in transition');
my $slowest = 0;
for my $id (1 .. 60)
{
	my $begun = time;
	sql("INSERT INTO whole VALUES (-1000 - $id, 1, 1)");
	$slowest = time - $begun if time - $begun > $slowest;
}
cmp_ok($slowest, '<', 2, 'other writers hardly wait for the hand-over');
told(qr/"cdc_transition_failed", "stream_table": "public.sums".*"reason": "its tables could not be locked within/, 'it is given up after wal_transition_timeout');
like(sql(q{SELECT cdc_mode || ' ' || blocked_reason FROM pgtrickle.check_cdc_health() WHERE source_table = 'whole'::regclass}),
	qr/^TRIGGER its tables could not be locked/, 'with the reason');
is(triggers('whole'), '4', 'triggers went on');
$writer->query_safe(q{COMMIT});
$writer->quit;
write_and_compare('after a hand-over that failed');
sql(q{SELECT pgtrickle.alter_stream_table('public.pairs', cdc_mode => 'auto')});
wait_cdc_mode($node, 'postgres', 'whole', 'WAL');
write_and_compare('after one that did not');

$in .= "\\q\n";
$listener->finish;

# ---- nobody is left ----

sql(q{SELECT pgtrickle.drop_stream_table('public.' || n) FROM unnest('{pairs,sums,logged,halves}'::text[]) n});
is(sql(q{SELECT count(*) FROM pgtrickle.pgt_sources}), '0', 'no sources');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM pg_replication_slots}, '0'), 'no slot');
is(sql(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'pgtrickle_changes'::regnamespace}), '0', 'no buffers');
done_testing();
