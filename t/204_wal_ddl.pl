# DDL while sources are captured from the WAL: between writes, in one
# transaction with them, rewrites, partitions that come and go. Whatever the
# statement does to the rows, the stream tables follow.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('ddl');
create_extension($node, 'postgres');
sub sql { return $node->safe_psql('postgres', @_) }

sql(q{
	CREATE SCHEMA app;
	CREATE TABLE app.t (id int PRIMARY KEY, g int, v int, spare text);
	CREATE TABLE app.p (id int, k int, v text) PARTITION BY LIST (k);
	CREATE TABLE app.p1 PARTITION OF app.p FOR VALUES IN (1);
	CREATE TABLE app.p2 (v text, gone int, k int, id int);
	ALTER TABLE app.p2 DROP COLUMN gone;
	ALTER TABLE app.p ATTACH PARTITION app.p2 FOR VALUES IN (2);
	CREATE TABLE app.parent (a int);
	CREATE TABLE app.child (b int) INHERITS (app.parent);
	ALTER TABLE app.t REPLICA IDENTITY FULL;
	ALTER TABLE app.p1 REPLICA IDENTITY FULL;
	ALTER TABLE app.p2 REPLICA IDENTITY FULL;
	ALTER TABLE app.parent REPLICA IDENTITY FULL;
	ALTER TABLE app.child REPLICA IDENTITY FULL;
	INSERT INTO app.t SELECT i, i % 3, i, 's' FROM generate_series(1, 100) i;
	INSERT INTO app.p SELECT i, 1 + i % 2, 'v' || i FROM generate_series(1, 100) i;
	INSERT INTO app.parent SELECT generate_series(1, 10);
	INSERT INTO app.child SELECT i, i FROM generate_series(11, 20) i;
	SELECT pgtrickle.create_stream_table('public.sums', 'SELECT g, sum(v) AS total, count(*) AS n FROM app.t GROUP BY g', '50ms', 'DIFFERENTIAL'),
	       pgtrickle.create_stream_table('public.parts', 'SELECT k, count(*) AS n, max(v) AS most FROM app.p GROUP BY k', '50ms', 'DIFFERENTIAL'),
	       pgtrickle.create_stream_table('public.tree', 'SELECT a FROM app.parent WHERE a % 2 = 0', '50ms', 'DIFFERENTIAL');
});
my @stream_tables = qw(public.sums public.parts public.tree);

sub in_wal_mode
{
	wait_cdc_mode($node, 'postgres', $_, 'WAL') for @_;
	return;
}

# Some statements, each followed by ordinary writes that must be seen, too.
sub step
{
	my ($what, @statements) = @_;
	subtest $what => sub {
		sql($_) for @statements;
		wait_caught_up($node, 'postgres', $_) for @stream_tables;
		sql(q{
			UPDATE app.t SET v = v + 1 WHERE id % 10 = 3;
			INSERT INTO app.p SELECT 1000 + i, 1 + i % 2, 'w' || i FROM generate_series(1, 5) i;
			DELETE FROM app.p WHERE id = 1001;
			INSERT INTO app.child VALUES (42, 1);
			UPDATE app.parent SET a = a + 2 WHERE a < 5});
		wait_caught_up($node, 'postgres', $_) for @stream_tables;
	};
	return;
}

in_wal_mode(qw(app.t app.p app.parent));
step('nothing special');

# ---- columns ----

step('a column is added', q{ALTER TABLE app.t ADD extra int DEFAULT 7});
step('and dropped, with writes before and after in one transaction', q{
	BEGIN;
	INSERT INTO app.t VALUES (200, 1, 200, 'x', 1);
	ALTER TABLE app.t DROP COLUMN extra;
	INSERT INTO app.t VALUES (201, 2, 201, 'y');
	DELETE FROM app.t WHERE id = 200;
	COMMIT});
step('a column that is not used changes its type', q{ALTER TABLE app.t ALTER spare TYPE varchar(50)});
step('renamed: the table, a column that is used, the schema',
	q{ALTER TABLE app.t RENAME TO t_renamed; UPDATE app.t_renamed SET v = v + 5 WHERE id = 5; ALTER TABLE app.t_renamed RENAME TO t},
	q{ALTER SCHEMA app RENAME TO app2; INSERT INTO app2.t VALUES (210, 0, 1, ''); ALTER SCHEMA app2 RENAME TO app});

# ---- rewrites ----

in_wal_mode(qw(app.t app.p app.parent));
step('rewritten with the same rows', q{VACUUM FULL app.t}, q{CLUSTER app.t USING t_pkey}, q{VACUUM FULL app.p1});
in_wal_mode('app.t');
step('values change and no type does, between writes of one transaction', q{
	BEGIN;
	INSERT INTO app.t VALUES (220, 1, 220, 'x');
	ALTER TABLE app.t ALTER v TYPE int USING v * 2;
	UPDATE app.t SET v = v + 1 WHERE id = 220;
	COMMIT});
in_wal_mode('app.t');
step('the same where event triggers do not fire', q{
	SET session_replication_role = replica;
	ALTER TABLE app.t ALTER v TYPE int USING v * 2 - 1});
in_wal_mode('app.p');
step('of partitions', q{ALTER TABLE app.p ALTER v TYPE text USING v || '!'});
step('a column with a volatile default', q{ALTER TABLE app.t ADD noise float8 DEFAULT random()});

# ---- TRUNCATE ----

in_wal_mode(qw(app.t app.p app.parent));
step('TRUNCATE between writes', q{
	BEGIN;
	INSERT INTO app.t VALUES (230, 1, 230, 'x');
	TRUNCATE app.t;
	INSERT INTO app.t SELECT i, i % 4, i, 's' FROM generate_series(1, 100) i;
	COMMIT});
step('of one partition, of a child, of the parent only', q{TRUNCATE app.p1}, q{TRUNCATE app.child}, q{TRUNCATE ONLY app.parent});

# ---- partitions and children ----

in_wal_mode('app.p');
step('a new partition, filled at once', q{
	BEGIN;
	CREATE TABLE app.p3 PARTITION OF app.p FOR VALUES IN (3);
	ALTER TABLE app.p3 REPLICA IDENTITY FULL;
	INSERT INTO app.p VALUES (300, 3, 'new');
	COMMIT});
in_wal_mode('app.p');
step('ATTACH of a table with rows', q{
	CREATE TABLE app.p4 (v text, id int, k int);
	ALTER TABLE app.p4 REPLICA IDENTITY FULL;
	INSERT INTO app.p4 VALUES ('four', 400, 4), ('and', 401, 4);
	ALTER TABLE app.p ATTACH PARTITION app.p4 FOR VALUES IN (4)});
in_wal_mode('app.p');
step('DETACH of one with rows, written to ever after', q{ALTER TABLE app.p DETACH PARTITION app.p4; INSERT INTO app.p4 VALUES ('no', 402, 4)});
in_wal_mode('app.p');
step('DROP of one with rows', q{DROP TABLE app.p3});
in_wal_mode('app.p');
step('the same where event triggers do not fire', q{
	SET session_replication_role = replica;
	CREATE TABLE app.p5 (id int, k int, v text);
	ALTER TABLE app.p5 REPLICA IDENTITY FULL;
	INSERT INTO app.p5 VALUES (500, 5, 'five');
	ALTER TABLE app.p ATTACH PARTITION app.p5 FOR VALUES IN (5)},
	q{SET session_replication_role = replica; DROP TABLE app.p5});
in_wal_mode('app.parent');
step('a table that becomes a child, and one that ceases to be', q{
	CREATE TABLE app.late (b int, a int);
	ALTER TABLE app.late REPLICA IDENTITY FULL;
	INSERT INTO app.late SELECT i, i FROM generate_series(100, 110) i;
	ALTER TABLE app.late INHERIT app.parent},
	q{UPDATE app.late SET a = a + 1; ALTER TABLE app.late NO INHERIT app.parent; UPDATE app.late SET a = a + 1});

# ---- what leaves the WAL ----

step('no WAL: UNLOGGED', q{ALTER TABLE app.t SET UNLOGGED}, q{UPDATE app.t SET v = v + 1});
step('and back', q{ALTER TABLE app.t SET LOGGED}, q{UPDATE app.t SET v = v + 1});
in_wal_mode('app.t');
step('dropped and made again', q{
	DROP TABLE app.t CASCADE;
	CREATE TABLE app.t (id int PRIMARY KEY, g int, v int);
	ALTER TABLE app.t REPLICA IDENTITY FULL;
	INSERT INTO app.t SELECT i, i % 3, i FROM generate_series(1, 50) i;
	SELECT pgtrickle.create_stream_table('public.sums', 'SELECT g, sum(v) AS total, count(*) AS n FROM app.t GROUP BY g', '50ms', 'DIFFERENTIAL')});
in_wal_mode('app.t');
step('captured as the one before was');
is(sql(q{SELECT count(*) FROM pg_replication_slots}), '1', 'all by one slot');
$node->stop;
done_testing();
