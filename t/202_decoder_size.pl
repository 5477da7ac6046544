# How much the plugin sends: fixed data, decoded by it and by pgoutput in its
# binary mode from the same WAL.  The bar is 0.8 of pgoutput's bytes.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('size', conf => "pg_trickle.enabled = off\n");
$node->safe_psql('postgres', q{
	CREATE TABLE orders (id int PRIMARY KEY, customer int, amount numeric(10,2), placed timestamptz, state text);
	CREATE TABLE events (at timestamptz, device int, kind smallint, reading float8);
	ALTER TABLE orders REPLICA IDENTITY FULL;
	ALTER TABLE events REPLICA IDENTITY FULL;
	CREATE PUBLICATION p FOR TABLE orders, events});

# Bytes of all that either plugin says about the WAL written by some SQL.
sub compare
{
	my ($what, @sql) = @_;
	$node->safe_psql('postgres', qq{
		SELECT pg_create_logical_replication_slot('ours', 'pg_trickle_decoder'),
		       pg_create_logical_replication_slot('theirs', 'pgoutput')});
	$node->safe_psql('postgres', $_) for @sql;
	my $ours = $node->safe_psql('postgres', q{SELECT sum(length(data))
		FROM pg_logical_slot_get_binary_changes('ours', NULL, NULL, 'sources', 'public.orders, public.events')});
	my $theirs = $node->safe_psql('postgres', q{SELECT sum(length(data))
		FROM pg_logical_slot_get_binary_changes('theirs', NULL, NULL, 'proto_version', '1', 'publication_names', 'p', 'binary', 'true')});
	$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('ours'), pg_drop_replication_slot('theirs')});
	ok($ours > 0 && $ours <= 0.8 * $theirs, sprintf '%s: %d bytes of %d, %.2f', $what, $ours, $theirs, $ours / $theirs);
	return;
}

compare('bulk insert', q{
	INSERT INTO orders SELECT i, i % 1000, i / 100.0, timestamptz '2026-01-01' + i * interval '1 min', (ARRAY['new', 'paid', 'shipped'])[i % 3 + 1] FROM generate_series(1, 20000) i;
	INSERT INTO events SELECT timestamptz '2026-01-01' + i * interval '1 s', i % 50, i % 7, i / 3.0 FROM generate_series(1, 20000) i});
compare('bulk update and delete', q{
	UPDATE orders SET state = 'closed', amount = amount + 1 WHERE id % 2 = 0;
	DELETE FROM orders WHERE id % 10 = 1;
	UPDATE events SET reading = -reading WHERE device < 10});
compare('one row per transaction', q{
	DO $$ BEGIN
		FOR i IN 1 .. 300 LOOP
			INSERT INTO orders VALUES (100000 + i, i, i, '2026-01-01', 'new'); COMMIT;
			UPDATE orders SET state = 'paid' WHERE id = 100000 + i; COMMIT;
			DELETE FROM orders WHERE id = 100000 + i; COMMIT;
		END LOOP;
	END $$});
compare('a few rows per transaction', q{
	DO $$ BEGIN
		FOR i IN 1 .. 100 LOOP
			INSERT INTO events SELECT '2026-01-01', j, 1, 1.5 FROM generate_series(1, 5) j;
			UPDATE orders SET amount = 0 WHERE id BETWEEN i * 10 AND i * 10 + 5;
			COMMIT;
		END LOOP;
	END $$});
$node->stop;
done_testing();
