# Every row of pg_aggregate is in the table of docs/operators.md, with the way
# it is kept.
#
#   PGT_PRINT_AGGREGATES=1  print the table's rows for this server: its lines
#                           and those of other versions belong into the document
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('aggregates', conf => "pg_trickle.enabled = off\n");
create_extension($node, 'postgres');

# signature | call; polymorphic arguments get a type that fits
my $calls = <<'SQL';
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE t (id int PRIMARY KEY);
CREATE FUNCTION concrete(type oid) RETURNS text LANGUAGE sql AS $$
    SELECT CASE type::regtype::text
               WHEN 'anyenum' THEN 'mood' WHEN 'anyarray' THEN 'int[]' WHEN 'anyrange' THEN 'int4range'
               WHEN 'anymultirange' THEN 'int4multirange' WHEN '"any"' THEN 'int'
               WHEN 'anyelement' THEN 'int' WHEN 'anynonarray' THEN 'int' ELSE type::regtype::text END $$;
CREATE FUNCTION arguments(types oid[]) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(format('CASE WHEN id > 0 THEN NULL::%s END', concrete(x)), ', ' ORDER BY i), '') FROM unnest(types) WITH ORDINALITY u (x, i) $$;
CREATE FUNCTION direct(types oid[]) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(format('NULL::%s', concrete(x)), ', ' ORDER BY i), '') FROM unnest(types) WITH ORDINALITY u (x, i) $$;
CREATE VIEW calls AS
SELECT aggfnoid::oid AS id, proname || '|' || CASE WHEN cardinality(types) > 1 THEN '(' || string_agg || ')' ELSE coalesce(string_agg, '*') END AS signature,
       quote_ident(nspname) || '.' || quote_ident(proname) ||
       CASE aggkind WHEN 'n' THEN CASE WHEN cardinality(types) = 0 THEN '(*)' ELSE '(' || arguments(types) || ')' END
                    WHEN 'o' THEN '(' || direct(types[:aggnumdirectargs]) || ') WITHIN GROUP (ORDER BY ' || arguments(types[aggnumdirectargs + 1:]) || ')'
                    ELSE '(1) WITHIN GROUP (ORDER BY id)' END AS call
  FROM pg_aggregate JOIN pg_proc p ON p.oid = aggfnoid JOIN pg_namespace n ON n.oid = pronamespace
 CROSS JOIN LATERAL (SELECT string_to_array(proargtypes::text, ' ')::oid[] AS types) a
 CROSS JOIN LATERAL (SELECT string_agg(x::regtype::text, ', ' ORDER BY i) FROM unnest(types) WITH ORDINALITY u (x, i)) s
 WHERE nspname = 'pg_catalog';
SQL
$node->safe_psql('postgres', $calls);

# so many in one query; the operator lists them in order
my $kept = <<'SQL';
DO $$
DECLARE
    batch record;
    query text;
BEGIN
    CREATE TABLE kept (signature text, kept text);
    FOR batch IN SELECT array_agg(signature ORDER BY id) AS signatures, array_agg(call ORDER BY id) AS calls
                   FROM (SELECT *, row_number() OVER (ORDER BY id) / 30 AS n FROM calls WHERE signature !~ 'record') c GROUP BY n LOOP
        SELECT 'SELECT ' || string_agg('(' || c || ')::text AS c' || i, ', ' ORDER BY i) || ' FROM t' INTO query FROM unnest(batch.calls) WITH ORDINALITY u (c, i);
        PERFORM pgtrickle.create_stream_table('public.st', query, schedule => '1d', refresh_mode => 'DIFFERENTIAL');
        INSERT INTO kept
        SELECT batch.signatures[substring(property FROM 'aggregate (\d+)')::int],
               CASE WHEN value ~ 'exact_' THEN 'MOVING, exact' WHEN value ~ ': (count|forward and inverse transitions)$' THEN 'MOVING'
                    WHEN value ~ ': two counts$' THEN 'BOOL' WHEN value ~ ': the best values$' THEN 'EXTREME'
                    WHEN value ~ ': recomputed' THEN 'RECOMPUTE' END
          FROM pgtrickle.explain_st('public.st') WHERE property ~ 'aggregate \d+$';
        PERFORM pgtrickle.drop_stream_table('public.st');
    END LOOP;
    FOR batch IN SELECT * FROM calls WHERE signature ~ 'record' LOOP
        PERFORM pgtrickle.create_stream_table('public.st', 'SELECT (' || batch.call || ')::text AS c FROM t', schedule => '1d');
        INSERT INTO kept SELECT batch.signature, effective_mode FROM pgtrickle.pgt_stream_tables;
        PERFORM pgtrickle.drop_stream_table('public.st');
    END LOOP;
END $$;
SQL
$node->safe_psql('postgres', "SET client_min_messages = warning;\n$kept");
my %server = map { my ($name, $of, $how) = split /\|/; ("$name|$of" => $how) }
  split /\n/, $node->safe_psql('postgres', 'SELECT signature, kept FROM kept ORDER BY 1');

is(scalar keys %server, $node->safe_psql('postgres', "SELECT count(*) FROM pg_aggregate JOIN pg_proc p ON p.oid = aggfnoid WHERE pronamespace = 'pg_catalog'::regnamespace"),
	'the server was asked about every row of pg_aggregate');

if ($ENV{PGT_PRINT_AGGREGATES})
{
	my %rows;
	push @{ $rows{"$_->[0]|$_->[2]"} }, $_->[1] for map { [ split(/\|/), $server{$_} ] } sort keys %server;
	for my $row (sort keys %rows)
	{
		my ($name, $how) = split /\|/, $row;
		diag "| $name | " . join('; ', @{ $rows{$row} }) . " | $how |";
	}
}

my (%document, @twice);
my ($table) = slurp_file(tree_root() . '/docs/operators.md') =~ /^### Every aggregate\n(.*?)(?=^#)/ms
  or BAIL_OUT('docs/operators.md has no table of aggregates');
while ($table =~ /^\| (\w+) \| ([^|]*) \| ([^|]*) \|$/mg)
{
	my ($name, $of, $how) = ($1, $2, $3);
	for my $signature (map { "$name|$_" } split /; /, $of)
	{
		push @twice, $signature if exists $document{$signature};
		$document{$signature} = $how;
	}
}
is(join("\n", @twice), '', 'no aggregate is in the table twice');
is(join("\n", grep { !exists $document{$_} } sort keys %server), '', 'no aggregate is missing in the table');
is(join("\n", map { "$_: $server{$_}" } grep { exists $document{$_} && $document{$_} ne $server{$_} } sort keys %server),
	'', 'the table says how each aggregate is kept');
done_testing();
