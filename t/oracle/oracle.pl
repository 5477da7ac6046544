#!/usr/bin/perl
# The randomised oracle by hand, against a running server (PGHOST, PGPORT,
# PGDATABASE, ... say which; the database should be an empty one):
#
#   t/oracle/oracle.pl [--seed N] [--seconds S | --worlds N] [--keep-going]
#                      [--no-shrink] [--print] [--out DIR] [--immediate]
#                      [--cdc wal|switch]
use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use Getopt::Long;
use PgtOracle::Runner;

binmode STDOUT, ':encoding(UTF-8)';
my %opt = (seed => time % 1_000_000, seconds => 60, shrink => 1, 'shrink-seconds' => 60, psql => 'psql');
GetOptions(\%opt, 'seed=i', 'seconds=i', 'worlds=i', 'keep-going', 'shrink!', 'shrink-seconds=i', 'print', 'out=s', 'psql=s', 'immediate', 'cdc=s')
  or die "usage: $0 [--seed N] [--seconds S | --worlds N] [--keep-going] [--no-shrink] [--print] [--out DIR] [--immediate] [--cdc wal|switch]\n";

if ($opt{print})
{
	print PgtOracle::Runner::script(PgtOracle::World->new(seed => $opt{seed}, icu => 1, immediate => $opt{immediate}, cdc => $opt{cdc})->steps);
	exit 0;
}
my $runner = PgtOracle::Runner->new(psql => [ split ' ', $opt{psql} ], cdc => $opt{cdc});
my $end = time + $opt{seconds};
my $failures = 0;
for (my $i = 0; defined $opt{worlds} ? $i < $opt{worlds} : time < $end; $i++)
{
	my $failure = $runner->run(seed => $opt{seed} + $i, immediate => $opt{immediate}, cdc => $opt{cdc}) or next;
	$failures++;
	print "seed $failure->{seed}: $failure->{what}\n$failure->{detail}\n\n";
	$runner->shrink($failure, $opt{'shrink-seconds'}) if $opt{shrink};
	my $text = PgtOracle::Runner::reproduction($failure);
	if ($opt{out})
	{
		open my $f, '>:encoding(UTF-8)', "$opt{out}/seed$failure->{seed}.sql" or die "$opt{out}: $!";
		print $f $text;
		close $f;
	}
	else { print $text; }
	last unless $opt{'keep-going'};
}
printf "%d worlds, %d refreshes, %d comparisons, %d failures; actions: %s\n",
  $runner->{worlds}, $runner->{refreshes},
  $runner->{checks}, $failures, join(', ', map { "$_ $runner->{actions}{$_}" } sort keys %{ $runner->{actions} });
my $invalid = $runner->{invalid} // {};
printf "left out %d x: %s\n", $invalid->{$_}, $_ for sort { $invalid->{$b} <=> $invalid->{$a} } keys %$invalid;
exit($failures ? 1 : 0);
