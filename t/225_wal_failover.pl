# A standby that synchronises slots (17 and later) goes on where the primary
# was: nothing is missed, nothing is rebuilt.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'slots are synchronised since PostgreSQL 17' if server_major() < 17;

my $node = new_node('primary', conf => "wal_keep_size = 64MB\n");
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE TABLE src (k int, v int);
	ALTER TABLE src REPLICA IDENTITY FULL;
	INSERT INTO src SELECT i % 3, i FROM generate_series(1, 30) i;
	SELECT pgtrickle.create_stream_table('public.sums', 'SELECT k, sum(v) AS s, count(*) AS n FROM src GROUP BY k', '100ms', 'DIFFERENTIAL');
	SELECT pg_create_physical_replication_slot('standby');
});
capture_from_wal($node, 'postgres', 'src');
my $slot = $node->safe_psql('postgres', q{SELECT slot_name FROM pg_replication_slots WHERE plugin = 'pg_trickle_decoder'});
is($node->safe_psql('postgres', qq{SELECT failover FROM pg_replication_slots WHERE slot_name = '$slot'}), 't', 'the slot is for failover');

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
(my $connection = $node->connstr('postgres')) =~ s/'/''/g;
$standby->append_conf('postgresql.conf', qq{
hot_standby_feedback = on
primary_slot_name = 'standby'
primary_conninfo = '$connection'
sync_replication_slots = on
});
$standby->start;

# the standby takes a slot over once it has itself replayed what the slot needs
my $synced = 0;
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	$node->safe_psql('postgres', 'INSERT INTO src VALUES (1, 1); SELECT pg_log_standby_snapshot()');
	$node->wait_for_catchup($standby);
	$synced = $standby->safe_psql('postgres', qq{SELECT count(*) FROM pg_replication_slots WHERE slot_name = '$slot' AND synced AND NOT temporary});
	last if $synced;
}
ok($synced, 'the slot is synchronised');
$node->safe_psql('postgres', 'INSERT INTO src VALUES (5, 5); UPDATE src SET v = v + 1 WHERE k = 1');
wait_caught_up($node, 'postgres', 'public.sums');
$node->safe_psql('postgres', 'INSERT INTO src VALUES (7, 70); DELETE FROM src WHERE k = 2');
$node->wait_for_catchup($standby);
$node->stop('immediate');

$standby->promote;
wait_caught_up($standby, 'postgres', 'public.sums');
$standby->safe_psql('postgres', 'INSERT INTO src VALUES (8, 8); UPDATE src SET v = v + 1');
wait_caught_up($standby, 'postgres', 'public.sums');
is($standby->safe_psql('postgres', 'SELECT n_lost FROM pgtrickle.pgt_decoder'), '0', 'nothing was missed');
is($standby->safe_psql('postgres', q{SELECT cdc_mode FROM pgtrickle.pgt_cdc_status}), 'WAL', 'the source is still captured from the WAL');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE action IN ('FULL', 'REINITIALIZE')}), '0', 'nothing was rebuilt');
$standby->stop;

done_testing();
