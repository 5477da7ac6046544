# Random worlds whose sources are captured from the WAL, and worlds whose
# sources pass from triggers to the WAL and back while they are written: after
# each refresh a stream table must hold exactly what its query gives.
#
#   PGT_ORACLE_SECONDS  how long (default 40)
#   PGT_ORACLE_SEED     first seed (default: the clock); world i has seed + i
#
# A failing world is made smaller and printed as a script; the same seed
# repeats it: t/oracle/oracle.pl --cdc wal (or switch) --seed N --worlds 1.
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

my $node = new_node('wal_oracle');
my $runner = PgtOracle::Runner->new(psql => [ 'psql', '-d', $node->connstr('postgres') ], cdc => 1);

for (my $i = 0; time < $end; $i++)
{
	my $cdc = ($seed + $i) % 2 ? 'wal' : 'switch';
	my $failure = $runner->run(seed => $seed + $i, cdc => $cdc) or next;
	# a query that takes too long says nothing of capture, whose waits end by other errors
	next if $failure->{what} =~ /57014/;
	fail("$cdc, seed $failure->{seed}: $failure->{what}");
	$runner->shrink($failure, 60);
	my $script = PgtOracle::Runner::reproduction($failure);
	utf8::encode($script);
	diag $script;
	last;
}
cmp_ok($runner->{checks}, '>', 20, 'something was compared');
cmp_ok($runner->{actions}{DIFFERENTIAL} // 0, '>', 0, 'differential refreshes were among them');
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no process crashed');
note "$runner->{worlds} worlds, $runner->{checks} comparisons, " . join(', ', map { "$_: $runner->{actions}{$_}" } sort keys %{ $runner->{actions} });
done_testing();
