# The isolation specs of the hand-over: unlike the others' their server has a
# scheduler at work, which makes the passages.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(basename);
use PgTrickle::Test;
use Test::More;

my $dir = tree_root() . '/t/isolation_handover';
my $node = new_node('handover_isolation');
run_regress($node, $ENV{PGT_ISOLATION_REGRESS}, $dir, map { basename($_, '.spec') } sort glob "$dir/specs/*.spec");
done_testing();
