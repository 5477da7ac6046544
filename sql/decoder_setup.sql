-- What the decoder tests share: what a slot has, a line per change.
CREATE SCHEMA decoding;
CREATE FUNCTION decoding.change_batch_lines(batch bytea) RETURNS SETOF text
    LANGUAGE C STRICT AS 'pg_trickle', 'pgt_change_batch_lines';
CREATE FUNCTION decoding.decoded(slot name, VARIADIC options text[]) RETURNS SETOF text
LANGUAGE sql SET synchronous_commit = on AS $$
    SELECT CASE WHEN length(l) > 120 THEN left(l, 40) || '... ' || length(l) ELSE l END
      FROM pg_logical_slot_get_binary_changes(slot, NULL, NULL, VARIADIC options) WITH ORDINALITY m(lsn, xid, data, n),
           decoding.change_batch_lines(data) WITH ORDINALITY l(l, k)
     ORDER BY n, k;
$$;
