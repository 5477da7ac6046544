# Decoders and the life of databases, extensions and servers: who leaves, which
# slot goes, what a copy and a standby do.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('databases', conf => "pg_trickle.cdc_mode = trigger\nwal_keep_size = 64MB\n");

sub make_database
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	create_extension($node, $db);
	$node->safe_psql($db, q{
		CREATE TABLE src (k int, v int);
		ALTER TABLE src REPLICA IDENTITY FULL;
		INSERT INTO src SELECT i % 3, i FROM generate_series(1, 30) i;
		SELECT pgtrickle.create_stream_table('public.sums', 'SELECT k, sum(v) AS s, count(*) AS n FROM src GROUP BY k', '100ms', 'DIFFERENTIAL');
	});
	capture_from_wal($node, $db, 'src');
	return;
}

sub write_and_check
{
	my ($where, $db, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	note($what);
	$where->safe_psql($db, 'INSERT INTO src VALUES (1, 1), (9, 9); UPDATE src SET v = v + 1 WHERE k = 9; DELETE FROM src WHERE k = 2');
	return wait_caught_up($where, $db, 'public.sums');
}

sub slots
{
	my ($where) = @_;
	return $where->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots');
}

make_database('one');
make_database('two');
write_and_check($node, 'one', 'two decoders: one');
write_and_check($node, 'two', 'two decoders: two');
is(slots($node), '2', 'a slot for each database');

# ---- one context for all that is decoded ----

my @started = slurp_file($node->logfile) =~ /starting logical decoding for slot/g;
is(scalar @started, 2, 'a decoder keeps its context from batch to batch');
for my $file (glob tree_root() . '/applier/capture/wal*.c')
{
	unlike(slurp_file($file), qr/SPI_|spi\.h/, "no SQL is run: $file");
}

# ---- a copy of a database ----

$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE one');
ok($node->poll_query_until('copy', q{SELECT count(*) = 1 AND bool_and(database_oid = d.oid) FROM pgtrickle.pgt_decoder, pg_database d WHERE d.datname = current_database()}),
	'the copy has a decoder and a slot of its own');
write_and_check($node, 'copy', 'a copy');
write_and_check($node, 'one', 'its template');
is(slots($node), '3', 'three slots');

# ---- rename, drop ----

$node->safe_psql('postgres', 'ALTER DATABASE copy RENAME TO renamed');
write_and_check($node, 'renamed', 'renamed');
$node->safe_psql('postgres', 'DROP DATABASE renamed');
is(slots($node), '2', 'DROP DATABASE: decoder and slot are gone');

# ---- the extension is dropped ----

$node->safe_psql('two', 'INSERT INTO src VALUES (5, 5)');
$node->safe_psql('two', q{SET client_min_messages = warning; DROP EXTENSION pg_trickle CASCADE});
ok($node->poll_query_until('postgres', 'SELECT count(*) FROM pg_replication_slots', '1'), 'DROP EXTENSION: the slot is gone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'two' AND backend_type = 'pg_trickle decoder'}), '0',
	'... and the decoder');
$node->safe_psql('two', 'DROP TABLE sums');
create_extension($node, 'two');
$node->safe_psql('two', q{SELECT pgtrickle.create_stream_table('public.sums', 'SELECT k, sum(v) AS s, count(*) AS n FROM src GROUP BY k', '100ms', 'DIFFERENTIAL')});
capture_from_wal($node, 'two', 'src');
write_and_check($node, 'two', 'the extension made anew');

# ---- a stream table is dropped in a transaction that stays open ----

$node->safe_psql('two', q{
	CREATE TABLE other (k int, v int);
	ALTER TABLE other REPLICA IDENTITY FULL;
	SELECT pgtrickle.create_stream_table('public.others', 'SELECT k, sum(v) AS s FROM other GROUP BY k', '1h', 'DIFFERENTIAL');
});
capture_from_wal($node, 'two', 'other');
$node->safe_psql('two', 'INSERT INTO src SELECT 1, i FROM generate_series(1, 1000) i');
my ($in, $out) = ("BEGIN; SELECT 'dropped' FROM pgtrickle.drop_stream_table('public.sums');\n", '');
my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('two') ], '<' => \$in, '>' => \$out, '2>' => \my $err);
$session->pump until $out =~ /dropped/;
$node->safe_psql('two', q{INSERT INTO other VALUES (1, 1); SELECT pgtrickle.refresh_stream_table('public.others')});
equals_query($node, 'two', 'public.others', 'beside an open transaction that drops another source\'s buffer');
$in .= "ROLLBACK;\n\\q\n";
$session->finish;
write_and_check($node, 'two', 'the drop was rolled back');

# ---- the slot in somebody else's hands ----

my ($slot) = $node->safe_psql('two', q{SELECT 'pg_trickle_' || oid FROM pg_database WHERE datname = current_database()});
my $receiver;
for (1 .. 50)
{
	$node->safe_psql('two', q{SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'pg_trickle decoder'});
	$receiver = IPC::Run::start([ 'pg_recvlogical', '-d', $node->connstr('two'), '-S', $slot, '--start', '-n', '-f', '/dev/null', '-o', 'catalog=on' ],
		'<' => \undef, '>' => \my $o, '2>' => \my $e);
	last if $node->poll_query_until('two', qq{SELECT a.backend_type <> 'pg_trickle decoder' FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid WHERE slot_name = '$slot'})
	  && $node->safe_psql('two', q{SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'pg_trickle decoder'}) eq '0';
	$receiver->kill_kill;
}
my $offset = -s $node->logfile;
$node->wait_for_log(qr/ERROR:  replication slot "$slot" is active for PID/, $offset);
my ($rc, $stdout, $stderr) = $node->psql('two', q{INSERT INTO other VALUES (1, 1); SELECT pgtrickle.refresh_stream_table('public.others')});
like($stderr, qr/could not refresh stream table "others": the WAL has not been decoded so far/, 'slot in use: an error');
like($stderr, qr/DETAIL:.*is active for PID/, '... that says why');
is($node->safe_psql('two', q{SELECT action FROM pgtrickle.refresh_stream_table('public.others', mode => 'FULL')}), 'FULL', '... FULL needs no decoder');
equals_query($node, 'two', 'public.others', 'FULL without a decoder');
$receiver->signal('INT');
$receiver->finish;
write_and_check($node, 'two', 'once the slot is free');
$node->safe_psql('two', q{INSERT INTO other VALUES (1, 2); SELECT pgtrickle.refresh_stream_table('public.others')});
equals_query($node, 'two', 'public.others', 'after FULL without a decoder, changes of before are not counted again');

# ---- a standby, promoted ----

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
write_and_check($node, 'one', 'with a standby');
$node->wait_for_catchup($standby);
is($standby->safe_psql('one', 'TABLE sums ORDER BY k'), $node->safe_psql('one', 'TABLE sums ORDER BY k'), 'the result is replicated');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pg\_trickle %'}), '0', 'nothing of ours runs on a standby');
$node->safe_psql('one', 'INSERT INTO src VALUES (7, 70)');
$node->wait_for_catchup($standby);
$node->stop('immediate');
$standby->promote;
write_and_check($standby, 'one', 'promoted');
ok($standby->poll_query_until('one', q{SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND active}, '1'),
	'it has a slot of its own');
$standby->stop;

done_testing();
