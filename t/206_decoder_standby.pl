# Decoding on a standby (16 and later): the plugin reads what the catalogs said
# there as on the primary, by options and by pgt_sources.
use strict;
use warnings FATAL => 'all';

use IPC::Run ();
use PgTrickle::Batch;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'standbys decode since PostgreSQL 16' if server_major() < 16;

my $node = new_node('primary', conf => "pg_trickle.enabled = off\nwal_keep_size = 64MB\n");
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE TABLE t (id int, v text) PARTITION BY RANGE (id);
	CREATE TABLE t1 (v text, id int);
	ALTER TABLE t ATTACH PARTITION t1 FOR VALUES FROM (0) TO (1000000);
	ALTER TABLE t1 REPLICA IDENTITY FULL;
	SELECT pgtrickle.create_stream_table('public.copy', 'SELECT id FROM t', schedule => '1d');
	SELECT pg_create_physical_replication_slot('standby')});
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nprimary_slot_name = 'standby'\n");
$standby->start;

# a slot on a standby needs to hear what runs on the primary
my ($out, $err) = ('', '');
my $create = IPC::Run::start([ 'psql', '-XAtq', '-d', $standby->connstr('postgres'), '-c',
		q{SELECT 1 FROM pg_create_logical_replication_slot('decoding', 'pg_trickle_decoder')} ], '<' => \undef, '>' => \$out, '2>' => \$err);
ok($standby->poll_query_until('postgres',
		q{SELECT restart_lsn IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'decoding'}), 'the slot waits for the primary');
while ($create->pumpable)
{
	$node->safe_psql('postgres', 'SELECT pg_log_standby_snapshot()');
	$node->wait_for_catchup($standby);
	$create->pump_nb;
}
$create->finish;
is($out, "1\n", 'a slot is made') or diag $err;

$node->safe_psql('postgres', q{
	INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 100) i;
	ALTER TABLE t ADD extra int DEFAULT 9;
	UPDATE t SET v = v || '!' WHERE id <= 10;
	DELETE FROM t WHERE id > 90;
	BEGIN;
	UPDATE pgtrickle.pgt_sources SET cdc_mode = 'WAL' WHERE source_relid = 't'::regclass;
	ALTER TABLE t ALTER extra SET STATISTICS 5;
	COMMIT;
	INSERT INTO t VALUES (200, 'after', 1)});
$node->wait_for_catchup($standby);
my $columns = load_columns($standby, 'postgres');

sub decoded
{
	my ($function, $options) = @_;
	my $data = $standby->safe_psql('postgres',
		"SELECT encode(data, 'hex') FROM $function('decoding', NULL, NULL, $options)");
	return map { parse_batch(pack('H*', $_), $columns) } split /\n/, $data;
}

my @wanted = decoded('pg_logical_slot_peek_binary_changes', q{'catalog', 'on'});
is_deeply([ map { map { [ $_->{op}, @{ $_->{new} } ] } @{ $_->{changes} } } @wanted ], [ [ 'I', 200 ] ],
	'by pgt_sources, from the hand-over on');
my %rows;
replay(\%rows, $_) for decoded('pg_logical_slot_get_binary_changes', q{'sources', 'public.t(id,v)'});
is_deeply([ sort keys %rows ], [ sort split /\n/, $standby->safe_psql('postgres', 'SELECT id, v FROM t') ], 'by name: the table');
$standby->stop;
$node->stop;
done_testing();
