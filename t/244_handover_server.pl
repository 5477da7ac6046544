# What the server lacks: wal_level, slots, a decoder that comes up.  Sources stay
# on triggers or go back to them, and it is said why.  A dump brings back what was
# asked for, and its sources begin on triggers.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('server', conf => "wal_level = replica\nmax_replication_slots = 1\npg_trickle.wal_transition_timeout = '2s'\n");
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', @_) }

sub blocked
{
	my ($pattern, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($node->poll_query_until('postgres', "SELECT blocked_reason ~ '$pattern' FROM pgtrickle.check_cdc_health()"), $what);
	return;
}

sub poke
{
	sql(q{SELECT pgtrickle.alter_stream_table('public.st', cdc_mode => 'auto')});
	return;
}

# A hand-over that two seconds were not enough for is tried again after a minute:
# sooner when a user says so.
sub come_to_wal
{
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $mode = q{SELECT cdc_mode FROM pgtrickle.pgt_sources};
	for (1 .. 20)
	{
		poke() if sql($mode) eq 'TRIGGER';
		$node->poll_query_until('postgres', "SELECT ($mode) <> 'TRANSITIONING' AND pg_sleep(0.3) IS NOT NULL");
		last if sql($mode) eq 'WAL';
	}
	return wait_cdc_mode($node, 'postgres', 'src', 'WAL');
}

sql(q{
	CREATE TABLE src (id int PRIMARY KEY, g int, v int);
	ALTER TABLE src REPLICA IDENTITY FULL;
	INSERT INTO src SELECT i, i % 5, i FROM generate_series(1, 100) i;
	SELECT pgtrickle.create_stream_table('public.st', 'SELECT g, sum(v) AS total FROM src GROUP BY g', '100ms', 'DIFFERENTIAL');
});

# ---- wal_level ----

SKIP:
{
	skip 'logical decoding comes on by itself', 3 if server_major() >= 19;
	blocked('^wal_level is "replica"$', 'wal_level replica: triggers, and why');
	my ($rc, $out, $err) = $node->psql('postgres', q{SELECT pgtrickle.alter_stream_table('public.st', cdc_mode => 'wal')});
	like($err, qr/cannot be captured from the WAL: wal_level is "replica"/, 'asked for it is an error');
	like($err, qr/HINT:  Set wal_level to logical and restart the server/, 'with a hint');
}
sql(q{UPDATE src SET v = v + 1});
wait_caught_up($node, 'postgres', 'public.st');
$node->append_conf('postgresql.conf', 'wal_level = logical');
$node->restart;

# ---- no slot is free ----

wait_cdc_mode($node, 'postgres', 'src', 'WAL');
sql(q{SELECT pgtrickle.alter_stream_table('public.st', cdc_mode => 'trigger')});
wait_cdc_mode($node, 'postgres', 'src', 'TRIGGER');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM pg_replication_slots}, '0'), 'after a restart with wal_level logical it had a slot');
sql(q{SELECT pg_create_physical_replication_slot('mine')});
poke();
blocked('^all 1 replication slots are in use$', 'no free slot: triggers, and why');
sql(q{SELECT pg_drop_replication_slot('mine')});
come_to_wal();
sql(q{SELECT pgtrickle.alter_stream_table('public.st', cdc_mode => 'trigger')});
wait_cdc_mode($node, 'postgres', 'src', 'TRIGGER');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM pg_replication_slots}, '0'), 'the slot is free again');

# ---- a decoder that does not come up ----

my $name = sql(q{SELECT 'pg_trickle_' || oid FROM pg_database WHERE datname = 'postgres'});
sql("SELECT pg_create_physical_replication_slot('$name')");
poke();
blocked("^the decoder did not come up within pg_trickle.wal_transition_timeout: .*$name.* is not one of pg_trickle", 'a hand-over that times out says what the decoder said');
is(sql(q{SELECT cdc_mode || ' ' || capture_form FROM pgtrickle.pgt_sources}), 'TRIGGER statement', 'triggers went on');
sql(q{UPDATE src SET v = v + 1});
wait_caught_up($node, 'postgres', 'public.st');
sql("SELECT pg_drop_replication_slot('$name')");
come_to_wal();

# an open transaction that a new slot waits for
sql(q{SELECT pgtrickle.alter_stream_table('public.st', cdc_mode => 'trigger')});
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM pg_replication_slots}, '0'), 'the slot is gone');
sql(q{CREATE TABLE other (v int)});
my $holder = $node->background_psql('postgres');
$holder->query_safe(q{BEGIN});
$holder->query_safe(q{INSERT INTO other VALUES (1)});
poke();
blocked('^the decoder did not come up within .*waits for all transactions', 'nor does a slot that waits for an open transaction hold anybody up');
$holder->query_safe(q{COMMIT});
$holder->quit;
come_to_wal();

# ---- one that does not come back ----

my $taken = 0;
for (1 .. 500)
{
	my ($rc) = $node->psql('postgres', "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '$name';
		SELECT pg_drop_replication_slot('$name'); SELECT pg_create_physical_replication_slot('$name')");
	$taken = $rc == 0 && sql("SELECT slot_type FROM pg_replication_slots WHERE slot_name = '$name'") eq 'physical';
	last if $taken;
}
ok($taken, 'a stranger has the slot\'s name');
sql(q{UPDATE src SET v = v + 100; DELETE FROM src WHERE id = 5});
wait_cdc_mode($node, 'postgres', 'src', 'TRIGGER');
blocked('^(no decoder has run|the replication slot was lost)', 'a decoder that does not come back: triggers again, and why');
wait_caught_up($node, 'postgres', 'public.st');
sql("SELECT pg_drop_replication_slot('$name')");

# ---- a dump ----

$node->append_conf('postgresql.conf', "max_replication_slots = 4\npg_trickle.wal_transition_timeout = '1min'");
$node->restart;
wait_cdc_mode($node, 'postgres', 'src', 'WAL');
sql(q{SELECT pgtrickle.alter_stream_table('public.st', cdc_mode => 'wal')});
my $dump = "$PostgreSQL::Test::Utils::tmp_check/handover.sql";
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'dumped');
sql(q{CREATE DATABASE copy});
$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('copy'), '-f', $dump ], 'restored');
ok($node->poll_query_until('copy', q{SELECT is_populated FROM pgtrickle.pgt_stream_tables}), 'and filled');
is($node->safe_psql('copy', q{SELECT requested_cdc_mode FROM pgtrickle.pgt_stream_tables}), 'wal', 'what was asked for is there');
wait_cdc_mode($node, 'copy', 'src', 'WAL');
$node->safe_psql($_, q{UPDATE src SET v = v + 1 WHERE g = 1}) for qw(postgres copy);
wait_caught_up($node, $_, 'public.st') for qw(postgres copy);
is(sql(q{SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'pg\_trickle\_%'}), '2', 'each database has a slot of its own');
done_testing();
