# The output plugin from outside: pg_recvlogical, SQL functions, a role that may
# replicate and nothing else, and a reader of the batches that knows only what
# docs/wire-format.md says.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Batch;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('outside');
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE ROLE reader LOGIN REPLICATION;
	CREATE TABLE t (id int, gone int, small int2, big int8, f float8, yes bool, b bytea, u uuid, v varchar, txt text);
	ALTER TABLE t DROP COLUMN gone;
	ALTER TABLE t REPLICA IDENTITY FULL;
	CREATE TABLE other (id int PRIMARY KEY, note text)});
my $columns = load_columns($node, 'postgres');
my $oid = $node->safe_psql('postgres', q{SELECT 't'::regclass::oid});

# Read a slot to the end of the WAL with pg_recvlogical; its bytes.  A server
# that was restarted may have forgotten what was confirmed last, so the reader
# says where it wants to go on.
my ($reads, $from) = (0, '0/0');
sub receive
{
	my ($slot, @options) = @_;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/received." . $reads++;
	my $end = $node->lsn('flush');
	$node->command_ok(
		[
			'pg_recvlogical', '-S', $slot, '--start', '-I', $from, '--endpos', $end, '--no-loop', '-f', $file,
			'-d', $node->connstr('postgres') . ' user=reader',
			map { ('-o', $_) } @options
		],
		"pg_recvlogical @options");
	$from = $end;
	return slurp_file($file);
}

# ---- rows of many shapes, through a walsender ----

$node->command_ok(
	[
		'pg_recvlogical', '-S', 'outside', '--create-slot', '-P', 'pg_trickle_decoder',
		'-d', $node->connstr('postgres') . ' user=reader'
	],
	'a role with REPLICATION makes a slot');
$node->safe_psql('postgres', q{
	INSERT INTO t SELECT i, i % 100 - 50, i * 1e12, i / 8.0, i % 2 = 0, decode(repeat('00ff', i % 5), 'hex'),
	       md5(i::text)::uuid, nullif(i % 3, 0), repeat('text', i) FROM generate_series(1, 300) i;
	INSERT INTO other VALUES (1, 'unwanted');
	BEGIN;
	UPDATE t SET txt = repeat('long', 20000), small = NULL WHERE id % 10 = 0;
	SAVEPOINT s;
	DELETE FROM t;
	ROLLBACK TO s;
	DELETE FROM t WHERE id % 7 = 0;
	COMMIT;
	UPDATE t SET id = -id WHERE id % 10 = 0;
	UPDATE t SET id = id});

my $bytes = receive('outside', 'sources=public.t');
my %rows;
my %xids;
for (map { parse_batch($_, $columns) } split_batches($bytes))
{
	$xids{ $_->{xid} }++;
	is($_->{source}, $oid, 'the batch names its source') if $_->{source} ne $oid;
	is_deeply($_->{attnums}, [ 1, 3 .. 10 ], 'and its columns') if "@{$_->{attnums}}" ne '1 3 4 5 6 7 8 9 10';
	replay(\%rows, $_);
}
is(scalar keys %xids, 3, 'a transaction that changes nothing sends nothing');
# made lines as psql makes them, which the values do not make ambiguous
my @expected = split /\n/, $node->safe_psql('postgres', 'SELECT * FROM t');
is_deeply([ sort map { ($_) x $rows{$_} } keys %rows ], [ sort @expected ], 'replaying the batches gives the table');

# ---- where it was left off; other options; a transaction that is only prepared ----

$node->safe_psql('postgres', q{
	BEGIN; INSERT INTO t (id) VALUES (1000); PREPARE TRANSACTION 'p';
	INSERT INTO t (id, txt) VALUES (1001, 'x');
	INSERT INTO other VALUES (2, 'wanted now')});
my @batches = map { parse_batch($_, $columns) } split_batches(receive('outside', 'sources=public.t(id,txt),public.other'));
is_deeply([ map { map { [ $_->{op}, @{ $_->{new} } ] } @{ $_->{changes} } } @batches ],
	[ [ 'I', 1001, 'x' ], [ 'I', 2, 'wanted now' ] ], 'the slot goes on where it was left');
$node->restart;
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
@batches = map { parse_batch($_, $columns) } split_batches(receive('outside', "sources=$oid", 'columns=id'));
is_deeply([ map { map { $_->{new} } @{ $_->{changes} } } @batches ], [ [1000] ], 'COMMIT PREPARED after a restart');

# ---- what is wrong is said ----

for (
	[ 'nothing asked for', [], qr/option "sources" is missing/ ],
	[ 'a name without schema', ['sources=t'], qr/invalid value for option "sources": "t"/ ],
	[ 'an unknown option', [ 'sources=public.t', 'streaming=on' ], qr/option "streaming" is not known to this output plugin/ ],
	[ 'another format', [ 'sources=public.t', 'format_version=9' ], qr/format version "9" is not supported/ ])
{
	my ($what, $options, $message) = @$_;
	$node->command_fails_like(
		[
			'pg_recvlogical', '-S', 'outside', '--start', '--no-loop', '-f', '-', '-d', $node->connstr('postgres'),
			map { ('-o', $_) } @$options
		],
		$message, "pg_recvlogical: $what");
}

# ---- by the catalog; and after the extension is gone ----

$node->safe_psql('postgres', q{
	SELECT pgtrickle.create_stream_table('public.sums', 'SELECT small, sum(big) FROM t GROUP BY small', schedule => '1d');
	BEGIN;
	UPDATE pgtrickle.pgt_sources SET cdc_mode = 'WAL' WHERE source_relid = 't'::regclass;
	ALTER TABLE t SET (autovacuum_enabled = on);
	COMMIT;
	INSERT INTO t (id, small, big, txt) VALUES (2000, 7, 70, 'not carried')});
@batches = map { parse_batch($_, $columns) } split_batches(receive('outside', 'catalog=on'));
is_deeply([ map { map { $_->{new} } @{ $_->{changes} } } @batches ], [ [ 7, 70 ] ], 'wanted is what the extension wants');
$node->safe_psql('postgres', q{
	INSERT INTO t (id, small, big) VALUES (2001, 8, 80);
	DROP EXTENSION pg_trickle CASCADE;
	CREATE EXTENSION pg_trickle;
	INSERT INTO t (id, small, big) VALUES (2002, 9, 90)});
is(receive('outside', 'catalog=on'), '', 'changes from before DROP EXTENSION do not stand in the way');

# ---- columns that are computed when read are not in the WAL ----

SKIP:
{
	skip 'virtual columns came with 18', 1 if server_major() < 18;
	$node->safe_psql('postgres', q{
		CREATE TABLE virt (a int, v int GENERATED ALWAYS AS (a * 2) VIRTUAL, b text, s int GENERATED ALWAYS AS (a * 3) STORED);
		ALTER TABLE virt REPLICA IDENTITY FULL;
		INSERT INTO virt (a, b) VALUES (1, 'x');
		UPDATE virt SET a = 2;});
	$columns = load_columns($node, 'postgres');
	@batches = map { parse_batch($_, $columns) } split_batches(receive('outside', 'sources=public.virt'));
	is_deeply([ map { map { [ $_->{op}, @{ $_->{new} } ] } @{ $_->{changes} } } @batches ],
		[ [ 'I', 1, 'x', 3 ], [ 'U', 2, 'x', 6 ] ], 'without the virtual column');
	$node->safe_psql('postgres', q{INSERT INTO virt (a, b) VALUES (3, 'y')});
	@batches = map { parse_batch($_, $columns) } split_batches(receive('outside', 'sources=public.virt(a,v)'));
	is($batches[0]{changes}[0]{reason}, 'column "v" of the source is not stored', 'asked for by name it is LOST');
}
$node->stop;
done_testing();
