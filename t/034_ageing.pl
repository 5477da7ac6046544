# A stream table whose query depends on the clock goes out of date although
# nothing is written: it is refreshed whenever its schedule says.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('ageing');
create_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	CREATE TABLE s (a int);
	SELECT pgtrickle.create_stream_table('public.clock', 'SELECT now() AS at, count(*) FROM s', '200ms');
	SELECT pgtrickle.create_stream_table('public.still', 'SELECT count(*) FROM s', '200ms')});
my $first = $node->safe_psql('postgres', 'SELECT at FROM clock');
ok($node->poll_query_until('postgres', "SELECT at > '$first' FROM clock"), 'it follows the clock');
$first = $node->safe_psql('postgres', 'SELECT at FROM clock');
ok($node->poll_query_until('postgres', "SELECT at > '$first' FROM clock"), 'and goes on');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pgtrickle.get_refresh_history('still') WHERE action <> 'INITIALIZE'}),
	'0', 'one that depends on tables only rests');
done_testing();
