# A suspended stream table holds the changes of its sources only up to a limit:
# past it, it is marked for rebuild, and the buffers are emptied.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('idle', conf => "pg_trickle.buffer_alert_threshold = 5000\n");
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE TABLE src (id int, pad text);
	SELECT pgtrickle.create_stream_table('public.idle', 'SELECT id, pad FROM src', '1d');
	SELECT pgtrickle.create_stream_table('public.busy', 'SELECT count(*) AS n FROM src', 'continuous');
	SELECT pgtrickle.alter_stream_table('public.idle', enabled => false);
});
my $marked = q{SELECT needs_reinit FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'idle'};
my $pages = q{SELECT coalesce(sum(pg_relation_size(oid)) / 8192, 0) FROM pg_class
	WHERE relnamespace = 'pgtrickle_changes'::regnamespace AND relkind = 'r'};

$node->safe_psql('postgres', q{INSERT INTO src SELECT i, repeat('p', 400) FROM generate_series(1, 4000) i});
wait_caught_up($node, 'postgres', 'public.busy');
is($node->safe_psql('postgres', $marked), 'f', 'below the limit its changes are kept');

$node->safe_psql('postgres', q{INSERT INTO src SELECT i, repeat('p', 400) FROM generate_series(1, 4000) i});
# while a transaction has it in hand nobody waits: no writer, not the scheduler
$node->safe_psql('postgres', q{
	BEGIN;
	SELECT pgtrickle.alter_stream_table('public.idle', schedule => '3d');
	PREPARE TRANSACTION 'in hand';
});
$node->safe_psql('postgres', q{SELECT pgtrickle.alter_stream_table('public.busy', cdc_mode => 'trigger')});
my $written = 1;
my $until = time + 12;			# a buffer is looked at every 10 seconds
while ($written && time < $until)
{
	my $rc = $node->psql('postgres', q{SET statement_timeout = '5s'; INSERT INTO src VALUES (-1, 'x'); SELECT pg_sleep(0.5)});
	$written &&= $rc == 0 && $node->poll_query_until('postgres',
		'SELECT (TABLE busy) = (SELECT count(*) FROM src)');
}
ok($written, 'an open transaction on an idle stream table stops neither writers nor refreshes');
is($node->safe_psql('postgres', $marked), 'f', 'and it is not marked meanwhile');
$node->safe_psql('postgres', q{COMMIT PREPARED 'in hand'});

# any change of the catalog has the scheduler look at once, else it does each minute
$node->safe_psql('postgres', q{SELECT pgtrickle.alter_stream_table('public.idle', schedule => '2d')});
ok($node->poll_query_until('postgres', $marked, 't'), 'past the limit it is marked for rebuild');
like($node->safe_psql('postgres', q{SELECT reinit_reason FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'idle'}),
	qr/5000 changes of "src" were waiting/, 'with the reason');

# further changes let the buffer be looked at again
$node->safe_psql('postgres', q{INSERT INTO src VALUES (0, 'x')});
ok($node->poll_query_until('postgres', "SELECT ($pages) < 50"), 'and the buffer is emptied');

$node->safe_psql('postgres', q{SELECT pgtrickle.resume_stream_table('public.idle')});
wait_caught_up($node, 'postgres', $_) for qw(public.idle public.busy);
$node->safe_psql('postgres', q{DELETE FROM src WHERE id % 3 = 0});
$node->safe_psql('postgres', q{SELECT pgtrickle.refresh_stream_table('public.idle')});
equals_query($node, 'postgres', 'public.idle', 'resumed and refreshed');
is($node->safe_psql('postgres', q{SELECT action FROM pgtrickle.get_refresh_history('public.idle', 1)}),
	'DIFFERENTIAL', 'differentially again');
$node->stop;
done_testing();
