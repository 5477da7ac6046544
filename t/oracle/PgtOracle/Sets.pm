# Random set operations, grouping sets, and what FROM and the SELECT list
# compute instead of reading: functions, VALUES, subqueries without a table.
# Functions of the generator in Query.pm, which is their first argument.
package PgtOracle::Sets;

use strict;
use warnings;
use PgtOracle::Types;

*T = \%PgtOracle::Types::T;
our %T;

# one branch: a select reduced to columns of these types
sub _branch
{
	my ($g, $depth, $types, $state) = @_;
	my $rnd = $g->{rnd};
	return 'VALUES ' . join ', ', map { '(' . join(', ', map { $g->_lit($_) } @$types) . ')' } 1 .. $rnd->between(1, 3)
	  if $state->{read} && $rnd->chance(8);
	my $q = $g->select($depth);
	$state->{read} = 1;
	$state->{$_} ||= $q->{$_} for qw(float full big);
	my $a = $g->_alias;
	my @out;
	for my $type (@$types)
	{
		my ($c) = $rnd->sample(1, grep { $_->{type} eq $type && !$_->{amb} } @{ $q->{cols} });
		push @out, $c ? "$a.$c->{name}" : $g->_lit($type);
	}
	return 'SELECT ' . join(', ', @out) . " FROM ($q->{sql}) $a";
}

sub _tree
{
	my ($g, $depth, $types, $state, $n) = @_;
	return _branch($g, $depth, $types, $state) if $n == 1;
	my $rnd = $g->{rnd};
	my $left = $rnd->between(1, $n - 1);
	my $l = _tree($g, $depth, $types, $state, $left);
	my $r = _tree($g, $depth, $types, $state, $n - $left);
	# without parentheses now and then: what binds how is the server's business
	$l = "($l)" if $rnd->chance(70);
	$r = "($r)" if $rnd->chance(70);
	return "$l " . $rnd->pick('UNION', 'UNION', 'UNION ALL', 'INTERSECT', 'INTERSECT ALL', 'EXCEPT', 'EXCEPT ALL', 'EXCEPT ALL') . " $r";
}

sub set_operation
{
	my ($g, $depth) = @_;
	my $rnd = $g->{rnd};
	my @types = map { $rnd->pick(qw(int8 int8 text numeric bool)) } 1 .. $rnd->between(1, 2);
	my $state = {};
	my $tree = _tree($g, $depth, \@types, $state, $rnd->pick(2, 2, 3, 3, 4));
	delete $state->{read};
	my $alias = $g->_alias;
	my $n = 0;
	my @cols = map { { name => 'u' . ++$n, type => $_, amb => !$T{$_}{image} } } @types;
	my $names = join ', ', map { $_->{name} } @cols;
	return { sql => "SELECT $names FROM ($tree) $alias($names)", cols => \@cols, %$state };
}

# WITH RECURSIVE over two int columns of relations: bounded walks with UNION
# ALL, the closure with UNION, now and then what is run anew
sub recursive
{
	my ($g) = @_;
	my $rnd = $g->{rnd};
	my @usable = grep { my $r = $_; 1 < grep { $T{ $_->{type} }{kind} eq 'int' && !$_->{amb} } @{ $r->{cols} } } @{ $g->{relations} };
	return $g->select(1) unless @usable;
	my ($base, $step) = ($rnd->pick(@usable), $rnd->pick(@usable));
	my ($x, $y) = ($g->_alias, $g->_alias);
	my ($from) = $rnd->sample(1, grep { $T{ $_->{type} }{kind} eq 'int' && !$_->{amb} } @{ $base->{cols} });
	my ($src, $dst) = $rnd->sample(2, grep { $T{ $_->{type} }{kind} eq 'int' && !$_->{amb} } @{ $step->{cols} });
	my @base = map { { sql => "$x.$_->{name}", type => $_->{type}, amb => $_->{amb} } } @{ $base->{cols} };
	my @step = map { { sql => "$y.$_->{name}", type => $_->{type}, amb => $_->{amb} } } @{ $step->{cols} };
	my $full = $base->{full} || $step->{full};
	my $where = $rnd->chance(70) ? ' WHERE ' . $g->predicate(\@base) : '';
	my $also = $rnd->chance(40) ? ' AND ' . $g->predicate(\@step) : '';
	my $walk = $rnd->chance(50);
	my $item = $rnd->chance(10) ? ', generate_series(0, 1) extra' : '';
	my $distinct = $rnd->chance(10) ? 'DISTINCT ' : '';
	my $join = $rnd->chance(8) ? 'LEFT JOIN' : 'JOIN';
	my $sql = "WITH RECURSIVE walk(n, d) AS (SELECT $x.$from->{name}::int8, 0 FROM $base->{name} $x$where UNION "
	  . ($walk ? 'ALL ' : '')
	  . ($distinct ? "SELECT q.* FROM (SELECT DISTINCT " : 'SELECT ')
	  . "$y.$dst->{name}::int8, walk.d" . ($walk ? ' + 1' : '') . " FROM walk $join $step->{name} $y ON $y.$src->{name} = walk.n$also$item"
	  . ($walk ? ' WHERE walk.d < 2' : '') . ($distinct ? ') q' : '') . ')';
	my @cols = ({ name => 'n', type => 'int8' }, { name => 'd', type => 'int4' });
	local $g->{ctes} = [ { name => 'walk', cols => \@cols } ];
	my $q = $rnd->chance(50) ? $g->select(0) : { sql => 'SELECT n, d FROM walk', cols => \@cols };
	return { sql => "$sql $q->{sql}", cols => $q->{cols}, float => $q->{float}, full => $full || $q->{full}, big => $q->{big} };
}

# an item for FROM beside what is in scope: its SQL and its columns; one_join:
# FROM is a single join as yet, so its conditions may name all of the scope
sub from_item
{
	my ($g, $scope, $one_join) = @_;
	my ($sql, @cols) = _item($g, $scope) or return;
	# as an optional side, too
	return ($sql =~ s/^(?:,| CROSS JOIN)(?: LATERAL)? (.*)$/ LEFT JOIN LATERAL $1 ON /sr . $g->predicate([ @$scope, @cols ]), @cols)
	  if $one_join && $g->{rnd}->chance(35);
	return ($sql, @cols);
}

sub _item
{
	my ($g, $scope) = @_;
	my $rnd = $g->{rnd};
	my $a = $g->_alias;
	my ($c) = $rnd->sample(1, grep { !$_->{amb} } @$scope) or return;
	my $kind = $T{ $c->{type} }{kind};
	my $x = $c->{sql};
	return (", generate_series(1, (abs($x\::int8) % 3)::int) $a", { sql => $a, type => 'int4' }) if $kind eq 'int' && $rnd->chance(50);
	return (" CROSS JOIN LATERAL unnest($x) WITH ORDINALITY $a(e, n)", { sql => "$a.e", type => 'int4' }, { sql => "$a.n", type => 'int8' })
	  if $c->{type} eq 'int4[]';
	return (", LATERAL jsonb_each_text(CASE WHEN jsonb_typeof($x) = 'object' THEN $x END) $a", { sql => "$a.key", type => 'text' }, { sql => "$a.value", type => 'text' })
	  if $kind eq 'jsonb';
	return (", regexp_split_to_table($x, '') $a", { sql => $a, type => 'text' }) if $kind eq 'text' && $x !~ /long/ && $rnd->chance(20);
	return (", LATERAL (SELECT count(*) AS n, max(i) AS m FROM generate_series(1, ($x\::int8 % 4)::int) i) $a", { sql => "$a.n", type => 'int8' }, { sql => "$a.m", type => 'int4' })
	  if $kind eq 'int' && $rnd->chance(50);
	return (", LATERAL (VALUES (1, $x), (2, NULL)) $a(k, v)", { sql => "$a.k", type => 'int4' }, { sql => "$a.v", type => $c->{type} })
	  if $c->{type} =~ /^(int4|int8|text|bool|date)$/;
	return (" CROSS JOIN (VALUES (0::int8, 'a'::text), (1, 'b'), (1, NULL)) $a(k, v)", { sql => "$a.k", type => 'int8' }, { sql => "$a.v", type => 'text' });
}

# a set-returning expression for the SELECT list
sub srf
{
	my ($g, $scope) = @_;
	my ($c) = $g->{rnd}->sample(1, grep { $T{ $_->{type} }{kind} eq 'int' && !$_->{amb} } @$scope);
	return { sql => $c ? "generate_series(0, (abs($c->{sql}::int8) % 3)::int)" : 'unnest(ARRAY[1, 1])', type => 'int4' };
}

# GROUP BY over these key expressions, and columns that tell the sets apart
sub grouping_sets
{
	my ($g, @keys) = @_;
	my $rnd = $g->{rnd};
	my @sql = map { $_->{sql} } @keys;
	my $all = join ', ', @sql;
	my @grouping = map { { sql => "grouping($_)", type => 'int4' } } $rnd->sample($rnd->between(0, 2), @sql);
	my $by = $rnd->pick("ROLLUP ($all)", "CUBE ($all)", "GROUPING SETS (($all), ($sql[-1]), ())",
		"GROUPING SETS (($sql[0]), ($sql[0]), ROLLUP ($all))", "$sql[0], CUBE ($all)", "DISTINCT ROLLUP ($all), ROLLUP ($sql[0])");
	return ($by, @grouping);
}

1;
