-- bench/tpch/generate.sql - rows for schema.sql.
--
-- psql variables: sf, the scale factor (1 is about six million line items).
-- Values are drawn from a hash of the row's number, so the same factor gives
-- the same rows everywhere; the distributions are those the queries rely on,
-- not those of the official generator.
CREATE FUNCTION draw(stream int, n bigint, lo int, hi int) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN lo + ((hashint8extended(n, stream) >> 1) & 9223372036854775807) % (hi - lo + 1);
CREATE FUNCTION pick(stream int, n bigint, words text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN words[draw(stream, n, 1, cardinality(words))];
-- some words; now and then with one of the phrases that queries look for
CREATE FUNCTION chatter(stream int, n bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pick(stream + 1, n, '{quick,slow,final,silent,bold,even,ironic,regular,special,pending}') || ' ' ||
       pick(stream + 2, n, '{deposits,accounts,packages,requests,ideas,theories,pinto,foxes,platelets,asymptotes}') || ' ' ||
       pick(stream + 3, n, '{sleep,nag,wake,haggle,doze,cajole,integrate,boost,detect,among}') || ' ' ||
       pick(stream + 4, n, '{quickly,slyly,furiously,carefully,blithely,requests,daringly,ruthlessly,deposits,accounts}');

INSERT INTO region
SELECT n - 1, ('{AFRICA,AMERICA,ASIA,EUROPE,MIDDLE EAST}'::text[])[n], chatter(10, n)
  FROM generate_series(1, 5) n;
INSERT INTO nation
SELECT n - 1, ('{ALGERIA,ARGENTINA,BRAZIL,CANADA,EGYPT,ETHIOPIA,FRANCE,GERMANY,INDIA,INDONESIA,IRAN,IRAQ,JAPAN,JORDAN,KENYA,MOROCCO,MOZAMBIQUE,PERU,CHINA,ROMANIA,SAUDI ARABIA,VIETNAM,RUSSIA,UNITED KINGDOM,UNITED STATES}'::text[])[n],
       ('{0,1,1,1,4,0,3,3,2,2,4,4,2,4,0,0,0,1,2,3,4,2,3,3,1}'::int[])[n], chatter(20, n)
  FROM generate_series(1, 25) n;
INSERT INTO part
SELECT n,
       pick(31, n, w) || ' ' || pick(32, n, w) || ' ' || pick(33, n, w),
       'Manufacturer#' || m,
       'Brand#' || m || draw(35, n, 1, 5),
       pick(36, n, '{STANDARD,SMALL,MEDIUM,LARGE,ECONOMY,PROMO}') || ' ' ||
       pick(37, n, '{ANODIZED,BURNISHED,PLATED,POLISHED,BRUSHED}') || ' ' ||
       pick(38, n, '{TIN,NICKEL,BRASS,STEEL,COPPER}'),
       draw(39, n, 1, 50),
       pick(40, n, '{SM,LG,MED,JUMBO,WRAP}') || ' ' || pick(41, n, '{CASE,BOX,BAG,JAR,PKG,PACK,CAN,DRUM}'),
       (90000 + (n / 10) % 20001 + 100 * (n % 1000)) / 100.0,
       chatter(42, n)
  FROM generate_series(1, (200000 * :sf)::int) n,
       LATERAL (SELECT draw(34, n, 1, 5) AS m,
                       '{almond,antique,azure,beige,black,blue,brown,chocolate,cream,dark,forest,green,grey,honeydew,hot,ivory,khaki,lime,linen,maroon}'::text[] AS w) x;
INSERT INTO supplier
SELECT n, 'Supplier#' || lpad(n::text, 9, '0'), 'address ' || draw(51, n, 1, 100000), k,
       (k + 10) || '-' || draw(53, n, 100, 999) || '-' || draw(54, n, 100, 999) || '-' || draw(55, n, 1000, 9999),
       draw(56, n, -99999, 999999) / 100.0,
       chatter(57, n) || CASE WHEN draw(58, n, 1, 200) = 1 THEN ' Customer slyly Complaints' ELSE '' END
  FROM generate_series(1, (10000 * :sf)::int) n, LATERAL (SELECT draw(52, n, 0, 24) AS k) x;
INSERT INTO partsupp
SELECT p_partkey, (p_partkey + i * (s / 4 + (p_partkey - 1) / s)) % s + 1,
       draw(61, p_partkey * 4::bigint + i, 1, 9999), draw(62, p_partkey * 4::bigint + i, 100, 100000) / 100.0,
       chatter(63, p_partkey * 4::bigint + i)
  FROM part, generate_series(0, 3) i, (SELECT (10000 * :sf)::int AS s) x;
INSERT INTO customer
SELECT n, 'Customer#' || lpad(n::text, 9, '0'), 'address ' || draw(71, n, 1, 100000), k,
       (k + 10) || '-' || draw(73, n, 100, 999) || '-' || draw(74, n, 100, 999) || '-' || draw(75, n, 1000, 9999),
       draw(76, n, -99999, 999999) / 100.0,
       pick(77, n, '{AUTOMOBILE,BUILDING,FURNITURE,MACHINERY,HOUSEHOLD}'), chatter(78, n)
  FROM generate_series(1, (150000 * :sf)::int) n, LATERAL (SELECT draw(72, n, 0, 24) AS k) x;

-- Orders lo..hi, their lines, their totals: three steps, so that the tables can
-- be analysed in between.  A third of the customers never order.
CREATE FUNCTION make_orders(lo int, hi int, customers int) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
INSERT INTO orders
SELECT n, c - (c % 3 = 0)::int, 'O', 0, date '1992-01-01' + draw(81, n, 0, 2405),
       pick(82, n, '{1-URGENT,2-HIGH,3-MEDIUM,4-NOT SPECIFIED,5-LOW}'),
       'Clerk#' || lpad(draw(83, n, 1, 1000)::text, 9, '0'), 0, chatter(84, n)
  FROM generate_series(lo, hi) n, LATERAL (SELECT draw(85, n, 2, customers) AS c) x;
END;
CREATE FUNCTION make_lines(lo int, hi int, parts int, suppliers int) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
INSERT INTO lineitem
SELECT o_orderkey, p, (p + draw(92, l, 0, 3) * (suppliers / 4 + (p - 1) / suppliers)) % suppliers + 1, i,
       q, q * (90000 + (p / 10) % 20001 + 100 * (p % 1000)) / 100.0,
       draw(94, l, 0, 10) / 100.0, draw(95, l, 0, 8) / 100.0,
       CASE WHEN r > date '1995-06-17' THEN 'N' WHEN draw(96, l, 0, 1) = 0 THEN 'R' ELSE 'A' END,
       CASE WHEN s > date '1995-06-17' THEN 'O' ELSE 'F' END,
       s, o_orderdate + draw(97, l, 30, 90), r,
       pick(98, l, '{DELIVER IN PERSON,COLLECT COD,NONE,TAKE BACK RETURN}'),
       pick(99, l, '{REG AIR,AIR,RAIL,SHIP,TRUCK,MAIL,FOB}'),
       chatter(100, l)
  FROM (SELECT o_orderkey, o_orderdate, i, l, p, q, s, s + draw(102, l, 1, 30) AS r
          FROM (SELECT o_orderkey, o_orderdate, i, l, draw(91, l, 1, parts) AS p, draw(93, l, 1, 50)::numeric AS q,
                       o_orderdate + draw(101, l, 1, 121) AS s
                  FROM (SELECT o_orderkey, o_orderdate, i, o_orderkey * 8::bigint + i AS l
                          FROM orders, generate_series(1, draw(90, o_orderkey, 1, 7)) i
                         WHERE o_orderkey BETWEEN lo AND hi OFFSET 0) a OFFSET 0) b OFFSET 0) c;
END;
CREATE FUNCTION total_orders(lo int, hi int) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
UPDATE orders SET o_totalprice = total,
       o_orderstatus = CASE WHEN open = 0 THEN 'F' WHEN open = n THEN 'O' ELSE 'P' END
  FROM (SELECT l_orderkey, sum(l_extendedprice * (1 + l_tax) * (1 - l_discount)) AS total,
               count(*) FILTER (WHERE l_linestatus = 'O') AS open, count(*) AS n
          FROM lineitem WHERE l_orderkey BETWEEN lo AND hi GROUP BY l_orderkey) x
 WHERE o_orderkey = l_orderkey AND o_orderkey BETWEEN lo AND hi;
END;
SELECT make_orders(1, (1500000 * :sf)::int, (150000 * :sf)::int);
ANALYZE orders;
SELECT make_lines(1, (1500000 * :sf)::int, (200000 * :sf)::int, (10000 * :sf)::int);
ANALYZE lineitem;
SELECT total_orders(1, (1500000 * :sf)::int);
CREATE INDEX ON lineitem (l_partkey, l_suppkey);
CREATE INDEX ON lineitem (l_suppkey);
CREATE INDEX ON orders (o_custkey);
CREATE INDEX ON partsupp (ps_suppkey);
CREATE INDEX ON supplier (s_nationkey);
CREATE INDEX ON customer (c_nationkey);

-- The refresh functions: n new orders, and the n oldest ones deleted.
CREATE FUNCTION rf1(n int) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    last int := (SELECT max(o_orderkey) FROM orders);
BEGIN
    PERFORM make_orders(last + 1, last + n, (SELECT max(c_custkey) FROM customer));
    PERFORM make_lines(last + 1, last + n, (SELECT max(p_partkey) FROM part), (SELECT max(s_suppkey) FROM supplier));
    PERFORM total_orders(last + 1, last + n);
END $$;
CREATE FUNCTION rf2(n int) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
DELETE FROM lineitem WHERE l_orderkey < (SELECT min(o_orderkey) FROM orders) + n;
DELETE FROM orders WHERE o_orderkey < (SELECT min(o_orderkey) FROM orders) + n;
END;
