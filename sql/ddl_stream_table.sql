-- ALTER, RENAME, SET SCHEMA, OWNER and DROP of stream tables as of any table:
-- the catalog follows, nothing is left behind.
SET client_min_messages = warning;
CREATE SCHEMA ddlst;
CREATE SCHEMA ddlst_other;
SET search_path = ddlst;
CREATE TABLE src (id int PRIMARY KEY, grp int, val int);
INSERT INTO src SELECT i, i % 2, i FROM generate_series(1, 4) i;

CREATE FUNCTION leftovers(OUT definitions bigint, OUT states bigint, OUT progress bigint,
                          OUT dependencies bigint, OUT history bigint, OUT sources bigint,
                          OUT tables bigint, OUT triggers bigint)
LANGUAGE sql SET search_path = pg_catalog AS $$
SELECT (SELECT count(*) FROM pgtrickle.pgt_definitions),
       (SELECT count(*) FROM pgtrickle.pgt_state),
       (SELECT count(*) FROM pgtrickle.pgt_progress),
       (SELECT count(*) FROM pgtrickle.pgt_dependencies),
       (SELECT count(*) FROM pgtrickle.pgt_refresh_history),
       (SELECT count(*) FROM pgtrickle.pgt_sources),
       (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace IN
            ('pgtrickle_changes'::regnamespace, 'pgtrickle_state'::regnamespace)),
       (SELECT count(*) FROM pg_trigger WHERE tgfoid = 'pgtrickle.capture()'::regprocedure)
$$;
SELECT * FROM leftovers();

SELECT pgtrickle.create_stream_table('ddlst.sums',
    'SELECT grp, sum(val) AS total FROM ddlst.src GROUP BY grp', '1d', 'DIFFERENTIAL');

-- names follow
ALTER TABLE sums RENAME TO totals;
SELECT pgt_schema, pgt_name FROM pgtrickle.pgt_stream_tables;
ALTER TABLE totals SET SCHEMA ddlst_other;
SELECT pgt_schema, pgt_name FROM pgtrickle.pgt_stream_tables;
ALTER SCHEMA ddlst_other RENAME TO ddlst_moved;
SELECT pgt_schema, pgt_name FROM pgtrickle.pgt_stream_tables;
INSERT INTO src VALUES (5, 1, 10);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('ddlst_moved.totals');
TABLE ddlst_moved.totals ORDER BY grp;
SELECT pgtrickle.alter_stream_table('ddlst_moved.totals', name => 'sums');
SELECT pgt_schema, pgt_name FROM pgtrickle.pgt_stream_tables;
ALTER TABLE ddlst_moved.sums SET SCHEMA ddlst;

-- a rename that is rolled back did not happen
BEGIN;
ALTER TABLE sums RENAME TO other;
ROLLBACK;
BEGIN;
SAVEPOINT s;
ALTER TABLE sums RENAME TO other;
ROLLBACK TO s;
COMMIT;
SELECT pgt_schema, pgt_name FROM pgtrickle.pgt_stream_tables;

-- a new owner, who needs rights on what the query reads
CREATE ROLE regress_pgt_owner;
GRANT USAGE, CREATE ON SCHEMA ddlst TO regress_pgt_owner;
ALTER TABLE sums OWNER TO regress_pgt_owner;
INSERT INTO src VALUES (6, 0, 100);
SELECT pgtrickle.refresh_stream_table('ddlst.sums');
GRANT SELECT ON src TO regress_pgt_owner;
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('ddlst.sums');
ALTER TABLE sums OWNER TO CURRENT_USER;
REVOKE ALL ON src FROM regress_pgt_owner;
REVOKE ALL ON SCHEMA ddlst FROM regress_pgt_owner;
DROP ROLE regress_pgt_owner;

-- DROP TABLE
DROP TABLE sums;
SELECT * FROM leftovers();

-- made, dropped and made again in one transaction
BEGIN;
SELECT pgtrickle.create_stream_table('ddlst.sums',
    'SELECT grp, sum(val) AS total FROM ddlst.src GROUP BY grp', '1d');
DROP TABLE sums;
SELECT pgtrickle.create_stream_table('ddlst.sums',
    'SELECT grp, max(val) AS top FROM ddlst.src GROUP BY grp', '1d');
SELECT pgtrickle.drop_stream_table('ddlst.sums');
SELECT pgtrickle.create_stream_table('ddlst.sums',
    'SELECT grp, count(*) AS n FROM ddlst.src GROUP BY grp', '1d');
COMMIT;
TABLE sums ORDER BY grp;

-- a drop that is rolled back did not happen
BEGIN;
DROP TABLE sums;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT pgtrickle.drop_stream_table('ddlst.sums');
ROLLBACK TO s;
COMMIT;
INSERT INTO src VALUES (7, 0, 1);
SELECT action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table('ddlst.sums');

-- stream tables on stream tables, and views on them: restrict, then cascade
SELECT pgtrickle.create_stream_table('ddlst.big',
    'SELECT grp FROM ddlst.sums WHERE n > 2', '1d');
CREATE VIEW over_big AS SELECT * FROM big;
DROP TABLE sums;
SELECT pgtrickle.drop_stream_table('ddlst.sums');
SELECT pgtrickle.drop_stream_table('ddlst.big');
DROP TABLE sums CASCADE;
SELECT * FROM leftovers();

-- sources are protected as under a view, and take all with them in a cascade
SELECT pgtrickle.create_stream_table('ddlst.sums',
    'SELECT grp, sum(val) AS total FROM ddlst.src GROUP BY grp', '1d');
SELECT pgtrickle.create_stream_table('ddlst.big',
    'SELECT grp FROM ddlst.sums WHERE total > 2', '1d');
DROP TABLE src;
DROP TABLE src CASCADE;
SELECT * FROM leftovers();

-- a whole schema, source and all
CREATE TABLE src (id int PRIMARY KEY, grp int, val int);
SELECT pgtrickle.create_stream_table('ddlst_moved.sums',
    'SELECT grp, sum(val) AS total FROM ddlst.src GROUP BY grp', '1d');
DROP SCHEMA ddlst_moved CASCADE;
SELECT * FROM leftovers();

-- what a role owns
CREATE ROLE regress_pgt_owner;
CREATE SCHEMA ddlst_moved AUTHORIZATION regress_pgt_owner;
GRANT USAGE ON SCHEMA ddlst TO regress_pgt_owner;
GRANT SELECT, TRIGGER ON src TO regress_pgt_owner;
SET ROLE regress_pgt_owner;
SELECT pgtrickle.create_stream_table('ddlst_moved.sums',
    'SELECT grp, sum(val) AS total FROM ddlst.src GROUP BY grp', '1d');
RESET ROLE;
DROP OWNED BY regress_pgt_owner;
DROP ROLE regress_pgt_owner;
SELECT * FROM leftovers();

RESET search_path;
SET client_min_messages = error;
DROP SCHEMA ddlst CASCADE;
