# Random worlds in refresh mode IMMEDIATE: every stream table is compared with its
# query after every statement, inside transactions, after savepoints and errors.
#
#   PGT_ORACLE_SECONDS  how long (default 40)
#   PGT_ORACLE_SEED     first seed (default: the clock); world i has seed + i
#
# A failing world is made smaller and printed as a script; the same seed
# repeats it: t/oracle/oracle.pl --immediate --seed N --worlds 1.
use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/oracle";
use PgTrickle::Test;
use PgtOracle::Runner;
use Test::More;

my $seconds = $ENV{PGT_ORACLE_SECONDS} // 40;
my $seed = $ENV{PGT_ORACLE_SEED} // time % 1_000_000;
my $end = time + $seconds;

note "PGT_ORACLE_SEED=$seed PGT_ORACLE_SECONDS=$seconds";

my $node = new_node('immediate_oracle', conf => "pg_trickle.enabled = off\n");
my $runner = PgtOracle::Runner->new(psql => [ 'psql', '-d', $node->connstr('postgres') ]);

for (my $i = 0; time < $end; $i++)
{
	my $failure = $runner->run(seed => $seed + $i, immediate => 1) or next;
	fail("seed $failure->{seed}: $failure->{what}");
	$runner->shrink($failure, 60);
	my $script = PgtOracle::Runner::reproduction($failure);
	utf8::encode($script);
	diag $script;
	last;
}
cmp_ok($runner->{checks}, '>', 100, 'stream tables were compared after statements');
note "$runner->{worlds} worlds, $runner->{checks} comparisons";
done_testing();
