# Values and shapes that break what is built for ordinary ones: wide tables,
# huge values, keys no index holds, types without equality, terms that divide
# by zero where the query does not, batches larger than memory.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('hostile', conf => "pg_trickle.enabled = off\n");
create_extension($node, 'postgres');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub create
{
	my ($name, $query) = @_;
	sql("SELECT pgtrickle.create_stream_table('public.$name', \$q\$$query\$q\$, schedule => '1d', refresh_mode => 'DIFFERENTIAL')");
	return;
}

# the action taken, and the rows equal to the query's
sub refreshed
{
	my ($name, $action, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(sql("SELECT action FROM pgtrickle.refresh_stream_table('public.$name')"), $action, "$what: $action");
	equals_query($node, 'postgres', "public.$name", $what);
	return;
}

# a thousand columns
sql('DO $$ BEGIN EXECUTE (SELECT \'CREATE TABLE wide (id int PRIMARY KEY, \' || string_agg(\'c\' || i || \' int\', \', \') || \')\' FROM generate_series(1, 1000) i); END $$');
create(wide_rows => 'SELECT * FROM wide');
create(wide_groups => 'SELECT ' . join(', ', map { "c$_" } 1 .. 40) . ', count(*) AS n FROM wide GROUP BY ' . join(', ', map { "c$_" } 1 .. 40));
sql('INSERT INTO wide (id, c1, c1000) VALUES (1, 2, 3), (2, 2, 4); UPDATE wide SET c500 = 7 WHERE id = 1');
refreshed(wide_rows => 'DIFFERENTIAL', '1000 columns');
refreshed(wide_groups => 'DIFFERENTIAL', '40 group keys');

# a value of 100 MB: inserted, its row updated, the value changed, deleted
sql('CREATE TABLE big (id int, t text)');
create(big_rows => 'SELECT id, t FROM big');
create(big_lengths => 'SELECT length(t) AS l, count(*) AS n FROM big GROUP BY 1');
sql("INSERT INTO big VALUES (1, repeat('abcdefghij', 10000000)), (2, 'x'); UPDATE big SET id = 3 WHERE id = 1");
for my $change ('SELECT 1', "UPDATE big SET t = t || 'z' WHERE id = 3", 'DELETE FROM big WHERE id = 3')
{
	sql($change);
	is(sql("SELECT string_agg(action, ' ') FROM (VALUES ('big_rows'), ('big_lengths')) v(n), LATERAL pgtrickle.refresh_stream_table('public.' || n)"),
		'DIFFERENTIAL DIFFERENTIAL', "100 MB: $change");
	is(sql('SELECT count(*) FROM (SELECT id, md5(t) FROM big EXCEPT ALL SELECT id, md5(t) FROM big_rows) d'), '0', 'rows are right');
	is(sql('SELECT string_agg(l || \' \' || n, \', \' ORDER BY l) FROM big_lengths'),
		sql('SELECT string_agg(length(t) || \' 1\', \', \' ORDER BY length(t)) FROM big'), 'groups are right');
}

# group keys that no btree holds, with duplicates and NULLs
sql('CREATE TABLE long_key (k text, v int)');
create(long_groups => 'SELECT k, sum(v) AS s FROM long_key GROUP BY k');
sql(q{INSERT INTO long_key SELECT string_agg(md5((i * j)::text), ''), 1 FROM generate_series(1, 300) i, generate_series(1, 3) j GROUP BY j;
	INSERT INTO long_key SELECT * FROM long_key; INSERT INTO long_key VALUES (NULL, 1), (NULL, 2)});
is(sql("SELECT count(*) FROM pgtrickle.refresh_stream_table('public.long_groups')"), '1', 'long keys are refreshed');
equals_query($node, 'postgres', 'public.long_groups', 'keys of 9600 bytes');
sql('DELETE FROM long_key WHERE ctid IN (SELECT ctid FROM long_key LIMIT 3); INSERT INTO long_key SELECT k, 5 FROM long_key');
refreshed(long_groups => 'DIFFERENTIAL', 'long keys, from then on');

# types with a hash only, or with no equality at all
sql('CREATE TABLE odd (x xid, j json, p point, d int)');
create(odd_groups => 'SELECT x, count(*) AS n FROM odd GROUP BY x');
create(odd_rows => 'SELECT j, p, x FROM odd');
sql(q{INSERT INTO odd VALUES ('1', '{"a":1}', '(1,1)', 1), ('1', '{"a": 1}', '(1,1)', 2), (NULL, NULL, NULL, 2); DELETE FROM odd WHERE j::text = '{"a":1}'});
refreshed(odd_groups => 'DIFFERENTIAL', 'xid as key');
refreshed(odd_rows => 'DIFFERENTIAL', 'json and point');

# a pair of rows that never existed together divides by zero
sql('CREATE TABLE l (k int, a int); CREATE TABLE r (k int, b int); INSERT INTO l VALUES (1, 10); INSERT INTO r VALUES (2, 0)');
create(quotient => 'SELECT l.a / r.b AS quotient FROM l JOIN r USING (k)');
sql('UPDATE r SET b = 5; INSERT INTO l VALUES (2, 10)');
sql("SELECT pgtrickle.refresh_stream_table('public.quotient')");
equals_query($node, 'postgres', 'public.quotient', 'a mixed term divides by zero');
# an error that is the query's own stays an error until it is repaired
sql('INSERT INTO r VALUES (2, 0)');
my ($rc, undef, $err) = $node->psql('postgres', "SELECT pgtrickle.refresh_stream_table('public.quotient')");
like($err, qr/division by zero/, 'the query\'s own error');
sql('INSERT INTO l VALUES (2, 20); DELETE FROM r WHERE b = 0');
sql("SELECT pgtrickle.refresh_stream_table('public.quotient')");
equals_query($node, 'postgres', 'public.quotient', 'after its repair');
sql('INSERT INTO l VALUES (2, 30)');
refreshed(quotient => 'DIFFERENTIAL', 'and differentially again');

# the last row leaves a sum whose state cannot forget it
sql('CREATE TABLE scales (v numeric)');
create(scale_sum => 'SELECT sum(v) AS s, count(*) AS n FROM scales');
sql('INSERT INTO scales VALUES (1.00), (-3.125), (0); DELETE FROM scales');
refreshed(scale_sum => 'DIFFERENTIAL', 'rows of different scales come and go');
sql('INSERT INTO scales VALUES (NULL)');
refreshed(scale_sum => 'DIFFERENTIAL', 'only NULL is left');

# batches larger than the memory for them
sql('CREATE TABLE bulk (g int, t text)');
create(bulk_groups => q{SELECT g, count(*) AS n, min(t), string_agg(t, ',' ORDER BY t COLLATE "C") AS l FROM bulk GROUP BY g});
sql('INSERT INTO bulk SELECT i % 3000, md5(i::text) FROM generate_series(1, 20000) i');
for my $change ('SELECT 1', 'UPDATE bulk SET g = g + 1 WHERE g % 3 = 0; DELETE FROM bulk WHERE g % 7 = 1')
{
	sql($change);
	sql("SET pg_trickle.refresh_work_mem = '64kB'; SELECT pgtrickle.refresh_stream_table('public.bulk_groups', mode => 'DIFFERENTIAL')");
	equals_query($node, 'postgres', 'public.bulk_groups', 'more than fits in memory');
}

done_testing();
