# What is decoded and what is visible are different sets; refreshes are framed
# by their snapshot.  Two cases that can be held still: a commit that waits for
# its standby is decoded and not visible, an asynchronous one is visible and
# not flushed.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('framing', conf => "synchronous_commit = local\nwal_writer_delay = 10s\nwal_writer_flush_after = 0\nbgwriter_delay = 10s\npg_trickle.cdc_mode = trigger\n");
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE TABLE src (k int, v int);
	ALTER TABLE src REPLICA IDENTITY FULL;
	CREATE TABLE dim (k int, name text);
	ALTER TABLE dim REPLICA IDENTITY FULL;
	INSERT INTO src SELECT i % 3, i FROM generate_series(1, 30) i;
	INSERT INTO dim SELECT i, 'name ' || i FROM generate_series(0, 5) i;
	SELECT pgtrickle.create_stream_table('public.sums', 'SELECT k, sum(v) AS s, count(*) AS n FROM src GROUP BY k', '1h', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.named', 'SELECT d.name, s.v FROM src s JOIN dim d USING (k)', '1h', 'DIFFERENTIAL');
	SELECT pgtrickle.create_stream_table('public.live', 'SELECT k, max(v) AS m FROM src GROUP BY k', 'continuous', 'DIFFERENTIAL');
});
capture_from_wal($node, 'postgres', 'src', 'dim');
my ($src) = $node->safe_psql('postgres', q{SELECT 'src'::regclass::oid});

sub refresh
{
	my ($st) = @_;
	return $node->safe_psql('postgres', "SELECT action FROM pgtrickle.refresh_stream_table('public.$st')");
}

# A transaction whose commit hangs: it is decoded, and nobody sees it.
sub hanging_commit
{
	my ($sql, $xid) = @_;
	my ($in, $out) = ("SET synchronous_commit = on; BEGIN; $sql; SELECT 'xid ' || pg_current_xact_id(); COMMIT;\n\\q\n", '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<' => \$in, '>' => \$out, '2>' => \my $err);
	$session->pump until $out =~ /xid (\d+)\n/;
	$$xid = $1;
	return $session;
}

$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
$node->poll_query_until('postgres', q{SHOW synchronous_standby_names}, 'nobody');

my $xid;
my $session = hanging_commit('INSERT INTO src VALUES (1, 1000), (7, 7); UPDATE src SET v = v + 1 WHERE k = 2', \$xid);
# nobody has told the decoder of it; a refresh asks for all that is in the WAL
refresh('sums');
ok($node->poll_query_until('postgres', qq{SELECT count(*) > 0 FROM pgtrickle_changes.changes_${src}_0 WHERE xid = '$xid'}),
	'the commit that hangs is decoded');
is($node->safe_psql('postgres', 'SELECT count(*) FROM src WHERE v = 1000'), '0', '... and not visible');
is(refresh('sums'), 'NO_DATA', 'a refresh does not take it');
equals_query($node, 'postgres', 'public.sums', 'while a commit hangs');

# others go on beside it, also with a join partner of what hangs
$node->safe_psql('postgres', q{INSERT INTO src VALUES (0, 500); INSERT INTO dim VALUES (7, 'seven')});
is(refresh($_), 'DIFFERENTIAL', "others' changes come into $_") for 'sums', 'named';
equals_query($node, 'postgres', "public.$_", 'others while a commit hangs') for 'sums', 'named';
wait_caught_up($node, 'postgres', 'public.live');

$node->safe_psql('postgres', q{ALTER SYSTEM RESET synchronous_standby_names});
$node->reload;
$session->finish;
is($node->safe_psql('postgres', 'SELECT count(*) FROM src WHERE v = 1000'), '1', 'the commit is let go');

# nothing is written any more: the scheduler has to hear of it all the same
wait_caught_up($node, 'postgres', 'public.live');
is(refresh($_), 'DIFFERENTIAL', "it comes into $_") for 'sums', 'named';
equals_query($node, 'postgres', "public.$_", 'once the commit is visible') for 'sums', 'named';
is(refresh($_), 'NO_DATA', "... once, $_") for 'sums', 'named';

# the same across a restart of the decoder
$node->safe_psql('postgres', q{ALTER SYSTEM SET synchronous_standby_names = 'nobody'});
$node->reload;
$node->poll_query_until('postgres', q{SHOW synchronous_standby_names}, 'nobody');
$session = hanging_commit('INSERT INTO src VALUES (8, 8)', \$xid);
refresh('sums');
$node->poll_query_until('postgres', qq{SELECT count(*) > 0 FROM pgtrickle_changes.changes_${src}_0 WHERE xid = '$xid'});
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_trickle decoder'});
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid, 5000)");
ok($node->poll_query_until('postgres', qq{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'pg_trickle decoder' AND pid <> $pid}),
	'another decoder runs');
is(refresh('sums'), 'NO_DATA', 'a refresh after the restart does not take it');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET synchronous_standby_names});
$node->reload;
$session->finish;
wait_caught_up($node, 'postgres', 'public.live');
is(refresh($_), 'DIFFERENTIAL', "it comes into $_") for 'sums';
equals_query($node, 'postgres', "public.$_", 'after a restart of the decoder') for 'sums';

# ---- visible, not flushed ----

for my $i (1 .. 5)
{
	my $behind = $node->safe_psql('postgres', qq{
		SET synchronous_commit = off;
		INSERT INTO src VALUES (1, 10000 + $i);
		SELECT pg_current_wal_insert_lsn() > pg_current_wal_flush_lsn();
		UPDATE dim SET name = name || '.' WHERE k = 1;
		SELECT action FROM pgtrickle.refresh_stream_table('public.named');
	});
	like($behind, qr/DIFFERENTIAL/, "asynchronous commit $i is refreshed at once");
	equals_query($node, 'postgres', 'public.named', "asynchronous commit $i");
}

$node->stop;
done_testing();
