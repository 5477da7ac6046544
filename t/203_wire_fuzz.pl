# The reader of change batches under sanitizers: a short run of make fuzz with a
# seed of its own, and a fixed one.
use strict;
use warnings FATAL => 'all';

use Test::More;

# needs no server, so it does without PgTrickle::Test
my $fuzz = './tools/fuzz.sh';
plan skip_all => 'no compiler here' if system('command -v "${CC:-cc}" >/dev/null 2>&1');

for my $seed (1, time)
{
	my $output = `$fuzz $seed 100000 2>&1`;
	is($?, 0, "seed $seed") or diag $output;
	like($output, qr/^seed $seed: 5000 batches read back, \d+ damaged ones read, \d+ refused$/m, 'all of them');
}
done_testing();
