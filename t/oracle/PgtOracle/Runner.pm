# Runs worlds through psql, judges what came back, and makes a failing world
# smaller.
#
# Each statement is followed by an \echo of its outcome, so one psql per world
# is enough and the order of results is certain.
package PgtOracle::Runner;

use strict;
use warnings;
use File::Temp;
use PgtOracle::World;


# psql: command words to reach the server; setup: SQL run once; cdc: the server
# is to hand sources over to the WAL, for worlds with that option
sub new
{
	my ($class, %opt) = @_;
	my $self = bless { timeout => 120, worlds => 0, checks => 0, refreshes => 0, actions => {}, %opt }, $class;
	$self->_setup;
	return $self;
}

sub _psql
{
	my ($self, $script) = @_;
	my $in = File::Temp->new(SUFFIX => '.sql');
	binmode $in, ':encoding(UTF-8)';
	print $in $script;
	close $in;
	my $cmd = join ' ', map { my $w = $_; $w =~ s/'/'\\''/g; "'$w'" } 'timeout', $self->{timeout}, @{ $self->{psql} },
	  '-XAtq', '-F', '|', '-f', $in->filename;
	local $ENV{PGCLIENTENCODING} = 'UTF8';
	open my $out, '-|:encoding(UTF-8)', "$cmd 2>/dev/null" or die "psql: $!";
	my @lines = <$out>;
	close $out;
	return @lines;
}

sub _setup
{
	my ($self) = @_;
	my @out = $self->_psql(<<'SQL');
CREATE EXTENSION IF NOT EXISTS pg_trickle;
ALTER SYSTEM SET pg_trickle.enabled = off;
SELECT pg_reload_conf();
CREATE OR REPLACE FUNCTION public.pgto_state_rows(tab regclass, keys text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
  -- of the first rows in an order: those shown; how many are to spare depends on the past
  RETURN QUERY EXECUTE format('SELECT (%s)::text FROM %s s %s', keys, tab,
    CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = tab AND attname = 'pgt_place') THEN 'WHERE s.pgt_place = 1' ELSE '' END);
END $$;
CREATE OR REPLACE FUNCTION public.pgto_compare_state(a text, b text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
  ida bigint; idb bigint; t record; other regclass; cols text;
BEGIN
  SELECT pgt_id INTO ida FROM pgtrickle.pgt_stream_tables WHERE pgt_relid = a::regclass;
  SELECT pgt_id INTO idb FROM pgtrickle.pgt_stream_tables WHERE pgt_relid = b::regclass;
  -- no state where one could not be built; the next refresh that does something tries again
  IF EXISTS (SELECT FROM pgtrickle.pgt_progress WHERE pgt_id IN (ida, idb) AND state_error IS NOT NULL) THEN RETURN; END IF;
  FOR t IN SELECT c.oid::regclass AS rel, c.relname FROM pg_class c
            WHERE relnamespace = 'pgtrickle_state'::regnamespace AND relkind = 'r' AND relname LIKE 's' || ida || '\_%'
  LOOP
    other := to_regclass('pgtrickle_state.' || quote_ident(replace(t.relname, 's' || ida || '_', 's' || idb || '_')));
    IF other IS NULL THEN RETURN NEXT t.relname || ' has no twin'; CONTINUE; END IF;
    RETURN QUERY EXECUTE format('SELECT %L || left(x::text, 300) FROM (SELECT * FROM public.pgto_state_rows(%L, %L) EXCEPT ALL SELECT * FROM public.pgto_state_rows(%L, %L)) x',
      t.relname || ' only in the old: ', t.rel, public.pgto_state_columns(t.rel), other, public.pgto_state_columns(other));
    RETURN QUERY EXECUTE format('SELECT %L || left(x::text, 300) FROM (SELECT * FROM public.pgto_state_rows(%L, %L) EXCEPT ALL SELECT * FROM public.pgto_state_rows(%L, %L)) x',
      t.relname || ' only in the fresh: ', other, public.pgto_state_columns(other), t.rel, public.pgto_state_columns(t.rel));
  END LOOP;
END $$;
-- the columns that depend on the rows alone: hash, counts, states that are no
-- lists, and what was emitted unless equal values may differ in image
CREATE OR REPLACE FUNCTION public.pgto_state_columns(tab regclass) RETURNS text LANGUAGE sql AS $$
  SELECT 'ROW(' || string_agg(format('s.%I', attname), ', ' ORDER BY attnum) || ')'
    FROM pg_attribute a
   WHERE attrelid = tab AND attnum > 0 AND NOT attisdropped
     AND (attname IN ('pgt_hash', 'n')
          OR attname ~ '^c[0-9]+$'
             AND atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'bool'::regtype, 'date'::regtype, 'uuid'::regtype)
          OR attname ~ '^s[0-9]+$' AND atttypid <> 'bytea'::regtype
          OR attname ~ '^[ko][0-9]+$'
             AND atttypid NOT IN ('numeric'::regtype, 'float8'::regtype, 'float4'::regtype, 'interval'::regtype, 'jsonb'::regtype)
             AND NOT EXISTS (SELECT 1 FROM pg_attribute i WHERE i.attrelid = tab AND i.attname = 'images')) $$;
SQL
	$self->_psql("ALTER SYSTEM SET pg_trickle.enabled = on;\nSELECT pg_reload_conf();\n") if $self->{cdc};
	my ($icu) = $self->_psql("SELECT count(*) > 0 FROM pg_collation WHERE collname = 'en-x-icu';\nSELECT 'x';\n");
	$self->{icu} = ($icu // '') =~ /^t/;
	return;
}

sub statement_sql
{
	my ($s) = @_;
	return $s =~ /^\\|\\gset$|^COPY .*\\\.$/s ? $s : "$s;";
}

sub script
{
	my (@steps) = @_;
	return join "\n", (map { my $st = $_; map { statement_sql($_) } @{ $st->{sql} } } @steps), '';
}

# after a crash: until it answers again
sub _wait_for_server
{
	my ($self) = @_;
	for (1 .. 60)
	{
		return if $self->_psql("SELECT 'up';\n");
		sleep 1;
	}
	die "the server does not answer\n";
}

# run the steps; each result is { error, sqlstate, message, lines } per statement
sub execute
{
	my ($self, @steps) = @_;
	my $text = "\\set VERBOSITY verbose\n";
	for my $i (0 .. $#steps)
	{
		my $j = 0;
		my $skip = 0;
		for my $s (@{ $steps[$i]{sql} })
		{
			$text .= statement_sql($s) . "\n";
			$text .= "\\echo \@\@$i $j :ERROR :SQLSTATE :LAST_ERROR_MESSAGE\n" unless $s =~ /^\\/;
			$j++;
		}
	}
	my (%result, @lines);
	for my $line ($self->_psql($text))
	{
		if ($line =~ /^\@\@(\d+) (\d+) (true|false) (\S+) ?(.*)$/)
		{
			$result{$1}{$2} = { error => $3 eq 'true', sqlstate => $4, message => $5, lines => [@lines] };
			@lines = ();
		}
		else { push @lines, $line; }
	}
	$self->_wait_for_server unless $result{$#steps};
	return \%result;
}

# the first thing wrong, or undef: { step, what, detail }
sub judge
{
	my ($self, $result, @steps) = @_;
	my (%out, %error);
	for my $i (0 .. $#steps)
	{
		my $step = $steps[$i];
		my $st = $step->{st};
		my $n = -1;
		for my $sql (@{ $step->{sql} })
		{
			$n++;
			next if $sql =~ /^\\/;
			my $r = $result->{$i}{$n};
			next if !$r && $step->{kind} eq 'again';
			return { step => $i, what => 'connection lost', detail => "at: $sql" } unless $r;
			my $bad = sub { return { step => $i, what => $_[0], st => $st, detail => "$r->{sqlstate} $r->{message}\n" . join('', @{ $r->{lines} }) . "at: $sql" } };
			return $bad->("internal error $r->{sqlstate}") if $r->{error} && $r->{sqlstate} =~ /^(XX|58|57014)/ && !($step->{kind} eq 'probe')
			  && !($step->{kind} eq 'check' && $r->{sqlstate} eq '57014');
			my $kind = $step->{kind};
			if ($kind eq 'ddl')
			{
				return $bad->("setup fails $r->{sqlstate}") if $r->{error};
				return $bad->('left over') if grep { /^DIFF/ } @{ $r->{lines} };
			}
			elsif ($kind eq 'dml')
			{
				return $bad->("write fails $r->{sqlstate}") if $r->{error} && $r->{sqlstate} !~ /^(21|22|23|25|3B001|55000|27000|26000|42704)/;
			}
			elsif ($kind eq 'probe')
			{
				if ($r->{error}) { $out{ $st // '' } = 1; $self->{invalid}{"$r->{sqlstate} $r->{message}"}++; }
			}
			elsif (defined $st && $out{$st}) { next; }
			elsif ($r->{error} && $r->{sqlstate} eq '25P02') { $out{$st} = 1 if $kind eq 'create'; last; }
			elsif ($kind eq 'create')
			{
				next if $n < $#{ $step->{sql} };
				if ($r->{error})
				{
					return $bad->("create fails $r->{sqlstate}") unless $r->{sqlstate} =~ /^22/;
					$out{$st} = 1;
				}
			}
			elsif ($kind eq 'mode')
			{
				my ($mode) = map { /^MODE\|(\w+)/ ? $1 : () } @{ $r->{lines} };
				$out{$st} = 1, next unless $mode;    # its transaction was rolled back
				return $bad->("mode is $mode") if $step->{expect} && $mode ne $step->{expect};
			}
			elsif ($kind eq 'refresh' || $kind eq 'again')
			{
				$self->{refreshes}++;
				delete $error{$st};
				if ($r->{error})
				{
					return $bad->("refresh fails $r->{sqlstate}") unless $r->{sqlstate} =~ /^2[12]/;
					$error{$st} = $r->{sqlstate};
				}
				/^ACTION\|(\w+)/ and $self->{actions}{$1}++ for @{ $r->{lines} };
			}
			elsif ($kind eq 'check')
			{
				next if $r->{error} && $r->{sqlstate} eq '57014';    # the plain query takes too long
				$self->{checks}++ if $n == $#{ $step->{sql} };
				next if $r->{error} && $r->{sqlstate} =~ /^2[12]/;    # the query itself fails
				return $bad->("check fails $r->{sqlstate}") if $r->{error};
				return $bad->("refresh failed $error{$st}, the query does not")
				  if $error{$st} && $n == $#{ $step->{sql} };
				return $bad->('rows differ') if grep { /^DIFF/ } @{ $r->{lines} };
			}
			elsif ($kind eq 'twin')
			{
				return $bad->("twin fails $r->{sqlstate}") if $r->{error} && $r->{sqlstate} !~ /^2[12]/;
				last if $r->{error};
				return $bad->('states differ') if grep { /^DIFF/ } @{ $r->{lines} };
			}
		}
	}
	return;
}

sub run
{
	my ($self, %opt) = @_;
	my $world = PgtOracle::World->new(icu => $self->{icu}, %opt);
	my @steps = $world->steps;
	$self->{worlds}++;
	my $failure = $self->judge($self->execute(@steps), @steps);
	return unless $failure;
	$failure->{seed} = $opt{seed};
	$failure->{query} = ($world->stream_tables)[ $failure->{st} ]{query}{sql} if defined $failure->{st};
	$failure->{steps} = [ @steps[ 0 .. $failure->{step} ] ];
	return $failure;
}

# leave out whatever the failure does not need, in ever smaller pieces
sub shrink
{
	my ($self, $failure, $seconds) = @_;
	my @steps = @{ $failure->{steps} };
	my $deadline = time + ($seconds // 60);
	my $schema = "w$failure->{seed}";
	my $same = sub {
		my (@try) = @_;
		my $f = $self->judge($self->execute(@try), @try);
		return unless $f && $f->{what} eq $failure->{what} && ($f->{st} // -1) == ($failure->{st} // -1);
		$failure->{detail} = $f->{detail};
		return [ @try[ 0 .. $f->{step} ] ];
	};
	my $size = int(@steps / 2) || 1;
	while (time < $deadline)
	{
		my $changed = 0;
		for (my $at = @steps - 1; $at >= 0 && time < $deadline; $at -= $size)
		{
			my $from = $at - $size + 1;
			$from = 0 if $from < 0;
			my @try = map { $steps[$_] } grep { $_ < $from || $_ > $at || ($_ == 0) } 0 .. $#steps;
			next if @try == @steps;
			if (my $less = $same->(@try)) { @steps = @$less; $changed = 1; $at = @steps if $at > @steps; }
		}
		last if $size == 1 && !$changed;
		$size = int($size / 2) || 1 unless $changed && $size == 1;
	}
	$self->_psql("DROP SCHEMA IF EXISTS $schema CASCADE;\n");
	$failure->{steps} = \@steps;
	return $failure;
}

# a script that shows the failure in psql on an empty database
sub reproduction
{
	my ($failure) = @_;
	return "-- seed $failure->{seed}: $failure->{what}\n"
	  . join('', map { "-- $_\n" } split /\n/, $failure->{detail})
	  . (defined $failure->{query} ? "-- query: $failure->{query}\n" : '')
	  . "CREATE EXTENSION IF NOT EXISTS pg_trickle;\n"
	  . script(@{ $failure->{steps} });
}

1;
