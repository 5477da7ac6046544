# Every event, heard by a listening client: valid JSON below the size limit.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('events', conf => "pg_trickle.max_consecutive_errors = 2\npg_trickle.buffer_alert_threshold = 50\n");
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', $_[0]); }

my ($in, $out) = ("LISTEN pgtrickle_refresh;\n", '');
my $listener = IPC::Run::start(
	[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
	'<' => \$in, '>' => \$out, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

# Wait for an event of a stream table (or '' for null) that comes after the last
# one heard of; the payload.
my $position = 0;
sub heard
{
	my ($event, $st) = @_;
	my $who = $st eq '' ? 'null' : qr/"\Q$st\E"/;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	while (1)
	{
		pos($out) = $position;
		if ($out =~ /payload "(\{"event": "$event", "stream_table": $who.*?\})" received from/gs)
		{
			my $payload = $1;
			pass("$event $st");
			return $payload;
		}
		# psql prints what it was told after each command
		$in .= "SELECT 1;\n";
		$listener->pump;
	}
}
sub field
{
	my ($payload, $name) = @_;
	return sql("SELECT \$json\$$payload\$json\$::json->>'$name'");
}

# the listener must be there before the first event
$in .= "SELECT 'ready';\n";
$listener->pump until $out =~ /ready/;

# ---- refreshes ----

sql(q{
	CREATE TABLE src (id int, v int);
	CREATE FUNCTION shout(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $f$
	BEGIN
		IF v < 0 THEN RAISE EXCEPTION '%', repeat(E'a "quoted" \\\\ back\tslash \x01 ünïcödé ', 400); END IF;
		RETURN v;
	END $f$;
	SELECT pgtrickle.create_stream_table('public."Odd ""name"""', 'SELECT id, shout(v) AS v FROM src', 'continuous');
	SELECT pgtrickle.create_stream_table('public.plain', 'SELECT id FROM src', 'continuous');
	INSERT INTO src VALUES (1, 1), (2, 2);
});
my $odd = 'public.\"Odd \"\"name\"\"\"';
is(field(heard('refresh_completed', $odd), 'rows_inserted'), '2', 'with counts');
sql('INSERT INTO src VALUES (3, -3)');
my $failed = heard('refresh_failed', $odd);
like(field($failed, 'error'), qr/^a "quoted" \\ back\tslash /, 'with the message');
cmp_ok(length($failed), '<', 8000, 'not all of it');
heard('auto_suspended', $odd);
sql(q{DELETE FROM src WHERE v < 0; SELECT pgtrickle.resume_stream_table('public."Odd ""name"""')});
heard('resumed', $odd);
sql('CREATE OR REPLACE FUNCTION shout(v int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT v * 2 $$');
heard('reinitialize_needed', $odd);

# ---- overload ----

sql(q{
	CREATE FUNCTION slowly(v int, s float8) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(s); RETURN v; END';
	CREATE TABLE busy (v int);
	SELECT pgtrickle.create_stream_table('public.too_often', 'SELECT slowly(v, 0.05) AS v FROM busy', '10ms');
	INSERT INTO busy VALUES (1);
});
my $behind = heard('scheduler_falling_behind', 'public.too_often');
cmp_ok(field($behind, 'duration_ms'), '>', field($behind, 'interval_ms'), 'with both times');
sql(q{
	CREATE TABLE stuck (v int);
	SELECT pgtrickle.create_stream_table('public.stuck_st', 'SELECT slowly(v, 600) AS v FROM stuck', 'continuous');
	INSERT INTO stuck VALUES (1);
});
is(field(heard('stale_data', 'public.stuck_st'), 'state'), 'running', 'a refresh that does not end is told');
sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'refreshing public.stuck_st%' AND state = 'active'});
heard('refresh_failed', 'public.stuck_st');
sql(q{SELECT pgtrickle.drop_stream_table('public.stuck_st')});

sql(q{
	CREATE TABLE heap (v int);
	SELECT pgtrickle.create_stream_table('public.seldom', 'SELECT sum(v) AS s FROM heap', '1 year');
	INSERT INTO heap SELECT generate_series(1, 100);
});
my $growth = heard('buffer_growth_warning', '');
is(field($growth, 'source') . ' ' . field($growth, 'pending_changes'), 'public.heap 100', 'of which source, and how much');

sql(q{
	CREATE TABLE log (id int, v int);
	INSERT INTO log SELECT i, i FROM generate_series(1, 200) i;
	SELECT pgtrickle.create_stream_table('public.appended', 'SELECT id, v FROM log WHERE v > 0', 'continuous', append_only => true);
	INSERT INTO log VALUES (-1, 1), (-1, 1), (-2, 2);
});
wait_caught_up($node, 'postgres', 'public.appended');
is(sql(q{SELECT is_append_only FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'appended'}), 't', 'insertions only');
sql('UPDATE log SET v = 3 WHERE id = -2; INSERT INTO log VALUES (-3, 3)');
heard('append_only_reverted', 'public.appended');
wait_caught_up($node, 'postgres', 'public.appended');
is(sql(q{SELECT is_append_only FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'appended'}), 'f', 'an update ends it');
sql('DELETE FROM log WHERE id = -1');
wait_caught_up($node, 'postgres', 'public.appended');

# ---- coordination ----

sql(q{SELECT pgtrickle.gate_source('heap', false)});
is(field(heard('source_gated', ''), 'source'), 'public.heap', 'which source');
sql(q{SELECT pgtrickle.ungate_source('heap')});
is(field(heard('source_ungated', ''), 'source'), 'public.heap', 'which source');
sql(q{SELECT pgtrickle.advance_watermark('heap', '2026-05-06 07:08:09+00')});
is(sql("SELECT '" . field(heard('watermark_advanced', ''), 'watermark') . "'::timestamptz = '2026-05-06 07:08:09+00'"), 't', 'and how far');

sql(q{
	CREATE TABLE d (v int);
	SELECT pgtrickle.create_stream_table('public.d1', 'SELECT sum(v) AS s FROM d', 'continuous');
	SELECT pgtrickle.create_stream_table('public.d2', 'SELECT 100 / v AS q FROM d', 'continuous');
	SELECT pgtrickle.create_stream_table('public.d3', 'SELECT s, q FROM public.d1, public.d2', 'continuous');
	INSERT INTO d VALUES (0);
});
my $partial = heard('diamond_partial_failure', 'public.d2');
is(field($partial, 'error') . ' ' . field($partial, 'rolled_back'), 'division by zero 3', 'whose fault, and how many with it');

$in .= "\\q\n";
$listener->finish;

# ---- all of them ----

pos($out) = 0;
my @all = $out =~ /payload "(\{.*?\})" received from/gs;
my $list = join ', ', map { "(\$json\$$_\$json\$)" } @all;
is(sql("SELECT count(*) FROM (VALUES $list) p (t) WHERE t::jsonb ? 'event' AND t::jsonb ? 'stream_table'
		AND (t::jsonb->>'at')::timestamptz BETWEEN now() - interval '1 hour' AND now() AND octet_length(t) < 8000"),
	scalar @all, scalar(@all) . ' events, all of them JSON with event, stream_table and at');

$node->stop('immediate');
done_testing();
