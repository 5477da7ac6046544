# The regression tests of sql/, in one server whose scheduler stays out of the
# way: what they print depends on their own statements only.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('regress', conf => "pg_trickle.enabled = off\n");
run_regress($node, $ENV{PG_REGRESS}, tree_root(), make_list('REGRESS'));
done_testing();
