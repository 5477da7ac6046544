# Random queries whose result depends on an order: window functions, DISTINCT
# ON, ORDER BY with LIMIT.
#
# The order is total over the columns shown: sorted last by all of them as text
# under COLLATE "C", so the result is determined as a multiset of images,
# whatever peers there are.
package PgtOracle::Ordered;

use strict;
use warnings;
use PgtOracle::Types;

*T = \%PgtOracle::Types::T;
our %T;

# columns whose text tells their images apart
sub _usable
{
	my (@scope) = @_;
	return grep { !$_->{amb} && $T{ $_->{type} }{kind} =~ /^(int|numeric|float|bool|text|date|enum|uuid|array|bytea|json|jsonb)$/ } @scope;
}

sub _as_text { my ($c) = @_; return "($c->{sql})::text COLLATE \"C\""; }

sub _direction { my ($rnd) = @_; return $rnd->pick('', '', ' DESC', ' NULLS FIRST', ' DESC NULLS LAST', ' ASC NULLS LAST'); }

sub _total
{
	my ($rnd, @columns) = @_;
	return join ', ', map { _as_text($_) . _direction($rnd) } @columns;
}

sub _sortable { return grep { $T{ $_->{type} }{sort} } @_; }

# some columns, fewer than ordered totally: peers are likely
sub _partial
{
	my ($rnd, @columns) = @_;
	my @some = $rnd->sample($rnd->between(1, 2), _sortable(@columns));
	return join ', ', map { $_->{sql} . _direction($rnd) } @some;
}

sub _partition
{
	my ($rnd, @columns) = @_;
	my @keys = $rnd->sample($rnd->pick(0, 1, 1, 1, 2), grep { $T{ $_->{type} }{hash} } _sortable(@columns));
	return '' unless @keys;
	return 'PARTITION BY ' . join(', ', map { $_->{sql} } @keys) . ' ';
}

sub _frame
{
	my ($rnd, $total) = @_;
	return '' if $rnd->chance(40);
	my $unit = $total ? $rnd->pick(qw(ROWS ROWS GROUPS RANGE)) : $rnd->pick(qw(GROUPS RANGE));
	my @start = ('UNBOUNDED PRECEDING', 'CURRENT ROW');
	my @end = ('CURRENT ROW', 'UNBOUNDED FOLLOWING');
	if ($unit ne 'RANGE')
	{
		push @start, $rnd->between(0, 3) . ' PRECEDING', $rnd->between(0, 2) . ' FOLLOWING';
		push @end, $rnd->between(0, 3) . ' FOLLOWING';
	}
	my $start = $rnd->pick(@start);
	my $end = $start =~ /^\d+ FOLLOWING/ ? 'UNBOUNDED FOLLOWING' : $rnd->pick(@end);
	my $exclude = $rnd->pick('', '', '', ' EXCLUDE CURRENT ROW', ' EXCLUDE GROUP', ' EXCLUDE TIES', ' EXCLUDE NO OTHERS');
	$exclude = '' if !$total && $exclude =~ /CURRENT ROW|TIES/;
	return " $unit BETWEEN $start AND $end$exclude";
}

# functions that need to know which row comes first
sub _positional
{
	my ($rnd, @columns) = @_;
	my $c = $rnd->pick(@columns);
	my $n = $rnd->between(1, 3);
	return $rnd->pick(
		{ sql => 'row_number()', type => 'int8' },
		{ sql => "ntile($n)", type => 'int4' },
		{ sql => 'rank()', type => 'int8' },
		{ sql => "lag($c->{sql}, $n)", type => $c->{type} },
		{ sql => "lead($c->{sql})", type => $c->{type} },
		{ sql => "first_value($c->{sql})", type => $c->{type} },
		{ sql => "last_value($c->{sql})", type => $c->{type} },
		{ sql => "nth_value($c->{sql}, $n)", type => $c->{type} });
}

# functions for which peers are alike
sub _blind
{
	my ($rnd, $query, @columns) = @_;
	my @int = grep { $T{ $_->{type} }{kind} eq 'int' } @columns;
	my $c = $rnd->pick(@columns);
	my @f = (
		{ sql => 'rank()', type => 'int8' },
		{ sql => 'dense_rank()', type => 'int8' },
		{ sql => 'cume_dist()', type => 'float8' },
		{ sql => 'percent_rank()', type => 'float8' },
		{ sql => 'count(*)', type => 'int8', agg => 1 },
		{ sql => "count($c->{sql})", type => 'int8', agg => 1 });
	if (@int)
	{
		my $i = $rnd->pick(@int);
		push @f, map { { sql => "$_($i->{sql}::int8)", type => $_ eq 'sum' ? 'numeric' : 'int8', agg => 1 } } qw(sum min max sum);
	}
	my $f = { %{ $rnd->pick(@f) } };
	$f->{sql} .= ' FILTER (WHERE ' . $query->predicate(\@columns) . ')' if $f->{agg} && $rnd->chance(25);
	return $f;
}

# A window function over the columns.  Rows alike in all of them may be numbered
# by one window only: how two would pair their numbers is not determined.
sub _window
{
	my ($query, $numbers, @columns) = @_;
	my $rnd = $query->{rnd};
	my $partition = _partition($rnd, @columns);
	my $total = $numbers && ($rnd->chance(55) || !_sortable(@columns));
	return { sql => "count(*) OVER ($partition)", type => 'int8' } unless $total || _sortable(@columns);
	my $f = $total && $rnd->chance(60) ? _positional($rnd, @columns) : _blind($rnd, $query, @columns);
	my $order = 'ORDER BY ' . ($total ? _total($rnd, @columns) : _partial($rnd, @columns));
	$order = '' if $f->{agg} && $rnd->chance(25);
	my $frame = $order ne '' ? _frame($rnd, $total) : '';
	my $sql = "$f->{sql} OVER ($partition$order$frame)";
	return { sql => "COALESCE($sql, -1)", type => 'int8' } if $f->{type} eq 'int8' && $rnd->chance(15);
	return { sql => "CASE WHEN $sql > 1 THEN 'more' ELSE 'one' END", type => 'text' } if $f->{type} eq 'int8' && $rnd->chance(10);
	return { sql => $sql, type => $f->{type} };
}

# SELECT over FROM and WHERE as given, or undef where the scope has nothing fit
sub select
{
	my ($query, $shape, $from, $tail, @scope) = @_;
	my $rnd = $query->{rnd};
	my @columns = $rnd->sample($rnd->between(1, 4), _usable(@scope));
	return unless @columns;
	if ($shape eq 'window')
	{
		my @windows = map { _window($query, $_ == 1, @columns) } 1 .. $rnd->pick(1, 1, 1, 2, 3);
		my ($targets, $cols) = $query->_named($rnd->sample(9, @columns), @windows);
		return ("SELECT $targets FROM $from$tail", $cols);
	}
	my ($targets, $cols) = $query->_named(@columns);
	if ($shape eq 'distinct_on')
	{
		my @keys = $rnd->sample($rnd->between(1, 2), grep { $T{ $_->{type} }{hash} } _sortable(@scope));
		@keys = grep { !$_->{amb} } @keys;
		return unless @keys;
		my $on = join ', ', map { $_->{sql} } @keys;
		return ("SELECT DISTINCT ON ($on) $targets FROM $from$tail ORDER BY " . join(', ', map { $_->{sql} . _direction($rnd) } @keys)
			  . ', ' . _total($rnd, @columns), $cols);
	}
	my $limit = $rnd->pick(0, 1, 1, 2, 3, 3, 5, 8);
	my $partial = _sortable(@columns) ? _partial($rnd, @columns) : '';
	return ("SELECT $targets FROM $from$tail ORDER BY $partial FETCH FIRST $limit ROWS WITH TIES", $cols)
	  if $partial ne '' && $rnd->chance(25);
	my $order = join ', ', grep { $_ ne '' } $rnd->chance(60) ? $partial : '', _total($rnd, @columns);
	my $bounds = $rnd->pick("LIMIT $limit", "LIMIT $limit", "LIMIT $limit OFFSET " . $rnd->between(0, 4), 'OFFSET ' . $rnd->between(0, 4));
	return ("SELECT $targets FROM $from$tail ORDER BY $order $bounds", $cols);
}

1;
