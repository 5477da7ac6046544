# A table that logical replication writes to is a source like any other: the
# apply worker fires no statement triggers, so such sources have row triggers,
# whether the subscription or the stream table was there first.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $publisher = new_node('publisher');
my $node = new_node('subscriber', conf => "pg_trickle.enabled = off\n");
create_extension($node, 'postgres');

my $tables = q{
	CREATE TABLE before_t (id int PRIMARY KEY, v text);
	CREATE TABLE after_t (id int PRIMARY KEY, v text);
	CREATE TABLE part_t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
	CREATE TABLE part_low PARTITION OF part_t FOR VALUES FROM (0) TO (100);
	CREATE TABLE part_high PARTITION OF part_t FOR VALUES FROM (100) TO (200);
};
$publisher->safe_psql('postgres', $tables);
$publisher->safe_psql('postgres', q{
	INSERT INTO before_t VALUES (1, 'one'), (2, 'two');
	INSERT INTO part_t VALUES (1, 'low'), (101, 'high');
	CREATE PUBLICATION pub FOR TABLE before_t, after_t, part_t WITH (publish_via_partition_root = true);
});
$node->safe_psql('postgres', $tables);

sub create_stream_table
{
	my ($name) = @_;
	$node->safe_psql('postgres',
		"SELECT pgtrickle.create_stream_table('public.st_$name', 'SELECT id, v FROM ${name}_t', refresh_mode => 'DIFFERENTIAL')");
	return;
}

sub capture_form
{
	my ($name) = @_;
	return $node->safe_psql('postgres',
		"SELECT capture_form FROM pgtrickle.pgt_sources WHERE source_relid = '${name}_t'::regclass");
}

# Refresh once everything has been applied; differential, unless said otherwise.
sub follows
{
	my ($name, $action, $what) = @_;
	is($node->safe_psql('postgres', "SELECT action FROM pgtrickle.refresh_stream_table('public.st_$name')"),
		$action, "$name: $what: $action");
	equals_query($node, 'postgres', "public.st_$name", $what);
	return;
}

create_stream_table('before');
create_stream_table('part');
is(capture_form('before'), 'statement', 'without a subscription: statement triggers');

my $connection = $publisher->connstr . ' dbname=postgres';
$node->safe_psql('postgres', "CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub");
$node->wait_for_subscription_sync($publisher, 'sub') if $node->can('wait_for_subscription_sync');
$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')");
is(capture_form('before'), 'row', 'CREATE SUBSCRIPTION changes them to row triggers');
create_stream_table('after');
is(capture_form('after'), 'row', 'a source that is subscribed gets row triggers');
follows('before', 'DIFFERENTIAL', 'first copy');
follows('part', 'DIFFERENTIAL', 'first copy');

$publisher->safe_psql('postgres', q{
	INSERT INTO before_t SELECT i, 'row ' || i FROM generate_series(10, 200) i;
	UPDATE before_t SET v = v || '!' WHERE id % 3 = 0;
	DELETE FROM before_t WHERE id % 5 = 0;
	INSERT INTO after_t SELECT i, 'row ' || i FROM generate_series(1, 50) i;
	UPDATE part_t SET id = 150 WHERE id = 1;
	INSERT INTO part_t VALUES (3, 'three');
	DELETE FROM part_t WHERE id = 101;
});
$publisher->wait_for_catchup('sub');
follows($_, 'DIFFERENTIAL', 'replicated changes') for qw(before after part);

# local writes beside it
$node->safe_psql('postgres', q{
	UPDATE before_t SET v = upper(v);
	INSERT INTO part_t VALUES (99, 'local');
	INSERT INTO part_high VALUES (199, 'local');
});
follows($_, 'DIFFERENTIAL', 'local changes') for qw(before part);

$publisher->safe_psql('postgres', 'TRUNCATE after_t; INSERT INTO after_t VALUES (7, \'seven\')');
$publisher->wait_for_catchup('sub');
follows('after', 'FULL', 'replicated truncate');

$node->safe_psql('postgres', 'DROP SUBSCRIPTION sub');
done_testing();
