# Tables that logical replication writes to, captured from the subscriber's own
# WAL: the initial copy, streamed changes, large transactions applied while they
# are in progress upstream, TRUNCATE, partitions, and a subscriber that is
# restarted; no trigger is on them, and the decoder takes nothing for foreign.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $publisher = new_node('publisher', conf => "pg_trickle.enabled = off\nlogical_decoding_work_mem = 64kB\n");
my $node = new_node('subscriber');
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', @_) }

my $tables = q{
	CREATE TABLE account (id int PRIMARY KEY, branch int, balance numeric, note text);
	CREATE TABLE log (id int PRIMARY KEY, k int, v text);
	ALTER TABLE account REPLICA IDENTITY FULL;
	ALTER TABLE log REPLICA IDENTITY FULL};
$publisher->safe_psql('postgres', $tables);
$publisher->safe_psql('postgres', q{
	INSERT INTO account SELECT i, i % 5, i, repeat('long', 1000 * (i % 3)) FROM generate_series(1, 200) i;
	INSERT INTO log SELECT i, i % 3, 'v' || i FROM generate_series(1, 100) i;
	CREATE PUBLICATION pub FOR TABLE account, log});
# the subscriber keeps its rows in partitions
sql(q{
	CREATE TABLE account (note text, id int PRIMARY KEY, branch int, balance numeric);
	CREATE TABLE log (id int PRIMARY KEY, k int, v text) PARTITION BY RANGE (id);
	CREATE TABLE log_low PARTITION OF log FOR VALUES FROM (0) TO (150);
	CREATE TABLE log_high (v text, k int, id int NOT NULL);
	ALTER TABLE log ATTACH PARTITION log_high FOR VALUES FROM (150) TO (100000);
	ALTER TABLE account REPLICA IDENTITY FULL;
	ALTER TABLE log_low REPLICA IDENTITY FULL;
	ALTER TABLE log_high REPLICA IDENTITY FULL;
	INSERT INTO account VALUES ('local', -1, 1, 1);
	SELECT pgtrickle.create_stream_table('public.balances', 'SELECT branch, sum(balance) AS total, count(*) AS n FROM account GROUP BY branch', '50ms', 'DIFFERENTIAL'),
	       pgtrickle.create_stream_table('public.logged', 'SELECT id, v FROM log WHERE k > 0', '50ms', 'DIFFERENTIAL');
});
wait_cdc_mode($node, 'postgres', $_, 'WAL') for qw(account log);

# Everything published has arrived, and the stream tables have it, too.
sub follows
{
	my ($what) = @_;
	subtest $what => sub {
		$publisher->wait_for_catchup('sub');
		for my $table (qw(account log))
		{
			my $rows = "SELECT count(*), sum(hashtext(t::text)) FROM (SELECT id, %s FROM $table WHERE id > 0) t";
			my $columns = $table eq 'account' ? 'branch, balance, note' : 'k, v';
			is(sql(sprintf $rows, $columns), $publisher->safe_psql('postgres', sprintf $rows, $columns), "$table has arrived");
		}
		wait_caught_up($node, 'postgres', $_) for qw(public.balances public.logged);
	};
	return;
}

my $connection = $publisher->connstr . ' dbname=postgres';
sql("CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub WITH (streaming = on)");
$node->wait_for_subscription_sync($publisher, 'sub');
follows('the initial copy');

$publisher->safe_psql('postgres', q{
	INSERT INTO account VALUES (1000, 1, 10, 'streamed');
	UPDATE account SET balance = balance + 1 WHERE branch = 2;
	UPDATE account SET branch = 4 WHERE id = 3;
	DELETE FROM account WHERE id BETWEEN 10 AND 20;
	UPDATE log SET v = v || '!' WHERE k = 1;
	UPDATE log SET id = id + 1000 WHERE id <= 5;
	DELETE FROM log WHERE k = 2});
follows('single statements; a row that moves to another partition');

$publisher->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO account SELECT 10000 + i, i % 7, i, repeat('x', 100) FROM generate_series(1, 5000) i;
	SAVEPOINT s;
	DELETE FROM account;
	ROLLBACK TO s;
	UPDATE account SET balance = -balance WHERE id > 14000;
	INSERT INTO log SELECT 20000 + i, i % 4, 'big' FROM generate_series(1, 3000) i;
	COMMIT;
	BEGIN;
	INSERT INTO account SELECT 30000 + i, i % 7, i, repeat('y', 100) FROM generate_series(1, 5000) i;
	ROLLBACK});
follows('a transaction that is streamed before it commits, and one that never does');

$publisher->safe_psql('postgres', q{
	BEGIN;
	TRUNCATE log;
	INSERT INTO log VALUES (1, 1, 'after'), (160, 1, 'TRUNCATE');
	COMMIT});
follows('TRUNCATE');

sql(q{INSERT INTO account VALUES ('local', -2, 1, 5); UPDATE account SET balance = 7 WHERE id = -1});
$publisher->safe_psql('postgres', q{INSERT INTO account VALUES (2000, 1, 1, 'and both')});
follows('rows of the subscriber itself');

$node->stop('immediate');
$publisher->safe_psql('postgres', q{
	UPDATE account SET balance = balance + 100 WHERE id % 10 = 0;
	DELETE FROM account WHERE id > 12000});
$node->start;
follows('a crash of the subscriber');

is(sql(q{SELECT string_agg(source_relid::regclass || ' ' || cdc_mode, ', ' ORDER BY 1) FROM pgtrickle.pgt_sources WHERE cdc_mode <> 'STREAM'}),
	'account WAL, log WAL', 'all of it from the WAL');
is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgfoid = 'pgtrickle.capture'::regproc}), '0', 'without a trigger');
$node->safe_psql('postgres', 'DROP SUBSCRIPTION sub');
$node->stop;
$publisher->stop;
done_testing();
