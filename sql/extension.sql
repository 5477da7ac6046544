-- The extension can be created, dropped and created again.  It stays: the
-- tests after this one use it.
CREATE EXTENSION pg_trickle;
SELECT pgtrickle.version();
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pgtrickle%' ORDER BY nspname;
DROP EXTENSION pg_trickle;
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pgtrickle%' ORDER BY nspname;
CREATE EXTENSION pg_trickle;
