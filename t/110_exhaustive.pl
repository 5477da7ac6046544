# Operators over tiny domains, exhaustively: two tables that hold every bag of
# up to two rows over {NULL, 1, 2}, every change of up to two rows between
# them, every operator; and one table of (g, v) pairs for the aggregates.
# Each change is committed, refreshed and compared, forth and back.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('exhaustive', conf => "pg_trickle.enabled = off\n");
create_extension($node, 'postgres');

# name => query, over l(k) and r(k)
my %two_tables = (
	equi => 'SELECT l.k, r.k AS k2 FROM l JOIN r ON l.k = r.k',
	one_side => 'SELECT l.k FROM l JOIN r ON l.k = r.k',
	null_equal => 'SELECT l.k, r.k AS k2 FROM l JOIN r ON l.k IS NOT DISTINCT FROM r.k',
	cross_join => 'SELECT l.k, r.k AS k2 FROM l, r',
	theta => 'SELECT l.k, r.k AS k2 FROM l JOIN r ON l.k < r.k',
	self_join => 'SELECT a.k, b.k AS k2 FROM l a JOIN l b ON a.k = b.k',
	self_cross => 'SELECT a.k, b.k AS k2 FROM l a, l b',
	three => 'SELECT a.k, c.k AS k2 FROM l a JOIN r b ON a.k = b.k JOIN l c ON b.k <= c.k',
	using_k => 'SELECT k FROM l JOIN r USING (k)',
	union_all => 'SELECT k FROM l UNION ALL SELECT k FROM r WHERE k IS NOT NULL UNION ALL SELECT k + 1 FROM l',
	distinct_row => 'SELECT DISTINCT k FROM l',
	distinct_join => 'SELECT DISTINCT l.k FROM l, r',
	distinct_union => 'SELECT DISTINCT k FROM (SELECT k FROM l UNION ALL SELECT k FROM r) u',
	grouped => 'SELECT k, count(*), count(k) AS c, sum(k), min(k), max(k) FROM l GROUP BY k',
	total => q{SELECT count(*), count(k) AS c, sum(k), avg(k), min(k), max(k), bool_and(k = 1), bool_or(k = 1) AS o,
		string_agg(k::text, ',' ORDER BY k::text COLLATE "C"), count(DISTINCT k) AS d, variance(k), sum(k::float8) AS f FROM l},
	join_group => 'SELECT l.k, count(*), sum(r.k) FROM l JOIN r ON l.k = r.k GROUP BY l.k',
	join_total => 'SELECT count(*), sum(l.k), max(r.k) FROM l, r',
	having_count => 'SELECT k, count(*) FROM l GROUP BY k HAVING count(*) > 1',
	having_total => 'SELECT sum(k) FROM l HAVING count(*) <> 1',
	nested => 'SELECT l.k, s.n, s.total FROM l JOIN (SELECT k, count(*) AS n, sum(k) AS total FROM r GROUP BY k) s ON s.k = l.k',
	two_levels => 'SELECT n, count(*) FROM (SELECT k, count(*) AS n FROM l GROUP BY k) s GROUP BY n',
	agg_join => 'SELECT a.n, b.m FROM (SELECT count(*) AS n FROM l) a, (SELECT max(k) AS m FROM r) b',
	scales => 'SELECT sum(n), avg(n), max(n), count(n) FROM (SELECT CASE k WHEN 1 THEN 1.5 WHEN 2 THEN 2.25 END AS n FROM l) x',
	constant => 'SELECT 1 AS one FROM l',
);

# name => query, over t(g, v)
my %one_table = (
	sums => 'SELECT g, count(*), count(v) AS c, sum(v), avg(v), min(v), max(v) FROM t GROUP BY g',
	stats => 'SELECT g, variance(v), stddev_pop(v), sum(v::numeric / 3) AS n, sum(v::float8 / 3) AS f, avg(v::float4) AS a FROM t GROUP BY g',
	filters => 'SELECT g, count(*) FILTER (WHERE v = 1) AS c, sum(v) FILTER (WHERE v > 1) AS s, min(v) FILTER (WHERE g = 1) AS m FROM t GROUP BY g',
	distincts => 'SELECT g, count(DISTINCT v) AS c, sum(DISTINCT v) AS s FROM t GROUP BY g',
	ordered => 'SELECT g, array_agg(v ORDER BY v DESC), percentile_disc(0.5) WITHIN GROUP (ORDER BY v), mode() WITHIN GROUP (ORDER BY v) AS m FROM t GROUP BY g',
	bools => 'SELECT g, bool_and(v = 1), bool_or(v = 1) AS o, every(v IS NULL) AS e, bit_and(v), bit_xor(v) AS x FROM t GROUP BY g',
	having_sum => 'SELECT g, max(v) FROM t GROUP BY g HAVING sum(v) > 2',
	by_value => 'SELECT v, min(g), max(g) FROM t GROUP BY v',
	both => 'SELECT g, v, count(*) FROM t GROUP BY g, v',
	no_keys_shown => 'SELECT count(*) FROM t GROUP BY g',
	expression_key => 'SELECT coalesce(g, 0) + coalesce(v, 0) AS e, count(*) FROM t GROUP BY 1',
	distinct_pair => 'SELECT DISTINCT g, v FROM t',
	distinct_part => 'SELECT DISTINCT v FROM t WHERE g IS NOT NULL',
	scales => 'SELECT g, sum(n), stddev(n), min(n) FROM (SELECT g, CASE v WHEN 1 THEN 1.5 WHEN 2 THEN 2.25 END AS n FROM t) x GROUP BY g',
	nested_avg => 'SELECT avg(s) FROM (SELECT g, sum(v) AS s FROM t GROUP BY g) x',
	self_group => 'SELECT a.g, sum(b.v) FROM t a JOIN t b ON a.g = b.g GROUP BY a.g',
	filter_only => 'SELECT g, v FROM t WHERE v = 1 OR g IS NULL',
);

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE l (k int);
CREATE TABLE r (k int);
CREATE TABLE t (g int, v int);
CREATE TABLE checks (st text, difference text);
CREATE TABLE findings (what text);

-- every bag of up to two elements of a domain, as arrays of element numbers
CREATE FUNCTION bags(n int) RETURNS SETOF int[] LANGUAGE sql AS $$
  SELECT '{}'::int[] UNION ALL SELECT ARRAY[a] FROM generate_series(1, n) a
  UNION ALL SELECT ARRAY[a, b] FROM generate_series(1, n) a, generate_series(a, n) b $$;

-- rows that change between two bags
CREATE FUNCTION distance(a int[], b int[]) RETURNS bigint LANGUAGE sql AS $$
  SELECT (SELECT count(*) FROM (SELECT unnest(a) EXCEPT ALL SELECT unnest(b)) x)
       + (SELECT count(*) FROM (SELECT unnest(b) EXCEPT ALL SELECT unnest(a)) x) $$;

CREATE FUNCTION compare(what text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE c record; bad bigint; act text;
BEGIN
  FOR c IN SELECT * FROM checks LOOP
    SELECT action INTO act FROM pgtrickle.refresh_stream_table(c.st, mode => 'DIFFERENTIAL');
    EXECUTE c.difference INTO bad;
    IF bad <> 0 OR act NOT IN ('DIFFERENTIAL', 'NO_DATA') THEN
      INSERT INTO findings VALUES (format('%s: %s wrong rows after %s (%s)', c.st, bad, what, act));
    END IF;
  END LOOP;
END $$;

-- from one bag to another by the fewest writes
CREATE FUNCTION move(tab text, cols text, domain text, a int[], b int[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE e int;
BEGIN
  FOR e IN SELECT unnest(a) EXCEPT ALL SELECT unnest(b) LOOP
    EXECUTE format('DELETE FROM %I WHERE ctid = (SELECT t.ctid FROM %I t JOIN %I d ON d.n = $1 WHERE (%s) LIMIT 1)', tab, tab, domain, cols) USING e;
  END LOOP;
  IF tab = 't' THEN
    INSERT INTO t SELECT g, v FROM pairs p JOIN (SELECT unnest(b) EXCEPT ALL SELECT unnest(a)) x(n) USING (n);
  ELSE
    EXECUTE format('INSERT INTO %I SELECT k FROM singles s JOIN (SELECT unnest($1) EXCEPT ALL SELECT unnest($2)) x(n) USING (n)', tab) USING b, a;
  END IF;
END $$;

CREATE TABLE singles (n int, k int);
INSERT INTO singles VALUES (1, NULL), (2, 1), (3, 2);
CREATE TABLE pairs (n int, g int, v int);
INSERT INTO pairs SELECT row_number() OVER (), a.k, b.k FROM singles a, singles b;

CREATE FUNCTION fill(a int[], b int[]) RETURNS void LANGUAGE sql AS $$
  DELETE FROM l; DELETE FROM r;
  INSERT INTO l SELECT k FROM unnest(a) x(n) JOIN singles USING (n);
  INSERT INTO r SELECT k FROM unnest(b) x(n) JOIN singles USING (n) $$;

CREATE PROCEDURE walk_two() LANGUAGE plpgsql AS $$
DECLARE s record; e record; cols text := 't.k IS NOT DISTINCT FROM d.k';
BEGIN
  CREATE TABLE states AS SELECT row_number() OVER () AS i, a, b FROM bags(3) a, bags(3) b;
  CREATE TABLE edges AS SELECT x.i AS xi, y.i AS yi, y.a, y.b FROM states x, states y
   WHERE x.i < y.i AND distance(x.a, y.a) + distance(x.b, y.b) <= 2;
  COMMIT;
  FOR s IN SELECT * FROM states LOOP
    PERFORM fill(s.a, s.b);
    COMMIT;
    PERFORM compare(format('fill %s %s', s.a, s.b));
    COMMIT;
    FOR e IN SELECT * FROM edges WHERE xi = s.i LOOP
      PERFORM move('l', cols, 'singles', s.a, e.a), move('r', cols, 'singles', s.b, e.b);
      COMMIT;
      PERFORM compare(format('%s %s -> %s %s', s.a, s.b, e.a, e.b));
      COMMIT;
      PERFORM move('r', cols, 'singles', e.b, s.b), move('l', cols, 'singles', e.a, s.a);
      COMMIT;
      PERFORM compare(format('%s %s <- %s %s', s.a, s.b, e.a, e.b));
      COMMIT;
    END LOOP;
  END LOOP;
END $$;

CREATE PROCEDURE walk_one() LANGUAGE plpgsql AS $$
DECLARE s record; e record; cols text := 't.g IS NOT DISTINCT FROM d.g AND t.v IS NOT DISTINCT FROM d.v';
BEGIN
  CREATE TABLE bags_t AS SELECT row_number() OVER () AS i, a FROM bags(9) a;
  COMMIT;
  FOR s IN SELECT * FROM bags_t LOOP
    DELETE FROM t;
    INSERT INTO t SELECT g, v FROM unnest(s.a) x(n) JOIN pairs USING (n);
    COMMIT;
    PERFORM compare(format('fill %s', s.a));
    COMMIT;
    FOR e IN SELECT y.* FROM bags_t y WHERE y.i > s.i AND distance(s.a, y.a) <= 2 LOOP
      PERFORM move('t', cols, 'pairs', s.a, e.a);
      COMMIT;
      PERFORM compare(format('%s -> %s', s.a, e.a));
      COMMIT;
      PERFORM move('t', cols, 'pairs', e.a, s.a);
      COMMIT;
      PERFORM compare(format('%s <- %s', s.a, e.a));
      COMMIT;
    END LOOP;
  END LOOP;
END $$;
SQL

sub walk
{
	my ($procedure, %queries) = @_;
	$node->safe_psql('postgres', 'TRUNCATE checks, findings');
	for my $name (sort keys %queries)
	{
		my $query = $queries{$name};
		my $st = "public.st_$name";
		# float sums over halves and thirds of small numbers: exact sums agree
		# with plain ones on these values, compare as text all the same
		my ($stored, $wanted) = ("SELECT pgto_s::text FROM $st pgto_s", "SELECT pgto_q::text FROM ($query) pgto_q");
		$node->safe_psql('postgres', <<SQL);
SELECT pgtrickle.create_stream_table('$st', \$q\$$query\$q\$, schedule => '1d', refresh_mode => 'DIFFERENTIAL');
INSERT INTO checks VALUES ('$st', \$q\$SELECT count(*) FROM (($stored EXCEPT ALL $wanted) UNION ALL ($wanted EXCEPT ALL $stored)) d\$q\$);
SQL
	}
	$node->safe_psql('postgres', "CALL $procedure()", timeout => 600);
	is($node->safe_psql('postgres', 'SELECT what FROM findings LIMIT 20'), '', "$procedure: every change of every state");
	$node->safe_psql('postgres', 'SELECT pgtrickle.drop_stream_table(st) FROM checks');
	return;
}

walk('walk_two', %two_tables);
walk('walk_one', %one_table);
done_testing();
