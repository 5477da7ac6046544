# PgTrickle::Test - servers and checks for the TAP tests.
#
#   use PgTrickle::Test;
#   my $node = new_node('main');           # initialised and started
#   create_extension($node, 'postgres');
#   wait_caught_up($node, 'postgres', 'public.totals');
#   equals_query($node, 'postgres', 'public.totals', 'after the inserts');
#
# Nodes are PostgreSQL::Test::Cluster's with t/regress.conf; they are stopped
# when the test ends, however it ends.  Nothing here sleeps for a fixed time.
package PgTrickle::Test;

use strict;
use warnings FATAL => 'all';

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_node create_extension difference equals_query
  wait_caught_up wait_cdc_mode capture_from_wal make_list run_regress tree_root server_major);

# The root of the source tree the tests run from.
sub tree_root
{
	return abs_path(dirname(__FILE__) . '/../../..');
}

# Major version of the server under test.
sub server_major
{
	my ($version) = `postgres --version` =~ /(\d+)/
	  or die 'no postgres in PATH: run the tests with make test';
	return $version;
}

# The minor releases that know output_plugin_libraries refuse plugins that are
# not listed in it; the others refuse the setting.
sub _plugin_setting
{
	return '' unless grep { /^output_plugin_libraries\t/ } `postgres --describe-config`;
	return "output_plugin_libraries = 'pgoutput, test_decoding, pg_trickle_decoder'\n";
}

# A running server of our configuration.  Options: conf (lines to append),
# start (0: leave it stopped).
sub new_node
{
	my ($name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf',
		slurp_file(tree_root() . '/t/regress.conf')
		  . _plugin_setting()
		  . ($opt{conf} // ''));
	_start($node) unless defined $opt{start} && !$opt{start};
	return $node;
}

# Start, and where that fails say why at once: without a server no test of the
# file can run.
sub _start
{
	my ($node) = @_;
	return if $node->start(fail_ok => 1);
	my @log = split /\n/, slurp_file($node->logfile);
	splice @log, 0, -15 if @log > 15;
	diag(join "\n", @log);
	die 'the server did not start';
}

sub create_extension
{
	my ($node, $db) = @_;
	$node->safe_psql($db, 'CREATE EXTENSION pg_trickle');
	return;
}

# SQL that counts the rows (by multiplicity and by their text, so that equal
# values of another image differ too) in which a stream table and its query
# differ.  The aliases are no column's name: a column q would hide a row q.
sub _difference_sql
{
	my ($node, $db, $st) = @_;
	my $query = $node->safe_psql($db,
		"SELECT defining_query FROM pgtrickle.pgt_stream_tables WHERE pgt_relid = '$st'::regclass");
	die "$st is no stream table" if $query eq '';
	$query =~ s/;\s*$//;
	my $stored = qq{SELECT pgt_s::text COLLATE "C" FROM $st pgt_s};
	my $wanted = qq{SELECT pgt_q::text COLLATE "C" FROM ($query) pgt_q};
	return "SELECT count(*) FROM (($stored EXCEPT ALL $wanted) UNION ALL ($wanted EXCEPT ALL $stored)) d";
}

# How many rows a stream table and its query differ in, now.
sub difference
{
	my ($node, $db, $st) = @_;
	return $node->safe_psql($db, _difference_sql($node, $db, $st));
}

# A test: the stream table holds exactly its query's rows.
sub equals_query
{
	my ($node, $db, $st, $what) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is(difference($node, $db, $st), '0', "$st equals its query: $what");
}

# Wait for the workers to bring a stream table up to its query (the sources at
# rest).  A test of its own: false after the default timeout.
sub wait_caught_up
{
	my ($node, $db, $st) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->poll_query_until($db, _difference_sql($node, $db, $st), '0'),
		"$st catches up");
}

# Have sources captured from the WAL whatever the server's configuration says, and
# keep them there when the slot is lost.  Their replica identity must allow it.
sub capture_from_wal
{
	my ($node, $db, @sources) = @_;
	$node->safe_psql($db, q{ALTER SYSTEM SET pg_trickle.cdc_mode = 'wal'});
	$node->safe_psql($db, q{ALTER SYSTEM SET pg_trickle.slot_wal_limit_action = 'warn'});
	$node->reload;
	wait_cdc_mode($node, $db, $_, 'WAL') for @sources;
	return;
}

# Wait until a source is captured by TRIGGER or from the WAL.  A test of its own;
# where it does not come, what is in the way is shown.
sub wait_cdc_mode
{
	my ($node, $db, $source, $mode) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok(1, "$source is captured by $mode")
	  if $node->poll_query_until($db,
		"SELECT cdc_mode FROM pgtrickle.pgt_sources WHERE source_relid = '$source'::regclass", $mode);
	diag($node->safe_psql($db, 'SELECT * FROM pgtrickle.check_cdc_health()'));
	return ok(0, "$source is captured by $mode");
}

# The words of a variable of the Makefile.
sub make_list
{
	my ($variable) = @_;
	my $makefile = slurp_file(tree_root() . '/Makefile');
	$makefile =~ s/\\\n/ /g;
	my ($words) = $makefile =~ /^$variable\s*=[ \t]*(.*)$/m or die "no $variable in the Makefile";
	return split ' ', $words;
}

# Run pg_regress or pg_isolation_regress against a node, one test per name.
# The differences of failed ones are shown.
sub run_regress
{
	my ($node, $program, $inputdir, @names) = @_;
	my $outputdir = "$PostgreSQL::Test::Utils::tmp_check/" . $node->name;
	mkdir $outputdir;

	my ($out, $err) = ('', '');
	IPC::Run::run [
		$program,
		"--inputdir=$inputdir",
		"--outputdir=$outputdir",
		'--bindir=',
		'--dlpath=' . dirname($program),
		'--host=' . $node->host,
		'--port=' . $node->port,
		'--dbname=regress',
		@names ],
	  '<' => \undef, '>' => \$out, '2>' => \$err;

	# "ok 1 - name 12 ms" since 16, "test name ... ok 12 ms" before
	my %passed;
	for my $line (split /\n/, $out)
	{
		$passed{$1} = 1 if $line =~ /^ok\s+\d+\s+[-+]\s+(\S+)/;
		$passed{$1} = 1 if $line =~ /^test (\S+)\s+\.\.\. ok\b/;
	}
	ok($passed{$_}, $_) for @names;

	my $diffs = "$outputdir/regression.diffs";
	if (-s $diffs)
	{
		diag(slurp_file($diffs));
	}
	elsif (keys %passed != @names)
	{
		diag($out, $err);
	}
	return;
}

1;
