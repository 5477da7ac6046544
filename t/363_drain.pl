# drain: afterwards everything that was due is there, at once, without looking
# twice; what cannot be done does not keep it.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('drain', conf => "pg_trickle.max_consecutive_errors = 100\n");
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', $_[0]); }

# a chain of ten, a fan-out of twenty
sql(q{
	CREATE TABLE src (id int, v int);
	SELECT pgtrickle.bulk_create(
	    (SELECT jsonb_agg(jsonb_build_object('name', 'public.c' || i, 'schedule', 'continuous',
	                'query', format('SELECT id, v + 1 AS v FROM %s', CASE WHEN i = 1 THEN 'src' ELSE 'public.c' || i - 1 END))
	                ORDER BY i DESC)
	       FROM generate_series(1, 10) i));
	SELECT pgtrickle.bulk_create(
	    (SELECT jsonb_agg(jsonb_build_object('name', 'public.f' || i, 'schedule', 'continuous',
	                'query', format('SELECT id %% %s AS k, sum(v) AS s FROM src GROUP BY 1', i + 1)))
	       FROM generate_series(1, 20) i));
});
my @all = ((map { "public.c$_" } 1 .. 10), map { "public.f$_" } 1 .. 20);
my $late = 0;
for my $round (1 .. 15)
{
	sql("INSERT INTO src SELECT i, i FROM generate_series($round, $round + 20) i; DELETE FROM src WHERE id % 7 = $round % 7");
	is(sql('SELECT pgtrickle.drain()'), 't', "round $round") if $round == 1 || sql('SELECT pgtrickle.drain()') ne 't';
	$late += difference($node, 'postgres', $_) for $round % 5 ? qw(public.c10 public.f20) : @all;
}
is($late, 0, 'after drain nothing is late, in fifteen rounds');
is(sql('SELECT queued FROM pgtrickle.worker_pool_status()'), '0', 'nothing is queued');

# one that is due next year, one that fails, one that is gated
sql(q{
	SELECT pgtrickle.create_stream_table('public.later', 'SELECT count(*) AS n FROM src', '1 year');
	CREATE TABLE bad (a int);
	SELECT pgtrickle.create_stream_table('public.fails', 'SELECT 1 / a AS r FROM bad', 'continuous');
	SELECT pgtrickle.create_stream_table('public.gated', 'SELECT count(*) AS n FROM bad', 'continuous');
	SELECT pgtrickle.gate_source('bad', false);
	INSERT INTO bad VALUES (0);
	INSERT INTO src VALUES (1, 1);
});
is(sql(q{SELECT pgtrickle.drain('20s')}), 't', 'what waits is not due');
is(sql('SELECT n FROM gated'), '0', 'and still waits');
sql(q{SELECT pgtrickle.ungate_source('bad')});
is(sql(q{SELECT pgtrickle.drain('20s')}), 't', 'what failed is tried again later');
is(sql(q{SELECT status || ' ' || (consecutive_errors > 0) FROM pgtrickle.pgt_status() WHERE name = 'public.fails'}), 'ACTIVE true', 'after it was tried');
is(sql('SELECT n FROM gated'), '1', 'and the others were done');

# too short a time
sql(q{
	CREATE FUNCTION slowly(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(600); RETURN v; END';
	CREATE TABLE s (v int);
	SELECT pgtrickle.create_stream_table('public.slow', 'SELECT slowly(v) AS v FROM s', 'continuous');
	INSERT INTO s VALUES (1);
});
is(sql(q{SELECT pgtrickle.drain('200ms')}), 'f', 'false when the time is too short');
# pg_cancel_backend of a refresh is recorded, and the refresh tried again
ok($node->poll_query_until('postgres',
		q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = 'refreshing public.slow' AND state = 'active'}),
	'a refresh is cancelled');
ok($node->poll_query_until('postgres', q{
		SELECT status || sqlstate = 'FAILED57014' FROM pgtrickle._history WHERE stream_table = 'public.slow' ORDER BY refresh_id LIMIT 1 OFFSET 1}),
	'which its history says');
is(sql(q{SELECT error_type FROM pgtrickle.diagnose_errors('public.slow') LIMIT 1}), 'cancelled', 'and diagnose_errors');

my ($rc, undef, $err) = $node->psql('postgres', q{BEGIN; DROP EXTENSION pg_trickle CASCADE; SELECT pgtrickle.drain()});
isnt($rc, 0, 'no extension, no drain');
$node->stop('immediate');
done_testing();
