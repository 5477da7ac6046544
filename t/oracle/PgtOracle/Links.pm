# Random subqueries in expressions: EXISTS, IN, ANY, ALL, scalars, correlated by
# the tables around them or not.  Methods of PgtOracle::Query.
package PgtOracle::Query;

use strict;
use warnings;
use PgtOracle::Types;

our %T;

# a relation to read inside, whose own changes are maintained
sub _link_relation
{
	my ($self) = @_;
	my @fit = grep { !$_->{full} } @{ $self->{relations} };
	return unless @fit;
	my $rel = $self->{rnd}->pick(@fit);
	my $alias = $self->_alias;
	return { sql => "$rel->{name} $alias", alias => $alias, cols => $rel->{cols} };
}

# conditions that tie inner rows to outer ones; plain: integers, by equality
sub _link_conditions
{
	my ($self, $outer, $inner, $plain) = @_;
	my $rnd = $self->{rnd};
	my @conditions;
	if ($plain)
	{
		my @o = grep { !$_->{amb} && $T{ $_->{type} }{kind} eq 'int' } @$outer;
		my @i = grep { $T{ $_->{type} }{kind} eq 'int' } @$inner;
		if (@o && @i && $rnd->chance(85))
		{
			my $op = $rnd->chance(85) ? '=' : $rnd->pick('<', '<>', 'IS NOT DISTINCT FROM');
			push @conditions, $rnd->pick(@i)->{sql} . " $op " . $rnd->pick(@o)->{sql};
		}
	}
	elsif ($rnd->chance(85))
	{
		my $c = $self->_join_condition($outer, $inner);
		push @conditions, "($c)" if $c;
	}
	push @conditions, $self->predicate($inner) if $rnd->chance(35);
	return @conditions ? ' WHERE ' . join(' AND ', @conditions) : '';
}

# pairs of an outer and an inner column that compare
sub _link_pair
{
	my ($self, $outer, $inner) = @_;
	my @pairs;
	for my $o (@$outer)
	{
		my $t = $T{ $o->{type} };
		next unless $t->{eq} && $t->{sort} && $t->{hash};
		push @pairs, map { [ $o, $_ ] } grep { $T{ $_->{type} }{family} eq $t->{family} && $T{ $_->{type} }{sort} } @$inner;
	}
	my @int = grep { $T{ $_->[0]{type} }{kind} eq 'int' } @pairs;
	return @int && $self->{rnd}->chance(70) ? $self->{rnd}->pick(@int) : @pairs ? $self->{rnd}->pick(@pairs) : undef;
}

sub _link_atom
{
	my ($self, $outer) = @_;
	my $rnd = $self->{rnd};
	my $rel = $self->_link_relation or return;
	my @inner = _scope($rel);
	my $how = $rnd->below(100);
	return 'EXISTS (SELECT 1 FROM ' . $rel->{sql} . $self->_link_conditions($outer, \@inner) . ')' if $how < 35;
	if ($how < 45)
	{
		my @int = grep { $T{ $_->{type} }{kind} eq 'int' } @inner;
		return unless @int;
		return 'EXISTS (SELECT 1 FROM ' . $rel->{sql} . $self->_link_conditions($outer, \@inner, 1)
		  . ' GROUP BY ' . $rnd->pick(@int)->{sql} . ' HAVING count(*) > 1)';
	}
	my $pair = $self->_link_pair($outer, \@inner) or return;
	my ($o, $i) = @$pair;
	if ($how < 52)
	{
		my $second = $self->_link_pair($outer, \@inner);
		return "($o->{sql}, $second->[0]{sql}) " . ($rnd->chance(50) ? 'IN' : 'NOT IN')
		  . " (SELECT $i->{sql}, $second->[1]{sql} FROM $rel->{sql}" . $self->_link_conditions($outer, \@inner) . ')';
	}
	if ($how < 62)
	{
		my $agg = $rnd->pick('min', 'max');
		return unless $T{ $i->{type} }{kind} eq 'int' && $T{ $o->{type} }{kind} eq 'int';
		return "$o->{sql} " . $rnd->pick('=', '<', '>=') . " (SELECT $agg($i->{sql}) FROM $rel->{sql}"
		  . $self->_link_conditions($outer, \@inner, 1) . ')';
	}
	my $op = $rnd->pick('IN', 'IN', 'NOT IN', 'NOT IN', '= ANY', '< ANY', '<> ALL', '>= ALL');
	return "$o->{sql} $op (SELECT $i->{sql} FROM $rel->{sql}" . $self->_link_conditions($outer, \@inner) . ')';
}

# a condition with subqueries in it
sub _link_predicate
{
	my ($self, $scope) = @_;
	my $rnd = $self->{rnd};
	my $sql = $self->_link_atom($scope) or return;
	$sql = "NOT $sql" if $rnd->chance(30);
	my $how = $rnd->below(100);
	return "($sql OR " . $self->predicate($scope) . ')' if $how < 15;
	return "($sql) IS NOT TRUE" if $how < 22;
	my $other = $self->_link_atom($scope);
	return "($sql OR $other)" if $how < 28 && $other;
	return "($sql) AND ($other)" if $how < 36 && $other;
	return "($sql)";
}

# a value from a subquery
sub _link_value
{
	my ($self, $scope) = @_;
	my $rnd = $self->{rnd};
	my $how = $rnd->below(100);
	if ($how < 35)
	{
		my $sql = $self->_link_atom($scope) or return;
		return { sql => "($sql)", type => 'bool' };
	}
	my $rel = $self->_link_relation or return;
	my @inner = _scope($rel);
	my @int = grep { $T{ $_->{type} }{kind} eq 'int' } @inner;
	my $from = "FROM $rel->{sql}" . $self->_link_conditions($scope, \@inner, 1);
	return { sql => "(SELECT count(*) $from)", type => 'int8' } if $how < 55 || !@int;
	my $c = $rnd->pick(@int);
	return { sql => "(SELECT sum($c->{sql}::int4 % 100) $from)", type => 'int8' } if $how < 65;
	return { sql => "(SELECT $c->{sql}::int8 $from ORDER BY $c->{sql} LIMIT 1)", type => 'int8' } if $how < 80;
	return { sql => '(SELECT ' . $rnd->pick('min', 'max') . "($c->{sql}::int8) $from)", type => 'int8' };
}

# what stands after LATERAL: a subquery of FROM that speaks of those before it
sub _lateral
{
	my ($self, $outer) = @_;
	my $rnd = $self->{rnd};
	my $rel = $self->_link_relation or return;
	my @inner = _scope($rel);
	my @int = grep { $T{ $_->{type} }{kind} eq 'int' } @inner;
	my $alias = $self->_alias;
	my $from = "FROM $rel->{sql}" . $self->_link_conditions($outer, \@inner, 1);
	my ($list, $tail, @cols) = ('', '');
	my $how = @int ? $rnd->below(100) : 0;
	if ($how < 45)
	{
		my @some = $rnd->sample(2, @{ $rel->{cols} });
		my $n = 0;
		@cols = map { { name => 'x' . ++$n, type => $_->{type}, amb => $_->{amb} } } @some;
		$n = 0;
		$list = join ', ', map { "$rel->{alias}.$_->{name} AS x" . ++$n } @some;
	}
	elsif ($how < 75)
	{
		$list = "count(*) AS x1, max($int[0]{sql}::int8) AS x2";
		@cols = ({ name => 'x1', type => 'int8' }, { name => 'x2', type => 'int8' });
	}
	else
	{
		$list = "$int[0]{sql}::int8 AS x1";
		$tail = " ORDER BY $int[0]{sql} LIMIT " . $rnd->pick(1, 1, 2);
		@cols = ({ name => 'x1', type => 'int8' });
	}
	my $sub = "LATERAL (SELECT $list $from$tail) $alias";
	return { sql => $rnd->chance(50) ? "CROSS JOIN $sub" : "LEFT JOIN $sub ON true", alias => $alias, cols => \@cols };
}

1;
