# IMMEDIATE on tables that logical replication writes to: the apply worker
# fires row triggers only, and every row it applies is maintained by itself.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $publisher = new_node('publisher', conf => "pg_trickle.enabled = off\n");
my $subscriber = new_node('subscriber', conf => "pg_trickle.enabled = off\n");
my $tables = <<'SQL';
CREATE TABLE item (id int PRIMARY KEY, grp int, price int);
CREATE TABLE grp (grp int PRIMARY KEY, name text);
SQL
$publisher->safe_psql('postgres', "$tables CREATE PUBLICATION pub FOR TABLE item, grp");
create_extension($subscriber, 'postgres');
$subscriber->safe_psql('postgres', $tables);
$publisher->safe_psql('postgres', "INSERT INTO grp VALUES (0, 'zero'), (1, 'one'); INSERT INTO item SELECT i, i % 3, i FROM generate_series(1, 30) i");

my %st = (
	sums => q{SELECT grp, sum(price) AS s, count(*) AS n FROM public.item GROUP BY grp},
	joined => q{SELECT i.id, g.name, i.price FROM public.item i JOIN public.grp g USING (grp)},
	pairs => q{SELECT a.id AS a, b.id AS b FROM public.item a JOIN public.item b ON a.grp = b.grp AND a.id < b.id});
# before there is a subscription they are in statement form, after it in row form
$subscriber->safe_psql('postgres', "SELECT pgtrickle.create_stream_table('public.$_', \$\$$st{$_}\$\$, refresh_mode => 'IMMEDIATE')") for qw(sums joined);
my $connstr = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION sub CONNECTION '$connstr' PUBLICATION pub");
$subscriber->wait_for_subscription_sync($publisher, 'sub');
$subscriber->safe_psql('postgres', "SELECT pgtrickle.create_stream_table('public.pairs', \$\$$st{pairs}\$\$, refresh_mode => 'IMMEDIATE')");

sub check
{
	my ($what) = @_;
	$publisher->wait_for_catchup('sub');
	for my $name (sort keys %st)
	{
		is($subscriber->safe_psql('postgres', "SELECT count(*) FROM ((SELECT x::text FROM ($st{$name}) x EXCEPT ALL SELECT y::text FROM public.$name y)"
				  . " UNION ALL (SELECT y::text FROM public.$name y EXCEPT ALL SELECT x::text FROM ($st{$name}) x)) d"), 0, "$name after $what");
	}
	return;
}
is($subscriber->safe_psql('postgres', "SELECT count(DISTINCT source_table) FROM pgtrickle.trigger_inventory() WHERE trigger_name = 'pgt_maintain_row' AND present AND enabled"),
	2, 'the sources are followed by row triggers');
check('the first copy');
$publisher->safe_psql('postgres', "INSERT INTO item SELECT i, i % 3, i FROM generate_series(31, 60) i; UPDATE item SET price = price + 1 WHERE id % 4 = 0");
check('inserts and updates');
$publisher->safe_psql('postgres', "BEGIN; UPDATE item SET grp = 1 - grp WHERE grp < 2; INSERT INTO grp VALUES (2, 'two'); DELETE FROM item WHERE id > 50; UPDATE grp SET name = name || '!'; COMMIT");
check('a transaction over both');
$publisher->safe_psql('postgres', "BEGIN; SAVEPOINT s; DELETE FROM item; ROLLBACK TO s; UPDATE item SET id = id + 1000 WHERE id < 10; COMMIT");
check('a savepoint and new keys');
$publisher->safe_psql('postgres', 'TRUNCATE item');
check('TRUNCATE');
$publisher->safe_psql('postgres', "INSERT INTO item SELECT i, i % 3, i FROM generate_series(1, 9) i");
$subscriber->safe_psql('postgres', "INSERT INTO item VALUES (500, 1, 1); UPDATE item SET price = 0 WHERE id = 500");
check('writes from here and there');
done_testing();
