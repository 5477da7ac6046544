# What the tree promises of itself: who includes whom, where versions are
# looked at, that every test is run, and that files and functions stay legible.
use strict;
use warnings FATAL => 'all';

use File::Basename qw(basename dirname);
use File::Find;
use Test::More;

# needs no server, so it does without PgTrickle::Test
my $root = dirname(__FILE__) . '/..';
chdir $root or die "cannot enter $root: $!";

my @c_files;
find(sub { push @c_files, $File::Find::name if /\.[ch]$/ }, 'decoder', 'applier');
@c_files = sort @c_files;

sub slurp
{
	my ($name) = @_;
	open my $fh, '<', $name or die "cannot read $name: $!";
	local $/;
	return scalar <$fh>;
}

# One test per promise: the list of offenders is empty.
sub none
{
	my ($what, @offenders) = @_;
	is(join("\n", @offenders), '', $what);
	return;
}

# ---- include directions ----

# module => modules it may include; every part of applier/ may include its own
# files, settings.h, and of the decoder the format and the compat header
my @worker = qw(schedule refresh monitor);
my @base = qw(capture dvm catalog);
my %may_include = (
	catalog => [],
	dvm => ['catalog'],
	capture => [qw(dvm catalog)],
	map({ $_ => [ @worker, @base ] } @worker),
	api => [ @worker, @base ]);

sub include_allowed
{
	my ($file, $header) = @_;
	return $header =~ m{^decoder/} if $file =~ m{^decoder/};
	return 1 if $header =~ m{^decoder/(wire|compat)\.h$} || $header eq 'applier/settings.h';
	my ($module) = $file =~ m{^applier/(\w+)/};
	return $header =~ m{^applier/} unless defined $module;    # pg_trickle.c
	my ($other) = $header =~ m{^applier/(\w+)/};
	return defined $other && grep { $_ eq $other } $module, @{ $may_include{$module} // [] };
}

my (%ours, @wrong_arrow, @relative);
$ours{ basename($_) } = 1 for @c_files;
for my $file (@c_files)
{
	for my $header (slurp($file) =~ /^#include "([^"]+)"/mg)
	{
		if ($header =~ m{^(decoder|applier)/})
		{
			push @wrong_arrow, "$file includes $header" unless include_allowed($file, $header);
		}
		elsif ($header !~ m{/} && $ours{$header})
		{
			push @relative, "$file includes $header";
		}
	}
}
none('includes follow the layers', @wrong_arrow);
none('our headers are included by their path from the root', @relative);
none('the modules are the known ones',
	grep { m{^applier/(\w+)/} && !$may_include{$1} } @c_files);

# ---- versions ----

none('only decoder/compat.h looks at PG_VERSION_NUM',
	grep { $_ ne 'decoder/compat.h' && slurp($_) =~ /PG_VERSION_NUM/ } @c_files);

# ---- legibility ----

none('every file opens with its contract',
	grep { slurp($_) !~ m{^/\*\n \* \Q$_\E\b.{15,}?\*/}s } @c_files);

my @long;
for my $file (grep { /\.c$/ } @c_files)
{
	my ($start, $n) = (0, 0);
	for my $line (split /\n/, slurp($file))
	{
		$n++;
		$start = $n if $line =~ /^\{/;
		push @long, "$file:$start is " . ($n - $start) . ' lines' if $line =~ /^\}/ && $start && $n - $start > 120;
		$start = 0 if $line =~ /^\}/;
	}
}
none('no function is longer than 120 lines', @long);

# ---- tests are run ----

my $makefile = slurp('Makefile');
(my $joined = $makefile) =~ s/\\\n/ /g;
my ($words) = $joined =~ /^REGRESS\s*=[ \t]*(.*)$/m;
my %listed = map { $_ => 1 } split ' ', $words // '';
my @inputs = grep { !/^pg_trickle(_\w+)?--/ } map { basename($_, '.sql') } glob 'sql/*.sql';
my %input = map { $_ => 1 } @inputs;

none('every file of sql/ is installed or listed in REGRESS', grep { !$listed{$_} } @inputs);
none('every test in REGRESS exists', grep { !$input{$_} } sort keys %listed);
none('every regression test has an expected output', grep { !-e "expected/$_.out" } sort keys %listed);
none('every expected output belongs to a test',
	grep { my $n = basename($_, '.out'); !$listed{$n} && !$listed{ $n =~ s/_\d$//r } } glob 'expected/*.out');
none('every isolation spec has an expected output',
	grep { !-e s{/specs/}{/expected/}r =~ s/\.spec$/.out/r } glob 't/isolation*/specs/*.spec');
none('every expected isolation output belongs to a spec',
	grep { !-e s{/expected/}{/specs/}r =~ s/(?:_\d)?\.out$/.spec/r } glob 't/isolation*/expected/*.out');

my %seen;
none('TAP tests have numbers of their own',
	grep { !/^(\d{3})_\w+\.pl$/ || $seen{$1}++ } map { basename($_) } glob 't/*.pl');

# ---- commands that the documents give exist ----

my %target = map { $_ => 1 } $makefile =~ /^([a-z][a-z-]*)(?=[a-z -]*:(?!=))/mg;
$target{$_} = 1 for map { split } $makefile =~ /^\.PHONY:(.*)$/mg;
$target{$_} = 1 for qw(all install uninstall clean installcheck);
my @unknown;
for my $doc ('README.md', glob('docs/*.md'))
{
	next unless -e $doc;
	my $text = slurp($doc);
	push @unknown, "$doc: make $_"
	  for grep { !$target{$_} } $text =~ /(?:^|`)(?:\$ )?make ([a-z][a-z-]*)/mg;
	push @unknown, "$doc: $_"
	  for grep { !-e $_ } $text =~ m{(?:^|`)(?:sudo )?((?:tools|bench|\.ci)/[\w.-]+)}mg;
}
none('commands in the documents exist', @unknown);

# ---- what users see is in the reference ----

my $reference = slurp('docs/reference.md');
my $installed = join '', map { slurp($_) } glob 'sql/pg_trickle--*.sql';
my @public = grep { !/^(_|exact_|capture$|row_hash$)/ }
  $installed =~ /^CREATE (?:FUNCTION|VIEW) pgtrickle\.(\w+)/mg;
none('every function and view is in docs/reference.md', grep { $reference !~ /\b$_\b/ } @public);
none('every setting is in docs/reference.md',
	grep { $reference !~ /\b$_\b/ } slurp('applier/pg_trickle.c') =~ /"pg_trickle\.(\w+)"/g);

# ---- the documents' links lead somewhere ----

my @dead;
for my $doc ('README.md', glob('docs/*.md'))
{
	for my $link (slurp($doc) =~ /\]\(([^)#:]+)(?:#[^)]*)?\)/g)
	{
		push @dead, "$doc: $link" unless -e dirname($doc) . "/$link";
	}
}
none('links in the documents lead to files', @dead);

done_testing();
