# The isolation specs: interleaved sessions, refreshed by hand.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(basename);
use PgTrickle::Test;
use Test::More;

my $dir = tree_root() . '/t/isolation';
my @specs = map { basename($_, '.spec') } sort glob "$dir/specs/*.spec";
plan skip_all => 'no isolation specs' unless @specs;

my $node = new_node('isolation', conf => "pg_trickle.enabled = off\n");
run_regress($node, $ENV{PGT_ISOLATION_REGRESS}, $dir, @specs);
done_testing();
