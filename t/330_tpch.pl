# The 22 queries of TPC-H as stream tables over a small instance (bench/tpch):
# all of them differential, and equal to their queries after the refresh
# functions and after changes of every table.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = tree_root() . '/bench/tpch';
my $node = new_node('tpch', conf => "pg_trickle.enabled = off\nsearch_path = 'tpch, public'\n");
create_extension($node, 'postgres');
$node->safe_psql('postgres', 'CREATE SCHEMA tpch');
$node->safe_psql('postgres', slurp_file("$dir/schema.sql"));
$node->command_ok(
	[ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-v', 'sf=0.01', '-o', '/dev/null', '-d', $node->connstr('postgres'), '-f', "$dir/generate.sql" ],
	'rows are made');
$node->safe_psql('postgres', 'ANALYZE');

my @queries = map { sprintf 'q%02d', $_ } 1 .. 22;
for my $q (@queries)
{
	my $sql = slurp_file("$dir/queries/$q.sql");
	$node->safe_psql('postgres', "SELECT pgtrickle.create_stream_table('tpch.st_$q', \$\$$sql\$\$, '1d')");
}
is( $node->safe_psql('postgres', q{SELECT string_agg(pgt_name || ' ' || effective_mode || ': ' || coalesce(effective_mode_reason, ''), '; ')
	FROM pgtrickle.pgt_stream_tables WHERE effective_mode <> 'DIFFERENTIAL'}),
	'', 'every query is differential');
is($node->safe_psql('postgres', 'SELECT count(*) FROM tpch.st_q21') > 0, 1, 'the data has what the rarest query looks for');

# each a batch of changes; together they touch every table
my @batches = (
	[ 'new orders' => 'SELECT rf1(15)' ],
	[ 'old orders deleted' => 'SELECT rf2(15)' ],
	[ 'both' => 'SELECT rf1(20); SELECT rf2(10)' ],
	[ 'lines changed' => q{
		UPDATE lineitem SET l_quantity = 51 - l_quantity, l_extendedprice = l_extendedprice + 10 WHERE l_orderkey % 997 = 3;
		UPDATE lineitem SET l_commitdate = l_receiptdate + 1 WHERE l_orderkey % 499 = 7;
		UPDATE lineitem SET l_shipdate = l_shipdate + 60 WHERE l_orderkey % 701 = 9;
		DELETE FROM lineitem WHERE l_orderkey % 997 = 5 AND l_linenumber = 1} ],
	[ 'orders change' => q{
		UPDATE orders SET o_orderdate = o_orderdate + 200, o_comment = 'special requests' WHERE o_orderkey % 499 = 1;
		UPDATE orders SET o_custkey = o_custkey % 1500 + 1, o_orderstatus = 'F' WHERE o_orderkey % 701 = 2} ],
	[ 'customers, suppliers, parts and what they cost' => q{
		UPDATE customer SET c_acctbal = c_acctbal + 5000, c_mktsegment = 'BUILDING' WHERE c_custkey % 97 = 3;
		UPDATE supplier SET s_comment = 'Customer Complaints', s_acctbal = - s_acctbal WHERE s_suppkey % 17 = 4;
		UPDATE part SET p_name = 'forest green', p_brand = 'Brand#23', p_container = 'MED BOX', p_size = 15 WHERE p_partkey % 97 = 5;
		UPDATE partsupp SET ps_supplycost = ps_supplycost / 2, ps_availqty = ps_availqty * 2 WHERE ps_partkey % 97 = 6} ],
	[ 'nations and regions' => q{
		UPDATE nation SET n_regionkey = (n_regionkey + 1) % 5 WHERE n_nationkey % 5 = 2;
		UPDATE supplier SET s_nationkey = 20 WHERE s_suppkey % 7 = 2;
		UPDATE region SET r_name = CASE r_name WHEN 'ASIA' THEN 'EUROPE' WHEN 'EUROPE' THEN 'ASIA' ELSE r_name END} ],
	[ 'everything at once' => q{
		SELECT rf1(5); SELECT rf2(5);
		UPDATE lineitem SET l_discount = 0.06, l_quantity = 10 WHERE l_orderkey % 499 = 11;
		UPDATE customer SET c_nationkey = (c_nationkey + 3) % 25 WHERE c_custkey % 101 = 1;
		UPDATE part SET p_type = 'PROMO PLATED BRASS' WHERE p_partkey % 101 = 1;
		UPDATE nation SET n_name = CASE n_name WHEN 'FRANCE' THEN 'CANADA' WHEN 'CANADA' THEN 'FRANCE' ELSE n_name END} ],
);
for my $batch (@batches)
{
	my ($what, $sql) = @$batch;
	$node->safe_psql('postgres', "BEGIN; $sql; COMMIT");
	my @wrong;
	for my $q (@queries)
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SELECT action FROM pgtrickle.refresh_stream_table('tpch.st_$q', 'DIFFERENTIAL')");
		push @wrong, "$q: " . ($rc ? $err : $out) if $rc || $out !~ /^(DIFFERENTIAL|NO_DATA)$/;
		my $difference = difference($node, 'postgres', "tpch.st_$q");
		push @wrong, "$q differs in $difference rows" if $difference ne '0';
	}
	is(join("\n", @wrong), '', $what);
}
$node->stop;
done_testing();
