# A crash empties unlogged tables without a change that could be captured:
# what reads them is rebuilt, what does not is left alone.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('unlogged');
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE UNLOGGED TABLE volatile (id int PRIMARY KEY, g int);
	CREATE TABLE lasting (id int PRIMARY KEY, g int);
	CREATE TABLE tree (id int, g int) PARTITION BY LIST (g);
	CREATE TABLE tree_1 PARTITION OF tree FOR VALUES IN (1);
	CREATE UNLOGGED TABLE tree_2 PARTITION OF tree FOR VALUES IN (2);
	INSERT INTO volatile SELECT i, i % 3 FROM generate_series(1, 9) i;
	INSERT INTO lasting SELECT i, i % 3 FROM generate_series(1, 9) i;
	INSERT INTO tree SELECT i, 1 + i % 2 FROM generate_series(1, 9) i;
	SELECT pgtrickle.create_stream_table('public.sums', 'SELECT g, count(*) AS n FROM volatile GROUP BY g', '100ms');
	SELECT pgtrickle.create_stream_table('public.pairs', 'SELECT l.id, v.g FROM lasting l JOIN volatile v USING (id)', '100ms');
	SELECT pgtrickle.create_stream_table('public.leaves', 'SELECT g, count(*) AS n FROM tree GROUP BY g', '100ms');
	SELECT pgtrickle.create_stream_table('public.other', 'SELECT g, count(*) AS n FROM lasting GROUP BY g', '100ms');
	SELECT pgtrickle.create_stream_table('public.over', 'SELECT count(*) AS groups FROM public.sums', '100ms');
});
my @all = map { "public.$_" } qw(sums pairs leaves other over);

# a clean restart keeps the rows and rebuilds nothing
$node->safe_psql('postgres', 'CHECKPOINT');
$node->restart;
$node->safe_psql('postgres', q{INSERT INTO volatile VALUES (10, 7); INSERT INTO lasting VALUES (10, 7)});
wait_caught_up($node, 'postgres', $_) for @all;
my $rebuilds = q{SELECT string_agg(DISTINCT s.pgt_name::text, ' ' ORDER BY s.pgt_name::text)
	FROM pgtrickle.pgt_refresh_history h JOIN pgtrickle.pgt_stream_tables s USING (pgt_id) WHERE h.action = 'REINITIALIZE'};
is($node->safe_psql('postgres', $rebuilds), '', 'a clean restart rebuilds nothing');

$node->safe_psql('postgres', 'CHECKPOINT');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT count(*) FROM volatile'), '0', 'the crash emptied the unlogged table');
wait_caught_up($node, 'postgres', $_) for @all;
is($node->safe_psql('postgres', $rebuilds), 'leaves pairs sums', 'its readers were rebuilt, no others');

# and they follow again
$node->safe_psql('postgres', q{INSERT INTO volatile VALUES (1, 1), (2, 2); INSERT INTO tree VALUES (1, 2); DELETE FROM lasting WHERE id = 2});
wait_caught_up($node, 'postgres', $_) for @all;
$node->stop;
done_testing();
