-- Window functions over and under everything else.
CREATE SCHEMA dvm_window_shapes;
SET search_path = dvm_window_shapes, public;
SET client_min_messages = warning;

CREATE TABLE shop (id int PRIMARY KEY, region text);
CREATE TABLE sale (id int PRIMARY KEY, shop int, day int, amount int, f float8);
INSERT INTO shop SELECT i, 'r' || i % 3 FROM generate_series(1, 9) i;
INSERT INTO sale SELECT i, 1 + i % 9, i % 6, (i * 13) % 50, i / 10.0 FROM generate_series(1, 90) i;

-- over joins, over groups, over groups of joins
SELECT oracle.make('s_join', 'SELECT s.id, p.region, rank() OVER (PARTITION BY p.region ORDER BY s.amount DESC, s.id) AS r FROM sale s JOIN shop p ON p.id = s.shop');
SELECT oracle.make('s_group', 'SELECT shop, day, sum(amount) AS total, rank() OVER (PARTITION BY day ORDER BY sum(amount) DESC, shop) AS r, sum(sum(amount)) OVER (PARTITION BY shop ORDER BY day) AS running FROM sale GROUP BY shop, day HAVING count(*) > 0');
SELECT oracle.make('s_group_join', 'SELECT p.region, s.day, count(*) AS n, max(count(*)) OVER (PARTITION BY p.region) AS most, lag(sum(s.amount)) OVER (PARTITION BY p.region ORDER BY s.day) AS before FROM sale s JOIN shop p ON p.id = s.shop GROUP BY p.region, s.day');
SELECT oracle.make('s_total', 'SELECT count(*) AS n, row_number() OVER () AS r FROM sale');
SELECT oracle.make('s_key_expr', 'SELECT day % 2 AS odd, shop + 1 AS s1, avg(amount) AS a, dense_rank() OVER (PARTITION BY day % 2 ORDER BY avg(amount), shop + 1) AS r FROM sale GROUP BY day % 2, shop + 1');
SELECT oracle.make('s_hidden_key', 'SELECT count(*) AS n, rank() OVER (ORDER BY count(*), min(id)) AS r FROM sale GROUP BY shop, day');
SELECT oracle.make('s_dependent', 'SELECT p.id, p.region, count(s.id) AS n, rank() OVER (PARTITION BY p.region ORDER BY count(s.id), p.id) AS r FROM shop p JOIN sale s ON s.shop = p.id GROUP BY p.id');
-- under filters, joins, groups, DISTINCT, UNION ALL
SELECT oracle.make('s_first', 'SELECT * FROM (SELECT id, shop, amount, row_number() OVER (PARTITION BY shop ORDER BY amount DESC, id) AS n FROM sale) q WHERE n <= 2');
SELECT oracle.make('s_joined', 'SELECT p.region, q.id, q.n FROM shop p JOIN (SELECT id, shop, row_number() OVER (PARTITION BY shop ORDER BY day, id) AS n FROM sale) q ON q.shop = p.id AND q.n < 4');
SELECT oracle.make('s_grouped', 'SELECT n, count(*) AS c, sum(amount) AS s FROM (SELECT amount, row_number() OVER (PARTITION BY shop ORDER BY id) AS n FROM sale) q GROUP BY n');
SELECT oracle.make('s_distinct', 'SELECT DISTINCT shop, max(amount) OVER (PARTITION BY shop) AS m FROM sale');
SELECT oracle.make('s_union', 'SELECT shop, rank() OVER (PARTITION BY shop ORDER BY amount) AS r FROM sale UNION ALL SELECT id, 0 FROM shop');
SELECT oracle.make('s_both', 'SELECT a.id, a.r, b.r AS br FROM (SELECT id, rank() OVER (PARTITION BY day ORDER BY amount) AS r FROM sale) a JOIN (SELECT id, rank() OVER (PARTITION BY shop ORDER BY amount) AS r FROM sale) b ON a.id = b.id');
SELECT oracle.make('s_twice', 'SELECT id, r, count(*) OVER (PARTITION BY r) AS c FROM (SELECT id, rank() OVER (PARTITION BY shop ORDER BY amount) AS r FROM sale) q');
-- views, CTEs, over DISTINCT and UNION ALL
CREATE VIEW ranked AS SELECT id, shop, rank() OVER (PARTITION BY shop ORDER BY amount, id) AS r FROM sale;
CREATE VIEW fenced WITH (security_barrier) AS SELECT id, shop, count(*) OVER (PARTITION BY shop) AS c FROM sale WHERE amount > 5;
SELECT oracle.make('s_view', 'SELECT shop, id FROM ranked WHERE r = 1');
SELECT oracle.make('s_fenced', 'SELECT id, c FROM fenced WHERE c > 3');
SELECT oracle.make('s_cte', 'WITH q AS (SELECT shop, sum(amount) AS s FROM sale GROUP BY shop) SELECT shop, s, s * 100 / sum(s) OVER () AS share FROM q WHERE s > 0');
SELECT oracle.make('s_over_distinct', 'SELECT shop, day, count(*) OVER (PARTITION BY shop) AS c FROM (SELECT DISTINCT shop, day FROM sale WHERE amount > 20) q');
SELECT oracle.make('s_over_union', 'SELECT k, v, sum(v) OVER (PARTITION BY k ORDER BY v, w) AS s FROM (SELECT shop AS k, amount AS v, id AS w FROM sale UNION ALL SELECT id, 7, -id FROM shop) q');
SELECT oracle.make('s_srf', 'SELECT id, generate_series(1, 2) AS e, count(*) OVER (PARTITION BY shop) AS c FROM sale WHERE day = 1');
-- sums of floats are exact
SELECT oracle.make('s_float', 'SELECT id, sum(f) OVER (PARTITION BY shop) AS s, (avg(f) OVER (PARTITION BY day ORDER BY id ROWS 3 PRECEDING))::numeric(20,6) AS a FROM sale');
UPDATE oracle.cases SET query = (SELECT value FROM pgtrickle.explain_st('s_float') WHERE property = 'full query') WHERE name = 's_float';
SELECT name, query FROM oracle.cases WHERE name = 's_float';
SELECT * FROM oracle.check();
UPDATE sale SET amount = amount + 7 WHERE id % 10 = 3;
SELECT * FROM oracle.check();
-- both sides at once, groups that come and go
BEGIN; UPDATE shop SET region = 'r2' WHERE id = 1; DELETE FROM sale WHERE shop = 2; INSERT INTO sale VALUES (200, 1, 9, 49, 0.5), (201, 9, 9, 1, 0.25); DELETE FROM shop WHERE id = 3; COMMIT;
SELECT * FROM oracle.check();
INSERT INTO shop VALUES (3, 'r9'), (10, NULL);
UPDATE sale SET shop = 10, day = NULL WHERE id % 7 = 0;
SELECT * FROM oracle.check();
DELETE FROM sale WHERE shop = 10;
SELECT * FROM oracle.check();
BEGIN; TRUNCATE sale; INSERT INTO sale SELECT i, i % 3, i % 2, i % 5, i FROM generate_series(1, 12) i; COMMIT;
SELECT * FROM oracle.check();
TRUNCATE sale;
SELECT * FROM oracle.check();

-- a stream table over one with windows
INSERT INTO sale SELECT i, 1 + i % 3, i % 6, (i * 13) % 50, 0 FROM generate_series(1, 30) i;
SELECT oracle.check();
SELECT oracle.make('s_above', 'SELECT shop, count(*) AS n FROM pgtrickle.s_first GROUP BY shop');
UPDATE sale SET amount = 100 WHERE id = 1;
SELECT * FROM oracle.check();

-- what explain_st says
SELECT property, value FROM pgtrickle.explain_st('s_first') WHERE property ~ '^step' AND property !~ 'state table';
CREATE INDEX ON sale (shop);
SELECT property, value FROM pgtrickle.explain_st('s_first') WHERE property ~ 'index';
SELECT property, value FROM pgtrickle.explain_st('s_cte') WHERE property ~ 'cost|key';
SELECT oracle.done();
RESET client_min_messages;
DROP SCHEMA dvm_window_shapes CASCADE;
