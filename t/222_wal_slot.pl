# What can be wrong with the slot: missing, moved, held by somebody else,
# invalidated, refused.  Each is said clearly, and nothing is lost silently.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $conf = "pg_trickle.cdc_mode = trigger\nwal_keep_size = 0\n";
# the decoder speaks for its plugin itself, whether the administrator lists it
# for others or not
$conf .= "output_plugin_libraries = 'pgoutput'\n"
  if grep { /^output_plugin_libraries\t/ } `postgres --describe-config`;
my $node = new_node('slot', conf => $conf);
create_extension($node, 'postgres');

my $slot = 'pg_trickle_' . $node->safe_psql('postgres', 'SELECT oid FROM pg_database WHERE datname = current_database()');

sub make_tables
{
	my ($where, $db) = @_;
	$where->safe_psql($db, q{
		CREATE TABLE src (k int, v int);
		ALTER TABLE src REPLICA IDENTITY FULL;
		INSERT INTO src SELECT i % 3, i FROM generate_series(1, 30) i;
		SELECT pgtrickle.create_stream_table('public.sums', 'SELECT k, sum(v) AS s, count(*) AS n FROM src GROUP BY k', '100ms', 'DIFFERENTIAL');
	});
	return;
}

make_tables($node, 'postgres');
capture_from_wal($node, 'postgres', 'src');

sub decoder_pid
{
	return $node->safe_psql('postgres', q{SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'pg_trickle decoder'});
}

# Without a decoder for as long as the code runs.
sub without_decoder
{
	my ($code) = @_;
	my $pid = decoder_pid();

	# held still, it is terminated as soon as it goes on
	kill 'STOP', $pid;
	my $result = eval { $code->($pid); 1 };
	my $error = $@;
	kill 'CONT', $pid;
	die $error unless $result;
	return;
}

# Do something to the slot before the next decoder has it.
sub seize_slot
{
	my ($sql) = @_;
	for (1 .. 50)
	{
		$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE backend_type = 'pg_trickle decoder'});
		my ($rc) = $node->psql('postgres', $sql);
		return 1 if $rc == 0;
	}
	return 0;
}

sub lost
{
	return $node->safe_psql('postgres', 'SELECT n_lost FROM pgtrickle.pgt_decoder');
}

sub has_all
{
	my ($what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	wait_caught_up($node, 'postgres', 'public.sums');
	$node->safe_psql('postgres', 'INSERT INTO src VALUES (1, 1), (9, 9); DELETE FROM src WHERE k = 9');
	wait_caught_up($node, 'postgres', 'public.sums');
	return is($node->safe_psql('postgres', qq{SELECT active FROM pg_replication_slots WHERE slot_name = '$slot'}),
		't', "$what: the decoder has its slot");
}

# ---- as it should be ----

is($node->safe_psql('postgres', qq{SELECT count(*) FROM pg_replication_slots WHERE slot_name = '$slot' AND plugin = 'pg_trickle_decoder' AND active}),
	'1', 'one slot, named after the database');
has_all('at first');

# a quiet database follows the WAL of others
my $before = $node->safe_psql('postgres', qq{SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '$slot'});
$node->safe_psql('postgres', 'CREATE DATABASE busy');
$node->safe_psql('busy', 'CREATE TABLE t AS SELECT i, repeat(md5(i::text), 10) AS x FROM generate_series(1, 60000) i');
ok($node->poll_query_until('postgres', qq{SELECT confirmed_flush_lsn > '$before'::pg_lsn + 8 * 1024 * 1024 FROM pg_replication_slots WHERE slot_name = '$slot'}),
	'the slot moves on with WAL of another database');

# ---- moved by somebody else ----

$node->safe_psql('postgres', 'INSERT INTO src VALUES (2, 200)');
wait_caught_up($node, 'postgres', 'public.sums');
my $n = lost();
$node->safe_psql('postgres', 'INSERT INTO src VALUES (5, 5)');
ok(seize_slot(qq{SELECT pg_replication_slot_advance('$slot', pg_current_wal_lsn())}),
	'the slot is moved under the decoder');
has_all('moved');
is(lost(), $n + 1, 'moved: noticed');
like($node->safe_psql('postgres', 'SELECT last_lost FROM pgtrickle.pgt_decoder'), qr/moved by somebody else/, 'moved: named');
ok($node->safe_psql('postgres', q{SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE action = 'FULL' AND reason LIKE '%moved by somebody else%'}) > 0,
	'moved: readers are rebuilt for that reason');

# ---- dropped by hand ----

$n = lost();
$node->safe_psql('postgres', 'DELETE FROM src WHERE k = 1');
ok(seize_slot(qq{SELECT pg_drop_replication_slot('$slot')}),
	'the slot is dropped under the decoder');
has_all('dropped');
is(lost(), $n + 1, 'dropped: noticed');
like($node->safe_psql('postgres', 'SELECT last_lost FROM pgtrickle.pgt_decoder'), qr/slot was missing/, 'dropped: named');

# ---- invalidated ----

$n = lost();
$node->safe_psql('postgres', q{ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'});
$node->reload;
without_decoder(sub {
	$node->safe_psql('postgres', 'INSERT INTO src SELECT 3, i FROM generate_series(1, 10) i');
	for (1 .. 4)
	{
		$node->safe_psql('busy', 'INSERT INTO t SELECT * FROM t LIMIT 100');
		$node->safe_psql('busy', 'SELECT pg_switch_wal()');
	}
	# refreshes tell what is the matter instead of hanging
	my ($rc, $o, $e) = $node->psql('postgres', q{INSERT INTO src VALUES (3, 3); SELECT pgtrickle.refresh_stream_table('public.sums')});
	like($e, qr/could not refresh stream table "sums": the WAL has not been decoded so far/, 'a decoder that stands still: an error');
	like($e, qr/DETAIL:.*has made no progress/, '... with the reason');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pgtrickle.pgt_stream_tables WHERE status = 'ACTIVE' AND consecutive_errors = 0}),
		'1', '... and workers do not count it as a failure');
	IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'CHECKPOINT' ],
		'<' => \undef, '>' => \my $out, '2>' => \my $err);
	$node->poll_query_until('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE query = 'CHECKPOINT' AND state = 'active'}, '1');
	$node->wait_for_log(qr/terminating process \d+ to release replication slot/);
});
has_all('invalidated');
is(lost(), $n + 1, 'invalidated: noticed');
like($node->safe_psql('postgres', 'SELECT last_lost FROM pgtrickle.pgt_decoder'), qr/invalidated/, 'invalidated: named');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET max_slot_wal_keep_size');
$node->reload;

# ---- no slot is free ----

$node->safe_psql('postgres', q{SELECT pgtrickle.drop_stream_table('public.sums'); DROP TABLE src});
ok($node->poll_query_until('postgres', 'SELECT count(*) FROM pg_replication_slots', '0'), 'the slot goes with the last source');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pgtrickle.pgt_decoder'), '0', '... and what was written about it');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'pg_trickle decoder'}, '0'), '... and the decoder');

$node->safe_psql('postgres', q{ALTER SYSTEM SET pg_trickle.cdc_mode = 'auto'});
$node->reload;
$node->safe_psql('postgres', q{SELECT pg_create_physical_replication_slot('taken' || i) FROM generate_series(1, 10) i});
make_tables($node, 'postgres');
like($node->safe_psql('postgres', 'SELECT cdc_mode, blocked_reason FROM pgtrickle.pgt_cdc_status'),
	qr/^TRIGGER\|all 10 replication slots are in use/, 'no slot is free: triggers serve, and why is said');
$node->safe_psql('postgres', 'INSERT INTO src VALUES (2, 2)');
wait_caught_up($node, 'postgres', 'public.sums');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('taken' || i) FROM generate_series(1, 10) i});
capture_from_wal($node, 'postgres', 'src');
has_all('after there was no slot');

# ---- a slot of that name that is not ours ----

$node->safe_psql('postgres', q{SELECT pgtrickle.drop_stream_table('public.sums'); DROP TABLE src});
$node->poll_query_until('postgres', 'SELECT count(*) FROM pg_replication_slots', '0');
$node->safe_psql('postgres', qq{SELECT pg_create_physical_replication_slot('$slot')});
my $offset = -s $node->logfile;
make_tables($node, 'postgres');
$node->wait_for_log(qr/ERROR:  replication slot "$slot" is not one of pg_trickle's/, $offset);
$node->safe_psql('postgres', 'INSERT INTO src VALUES (2, 2)');
wait_caught_up($node, 'postgres', 'public.sums');
my @starts = slurp_file($node->logfile, $offset) =~ /is not one of pg_trickle's/g;
cmp_ok(scalar @starts, '<', 10, 'attempts are made with growing pauses');
$node->safe_psql('postgres', qq{SELECT pg_drop_replication_slot('$slot')});
capture_from_wal($node, 'postgres', 'src');
has_all('after the stranger had gone');

# ---- wal_level ----

$node->safe_psql('postgres', q{ALTER SYSTEM SET pg_trickle.cdc_mode = 'trigger'});
$node->reload;
wait_cdc_mode($node, 'postgres', 'src', 'TRIGGER');
ok($node->poll_query_until('postgres', 'SELECT count(*) FROM pg_replication_slots', '0'), 'the slot goes when nobody wants it');
SKIP:
{
	skip 'since 19 wal_level replica is enough', 2 if server_major() >= 19;
	$node->append_conf('postgresql.conf', 'wal_level = replica');
	$node->safe_psql('postgres', q{ALTER SYSTEM SET pg_trickle.cdc_mode = 'auto'});
	$node->restart;
	like($node->safe_psql('postgres', 'SELECT cdc_mode, blocked_reason FROM pgtrickle.pgt_cdc_status'),
		qr/^TRIGGER\|wal_level is "replica"/, 'wal_level lowered: triggers serve, and why is said');
	$node->safe_psql('postgres', 'INSERT INTO src VALUES (2, 2)');
	wait_caught_up($node, 'postgres', 'public.sums');
}

$node->stop;
done_testing();
