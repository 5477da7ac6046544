# A slot that endangers the disk, and one that is lost: sources go back to
# triggers by themselves, nothing is missing, and everybody is told.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = new_node('fallback', conf => "pg_trickle.slot_lag_warning_threshold = '1MB'\npg_trickle.slot_lag_critical_threshold = '2GB'\n");
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', @_) }
my $alert = q{SELECT alert FROM pgtrickle.slot_health()};

my ($in, $heard, $listener) = ('', '');
sub listen_to_events
{
	($in, $heard) = ('', '');
	$listener = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<' => \$in, '>' => \$heard,
		IPC::Run::timeout(5 * $PostgreSQL::Test::Utils::timeout_default));
	$in .= "LISTEN pgtrickle_refresh; SELECT 'listening';\n";
	$listener->pump until $heard =~ /listening/;
	return;
}
listen_to_events();
my $asked = 0;

sub told
{
	my ($pattern, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	while ($heard !~ $pattern && time < $deadline)
	{
		$asked++;
		$in .= "SELECT pg_sleep(0.05), 'asked $asked';\n";
		$listener->pump until $heard =~ /asked $asked\n/;
	}
	return like($heard, $pattern, $what);
}

sql(q{
	CREATE TABLE src (id int PRIMARY KEY, g int, v int);
	ALTER TABLE src REPLICA IDENTITY FULL;
	CREATE TABLE noise (pad text);
	INSERT INTO src SELECT i, i % 5, i FROM generate_series(1, 100) i;
	SELECT pgtrickle.create_stream_table('public.st', 'SELECT g, sum(v) AS total FROM src GROUP BY g', '100ms', 'DIFFERENTIAL');
});
wait_cdc_mode($node, 'postgres', 'src', 'WAL');
is(sql($alert), '', 'a fresh slot is fine');
is(sql(q{SELECT slot_name LIKE 'pg\_trickle\_%', plugin, active, decoder_pid = (SELECT pid FROM pg_stat_activity WHERE backend_type = 'pg_trickle decoder'),
		confirmed_flush_lsn IS NOT NULL, retained_wal_bytes >= 0, wal_status, catalog_xmin_age >= 0, lag >= '0', sources FROM pgtrickle.slot_health()}),
	't|pg_trickle_decoder|t|t|t|t|reserved|t|t|1', 'and slot_health describes it');
sql(q{INSERT INTO src SELECT i, 1, 1 FROM generate_series(101, 150) i});
ok($node->poll_query_until('postgres', q{SELECT decoded_changes = 50 AND decoded_bytes > 500 FROM pgtrickle.slot_health()}), 'and what it has decoded');
is(sql(q{SELECT cdc_mode || '|' || wanted_mode || '|' || (blocked_reason IS NULL) || '|' || (slot_name LIKE 'pg%') || '|' || (lag_bytes >= 0) || '|' || (alert IS NULL)
	FROM pgtrickle.check_cdc_health()}), 'WAL|auto|true|true|true|true', 'check_cdc_health has it by source');

# a transaction that holds the WAL back: the slot cannot move on
my $holder = $node->background_psql('postgres');
$holder->query_safe(q{BEGIN});
$holder->query_safe(q{INSERT INTO noise VALUES ('held')});
sub make_noise
{
	sql(q{INSERT INTO noise SELECT repeat('x', 1000) FROM generate_series(1, 4000)});
	sql(q{UPDATE src SET v = v + 1 WHERE id % 3 = 0});
	sql(q{CHECKPOINT});
	return;
}
make_noise();
$node->reload;
ok($node->poll_query_until('postgres', q{SELECT alert LIKE 'warning: retains more WAL%' FROM pgtrickle.slot_health()}), 'a slot that lags is seen');
told(qr/"slot_lag_warning".*"level": "warning"/, 'and told of');
is(sql(q{SELECT severity FROM pgtrickle.health_check() WHERE check_name = 'slot_lag'}), 'WARN', 'health_check too');
wait_cdc_mode($node, 'postgres', 'src', 'WAL');
wait_caught_up($node, 'postgres', 'public.st');

# ---- only told ----

$node->append_conf('postgresql.conf', "pg_trickle.slot_wal_limit_action = warn\npg_trickle.slot_lag_critical_threshold = '2MB'");
$node->reload;
told(qr/"slot_lag_warning".*"level": "critical"/, 'past the critical threshold there is another event');
is(sql(q{SELECT severity FROM pgtrickle.health_check() WHERE check_name = 'slot_lag'}), 'ERROR', 'and an error of health_check');
wait_cdc_mode($node, 'postgres', 'src', 'WAL');

# ---- back to triggers ----

$node->append_conf('postgresql.conf', "pg_trickle.slot_wal_limit_action = fall_back");
$node->reload;
wait_cdc_mode($node, 'postgres', 'src', 'TRIGGER');
told(qr/"cdc_transition_complete", "stream_table": "public.st".*"reason": "the replication slot retained more WAL/, 'fall_back: the source goes back to triggers');
ok($node->poll_query_until('postgres', q{SELECT count(*) FROM pg_replication_slots}, '0'), 'and the slot is dropped');
is(sql(q{SELECT blocked_reason FROM pgtrickle.pgt_cdc_status}), 'the replication slot retained more WAL than pg_trickle.slot_lag_critical_threshold', 'the reason stays');
make_noise();
wait_caught_up($node, 'postgres', 'public.st');
is(sql(q{SELECT count(*) FROM pgtrickle.pgt_refresh_history WHERE action IN ('FULL', 'REINITIALIZE')}), '0',
	'the decoder had kept up: nothing was rebuilt');
sql(q{SELECT pgtrickle.alter_stream_table('public.st', cdc_mode => 'auto')});
is(sql(q{SELECT cdc_mode FROM pgtrickle.pgt_cdc_status}), 'TRIGGER', 'it does not come back at once');
$holder->query_safe(q{COMMIT});
$holder->quit;

# ---- a slot that is lost ----

$node->append_conf('postgresql.conf', "pg_trickle.slot_lag_critical_threshold = '2GB'");
$in .= "\\q\n";
$listener->finish;
$node->restart;
listen_to_events();
wait_cdc_mode($node, 'postgres', 'src', 'WAL');
my $drop = q{SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots; SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots};
my ($rc, $out, $err) = (1);
for (1 .. 200)
{
	($rc, $out, $err) = $node->psql('postgres', $drop);
	last if $rc == 0;
}
is($rc, 0, 'the slot is dropped by hand');
sql(q{UPDATE src SET v = v + 10 WHERE id % 4 = 0; DELETE FROM src WHERE id = 7});
wait_caught_up($node, 'postgres', 'public.st');
my $reason = sql(q{SELECT reason FROM pgtrickle.pgt_refresh_history WHERE action IN ('FULL', 'REINITIALIZE') ORDER BY refresh_id DESC LIMIT 1});
like($reason, qr/slot/, "its readers are rebuilt: $reason");
told(qr/"slot_lost".*"slot_name": "pg_trickle_\d+", "reason"/, 'and it is told');
$node->poll_query_until('postgres', q{SELECT bool_and(cdc_mode <> 'TRANSITIONING') FROM pgtrickle.pgt_sources});
sql(q{UPDATE src SET v = v + 10 WHERE id % 4 = 1});
wait_caught_up($node, 'postgres', 'public.st');
$in .= "\\q\n";
$listener->finish;
done_testing();
