# Consumed batches are thrown away while writers and refreshes go on, a reader
# that lags keeps what it needs, and nothing is lost on the way.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('clean');
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE TABLE src (id int PRIMARY KEY, g int, pad text);
	INSERT INTO src SELECT i, i % 10, repeat('p', 200) FROM generate_series(1, 5000) i;
	SELECT pgtrickle.create_stream_table('public.fast', 'SELECT g, count(*) AS n, sum(id) AS s, max(pad) AS p FROM src GROUP BY g', 'continuous', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.slow', 'SELECT id, g, pad FROM src WHERE id % 2 = 0', '1d', 'DIFFERENTIAL');
});

my $pages = q{SELECT coalesce(sum(pg_relation_size(oid)) / 8192, 0) FROM pg_class
	WHERE relnamespace = 'pgtrickle_changes'::regnamespace AND relkind = 'r'};
my $files = q{SELECT string_agg(relfilenode::text, ',' ORDER BY relname) FROM pg_class
	WHERE relnamespace = 'pgtrickle_changes'::regnamespace AND relkind = 'r'};
my $segment = q{SELECT segment FROM pgtrickle.pgt_sources};

# Some hundred pages of batches, and as many that are rolled back.
sub write_some
{
	my ($round) = @_;
	$node->safe_psql('postgres', qq{
		UPDATE src SET pad = repeat('$round', 200), g = (g + 1) % 10;
		BEGIN;
		UPDATE src SET g = 0;
		ROLLBACK;
		DELETE FROM src WHERE id % 100 = $round AND id <= 5000;
		INSERT INTO src SELECT 10000 * $round + i, i % 10, 'new' FROM generate_series(1, 20) i;
	});
	return;
}

my $first_segment = $node->safe_psql('postgres', $segment);
write_some(1);
wait_caught_up($node, 'postgres', 'public.fast');
ok($node->poll_query_until('postgres', "SELECT ($segment) <> $first_segment"),
	'writers are switched to the other segment');
my $kept = $node->safe_psql('postgres', $pages);
cmp_ok($kept, '>', 100, 'what the slow reader needs is kept');
write_some(2);
wait_caught_up($node, 'postgres', 'public.fast');
cmp_ok($node->safe_psql('postgres', $pages), '>', $kept, 'and kept on');

my $before = $node->safe_psql('postgres', $files);
is($node->safe_psql('postgres', q{SELECT action FROM pgtrickle.refresh_stream_table('public.slow')}),
	'DIFFERENTIAL', 'the slow reader is refreshed');
equals_query($node, 'postgres', 'public.slow', 'after two rounds');

# whichever refresh comes next has the clean-up done
write_some(3);
wait_caught_up($node, 'postgres', 'public.fast');
$node->safe_psql('postgres', q{SELECT pgtrickle.refresh_stream_table('public.slow')});
write_some(4);
$node->safe_psql('postgres', q{SELECT pgtrickle.refresh_stream_table('public.slow')});
ok($node->poll_query_until('postgres', "SELECT ($files) <> '$before'"), 'segments are emptied');

# an open writer is in nobody's way, and keeps its batches
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN});
$writer->query_safe(q{INSERT INTO src VALUES (-1, 5, 'open')});
for my $round (5 .. 8)
{
	$node->safe_psql('postgres', qq{UPDATE src SET pad = repeat('$round', 200) WHERE id > 0});
	$node->safe_psql('postgres', q{SELECT pgtrickle.refresh_stream_table('public.slow')});
}
$writer->query_safe(q{COMMIT});
$writer->quit;
wait_caught_up($node, 'postgres', 'public.fast');
$node->safe_psql('postgres', q{SELECT pgtrickle.refresh_stream_table('public.slow')});
equals_query($node, 'postgres', "public.$_", 'in the end') for qw(fast slow);
is($node->safe_psql('postgres', q{SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE status = 'FAILED'}),
	'0', 'no refresh failed');
done_testing();
