# What refreshes leave behind: history rows, pruned after their time.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('history', conf => "pg_trickle.history_retention = '1d'\n");
create_extension($node, 'postgres');

$node->safe_psql('postgres', q{
	CREATE TABLE src (k int, v int);
	INSERT INTO src VALUES (1, 1);
	SELECT pgtrickle.create_stream_table('public.ratio', 'SELECT k, 10 / v AS q FROM src', '50ms');
});

# ---- retention ----

$node->safe_psql('postgres', q{
	UPDATE pgtrickle.pgt_refresh_history SET start_time = now() - interval '2 days';
	INSERT INTO src VALUES (2, 2);
});
ok($node->poll_query_until('postgres', q{
	SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE start_time < now() - interval '1 day'}, '0'),
	'history rows leave after their time');
wait_caught_up($node, 'postgres', 'public.ratio');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM pgtrickle.get_refresh_history('public.ratio')}),
	'>=', 1, 'younger ones stay');

$node->stop;
done_testing();
