# One random world: a schema of tables, views and stream tables, rounds of
# writes, refreshes and comparisons, as a list of steps.
#
# A step is { kind, sql => [statements], st => number }.  Kinds: ddl (must
# work), probe (the plain query; when it fails the stream table is left out),
# create, mode, dml, refresh, check, twin.  The whole world is decided before
# anything runs, so that a failing one is a script by itself and can be made
# smaller by leaving steps out.
package PgtOracle::World;

use strict;
use warnings;
use PgtOracle::Random;
use PgtOracle::Types;
use PgtOracle::Schema;
use PgtOracle::Query;
use PgtOracle::Dml;


# options: seed, icu (collations can be made), rounds, immediate (refresh mode
# IMMEDIATE, compared after every statement), cdc (wal: every source is captured
# from the WAL before anything is written; switch: to and fro at random)
sub new
{
	my ($class, %opt) = @_;
	my $rnd = PgtOracle::Random->new($opt{seed});
	my $self = bless { %opt, rnd => $rnd, steps => [], sts => [], name => "w$opt{seed}" }, $class;
	$self->_build;
	return $self;
}

sub steps { return @{ $_[0]{steps} }; }
sub stream_tables { return @{ $_[0]{sts} }; }

sub _step
{
	my ($self, $kind, $sql, %more) = @_;
	if ($kind eq 'dml' && $self->{immediate})
	{
		# one statement a step, and all stream tables looked at after each
		for my $statement (@$sql)
		{
			push @{ $self->{steps} }, { kind => $kind, sql => [$statement], unit => $self->{unit}, %more };
			$self->_check($_) for grep { $_->{made} && $_->{mode} eq 'IMMEDIATE' } $self->stream_tables;
		}
		return;
	}
	push @{ $self->{steps} }, { kind => $kind, sql => $sql, unit => $self->{unit}, %more };
	return;
}

sub _build
{
	my ($self) = @_;
	my $rnd = $self->{rnd};

	$self->{unit} = 0;
	$self->_step(ddl => [ "DROP SCHEMA IF EXISTS $self->{name} CASCADE", "CREATE SCHEMA $self->{name}", "SET search_path = $self->{name}, public",
			"SET client_min_messages = warning", "SET statement_timeout = '30s'",
			'\set ON_ERROR_ROLLBACK ' . $rnd->pick(qw(on off)) ],
		fixed => 1);
	$self->_step(ddl => [ PgtOracle::Types::prelude($self->{icu}) ], fixed => 1);
	my $schema = $self->{schema} = PgtOracle::Schema->new($rnd);
	$self->_step(ddl => [$_], fixed => 1) for $schema->sql;
	$self->_step(ddl => [ $self->_whole_rows ], fixed => 1) if $self->{cdc};
	my $dml = $self->{dml} = PgtOracle::Dml->new($rnd, $schema);
	for my $table ($schema->tables)
	{
		$self->{unit}++, $self->_step(dml => [$_]) for $dml->initial_rows($table, $rnd->between(0, 10));
	}
	$self->{query} = PgtOracle::Query->new($rnd, $schema, hazard => $rnd->chance(6));
	$self->_views;
	$self->_create for 1 .. $rnd->between(3, 6);
	$self->_round for 1 .. ($self->{rounds} // $rnd->between(4, 9));
	$self->_finish;
	return;
}

sub _views
{
	my ($self) = @_;
	my $rnd = $self->{rnd};
	for my $i (1 .. $rnd->below(3))
	{
		my $q = $self->{query}->query(view => 1);
		next if $q->{big} || $q->{float};
		$self->{unit}++;
		$self->_step(probe => [ "CREATE VIEW v$i" . ($rnd->chance(15) ? ' WITH (security_barrier)' : '') . " AS $q->{sql}" ], view => 1);
		$self->{query}->add_relation("v$i", $q->{cols}, full => $q->{full});
	}
	return;
}

sub _create
{
	my ($self) = @_;
	my $rnd = $self->{rnd};
	my $i = @{ $self->{sts} };
	my $q = $self->{query}->query;
	for (1 .. 8) { $q = $self->{query}->query if $self->{immediate} && $q->{full}; }
	return if $self->{immediate} && $q->{full};
	my $ident = $rnd->chance(10) ? "\"St $i. \x{fc}\"" : "st$i";
	my $st = { number => $i, ident => $ident, name => "$self->{name}.$ident", query => $q };
	push @{ $self->{sts} }, $st;
	$self->{unit}++;
	$self->_step(probe => [ "EXPLAIN (COSTS off) $q->{sql}", "SELECT count(*) FROM ($q->{sql}) pgto" ], st => $i);
	my $mode = $q->{full} ? $rnd->pick(qw(AUTO FULL)) : $rnd->pick(('DIFFERENTIAL') x 6, 'AUTO', 'AUTO', 'FULL');
	$mode = $rnd->chance(85) ? 'IMMEDIATE' : 'DIFFERENTIAL' if $self->{immediate};
	$st->{mode} = $mode;
	my $init = $rnd->chance(10) && !$self->{immediate} ? ', initialize => false' : '';
	my @sql = ("SELECT pgtrickle.create_stream_table(" . PgtOracle::Types::quote_literal($st->{name}) . ', '
		  . PgtOracle::Types::quote_literal($q->{sql}) . ", schedule => " . ($mode eq 'IMMEDIATE' ? 'NULL' : "'1d'") . ", refresh_mode => '$mode'$init)");
	# the commonest script: writes before and after in the creating transaction;
	# what it wrote itself cannot be read from the WAL, and it is refused
	if ($rnd->chance(25) && !$self->{cdc})
	{
		@sql = ('BEGIN', ($rnd->chance(50) ? $self->{dml}->unit(1) : ()), @sql);
		$self->_step(create => \@sql, st => $i, txn => 1);
		$self->_step(dml => [ $self->{dml}->unit(1) ]) if $rnd->chance(60);
		$self->_step(dml => ['COMMIT']);
	}
	else
	{
		$self->_step(create => \@sql, st => $i);
	}
	$self->_step(mode => [ "SELECT 'MODE', effective_mode, effective_mode_reason FROM pgtrickle.pgt_stream_tables"
			  . " WHERE pgt_schema = '$self->{name}' AND pgt_name = " . PgtOracle::Types::quote_literal($ident =~ s/^"|"$//gr) ],
		st => $i, expect => $mode eq 'FULL' || $mode eq 'IMMEDIATE' ? $mode : $q->{full} ? '' : 'DIFFERENTIAL');
	$st->{made} = 1;
	$self->_refresh_and_check($st) if $init || $rnd->chance(40);
	# an IMMEDIATE stream table does not read a deferred one
	$self->{query}->add_relation($st->{name}, $q->{cols})
	  unless $q->{big} || ($self->{immediate} && $mode ne 'IMMEDIATE');
	$self->_wait_for_wal if ($self->{cdc} // '') eq 'wal' || $self->{cdc} && $rnd->chance(30);
	return;
}

# ---- triggers and the WAL ----

sub _whole_rows
{
	my ($self) = @_;
	return "DO \$x\$ DECLARE r regclass; BEGIN FOR r IN SELECT oid FROM pg_class WHERE relnamespace = '$self->{name}'::regnamespace AND relkind = 'r'"
	  . " LOOP EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', r); END LOOP; END \$x\$";
}

# until everything that can be is captured from the WAL; an error after a minute
sub _wait_for_wal
{
	my ($self) = @_;
	$self->_step(ddl => [ "DO \$x\$ BEGIN FOR i IN 1 .. 3000 LOOP"
			  . " IF NOT EXISTS (SELECT FROM pgtrickle.check_cdc_health() h JOIN pg_class c ON c.oid = h.source_table"
			  . " WHERE c.relnamespace = '$self->{name}'::regnamespace AND h.cdc_mode <> 'WAL' AND h.wanted_mode <> 'trigger') THEN RETURN; END IF;"
			  . " PERFORM pg_sleep(0.02); END LOOP; RAISE 'still on triggers'; END \$x\$" ]);
	return;
}

# Asked for, and not waited for: the hand-over comes between whatever is next.
sub _switch
{
	my ($self) = @_;
	my $mode = $self->{rnd}->pick(qw(trigger auto auto));
	$self->_step(ddl => [ "SELECT pgtrickle.alter_stream_table(format('%I.%I', pgt_schema, pgt_name), cdc_mode => '$mode')"
			  . " FROM pgtrickle.pgt_stream_tables WHERE pgt_schema = '$self->{name}'" . ($self->{rnd}->chance(30) ? ' LIMIT 2' : '') ]);
	return;
}

sub _check
{
	my ($self, $st) = @_;
	my $q = $st->{query};
	my ($plain, @sql) = ($q->{sql});
	if ($q->{float})
	{
		# the plain query with the exact sums over floats put in
		push @sql, "SELECT value AS fq FROM pgtrickle.explain_st(" . PgtOracle::Types::quote_literal($st->{name})
		  . ") WHERE property IN ('full_query', 'full query') \\gset";
		$plain = ':fq';
	}
	if (grep { $_->{amb} } @{ $q->{cols} })
	{
		my $n = 0;
		my $out = join ', ', map {
			my $t = $PgtOracle::Types::T{ $_->{type} };
			my $c = 'pgto.c' . ++$n;
			$t->{sort} && $t->{hash} || $_->{amb} ? $c : "($c)::text"
		} @{ $q->{cols} };
		$n = 0;
		my $names = join ', ', map { 'c' . ++$n } @{ $q->{cols} };
		my $a = "SELECT $out FROM $st->{name} pgto($names)";
		my $b = "SELECT $out FROM ($plain) pgto($names)";
		push @sql, "SELECT 'DIFF extra', left(pgto_e::text, 400) FROM ($a EXCEPT ALL $b) pgto_e LIMIT 5",
		  "SELECT 'DIFF missing', left(pgto_m::text, 400) FROM ($b EXCEPT ALL $a) pgto_m LIMIT 5";
	}
	else
	{
		push @sql, "SELECT 'DIFF stored ' || coalesce(pgto_a.n, 0) || ' x, query ' || coalesce(pgto_b.n, 0) || ' x', left(img, 400)"
		  . " FROM (SELECT pgto_s::text AS img, count(*) AS n FROM $st->{name} pgto_s GROUP BY 1) pgto_a"
		  . " FULL JOIN (SELECT pgto_q::text AS img, count(*) AS n FROM ($plain) pgto_q GROUP BY 1) pgto_b USING (img)"
		  . " WHERE pgto_a.n IS DISTINCT FROM pgto_b.n LIMIT 5";
	}
	$self->_step(check => \@sql, st => $st->{number});
	return;
}

sub _refresh_and_check
{
	my ($self, $st, %how) = @_;
	my $rnd = $self->{rnd};
	my $mode = $rnd->chance(5) ? ", mode => 'FULL'"
	  : $st->{mode} eq 'AUTO' && !$st->{query}{full} && $rnd->chance(70) ? ", mode => 'DIFFERENTIAL'" : '';
	my $call = "SELECT 'ACTION', action, rows_inserted, rows_deleted FROM pgtrickle.refresh_stream_table("
	  . PgtOracle::Types::quote_literal($st->{name});
	$self->_step(refresh => ["$call$mode)"], st => $st->{number}, full => ($mode =~ /FULL/ ? 1 : 0));
	# a mixed old and new term may divide by zero where the query does not
	$self->_step(again => [ '\if :ERROR', "$call, mode => 'FULL')", '\endif' ], st => $st->{number})
	  if $self->{query}{hazard} && !$how{inside};
	$self->_check($st);
	return;
}

sub _round
{
	my ($self) = @_;
	my $rnd = $self->{rnd};
	my $dml = $self->{dml};
	my @sts = $self->stream_tables;

	$self->_switch if ($self->{cdc} // '') eq 'switch' && $rnd->chance(60);
	if ($rnd->chance(20) && !$self->{cdc})
	{
		# refreshes inside a transaction, between its writes
		$self->{unit}++;
		$self->_step(dml => ['BEGIN']);
		for (1 .. $rnd->between(1, 3))
		{
			$self->{unit}++;
			$self->_step(dml => [ $dml->unit(1) ]);
			$self->_refresh_and_check($_, inside => 1) for $rnd->sample($rnd->between(1, 2), @sts);
			$self->_step(dml => [ $dml->unit(1) ]) if $rnd->chance(50);
		}
		$self->_step(dml => [ $rnd->chance(80) ? 'COMMIT' : 'ROLLBACK' ]);
	}
	else
	{
		for (1 .. $rnd->between(1, 5))
		{
			$self->{unit}++;
			$self->_step(dml => [ $dml->unit ]);
		}
	}
	for my $table ($self->{schema}->tables)
	{
		next unless $rnd->chance(30);
		$self->{unit}++;
		$self->_step(dml => [ $dml->trim($table, 12) ]);
	}
	$self->{unit}++, $self->_refresh_and_check($_) for $rnd->sample($rnd->between(1, 4), @sts);
	return;
}

# everything refreshed once more; a second, equal stream table; the twins'
# state tables compared
sub _finish
{
	my ($self) = @_;
	my $rnd = $self->{rnd};
	for my $st ($self->stream_tables)
	{
		$self->{unit}++;
		$self->_refresh_and_check($st);
		next if $st->{query}{full} || $st->{mode} eq 'FULL';
		my $twin = "twin$st->{number}";
		$self->_step(twin => [
				"SELECT pgtrickle.create_stream_table('$self->{name}.$twin', "
				  . PgtOracle::Types::quote_literal($st->{query}{sql}) . ", schedule => '1d', refresh_mode => 'DIFFERENTIAL')",
				"SELECT 'DIFF state', line FROM public.pgto_compare_state(" . PgtOracle::Types::quote_literal($st->{name}) . ", '$self->{name}.$twin') line LIMIT 5",
				"SELECT pgtrickle.drop_stream_table('$self->{name}.$twin')" ],
			st => $st->{number});
	}
	$self->{unit}++;
	$self->_step(ddl => [ "DROP SCHEMA $self->{name} CASCADE",
			"SELECT 'DIFF left over', d.st_name FROM pgtrickle.pgt_definitions d WHERE st_schema = '$self->{name}'" ],
		fixed => 1);
	return;
}

1;
