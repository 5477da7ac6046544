# Random queries of the shapes that are maintained differentially.
#
# A query is { sql, cols => [{ name, type, amb }], float, full }:
#   amb    the column may show any of several equal values, so it may only be
#          used where equal values do the same, and is compared by value;
#   float  some aggregate sums floats: compare with explain_st's full_query;
#   full   the shape is not differential (yet): only the result is asserted.
package PgtOracle::Query;

use strict;
use warnings;
use PgtOracle::Links;
use PgtOracle::Ordered;
use PgtOracle::Sets;
use PgtOracle::Types;

*T = \%PgtOracle::Types::T;
our %T;

sub new
{
	my ($class, $rnd, $schema, %opt) = @_;
	my $self = bless { rnd => $rnd, relations => [], alias => 0, hazard => 0, %opt }, $class;
	$self->add_relation($_->{name}, [ map { { %$_ } } @{ $_->{cols} } ], only => $_->{only})
	  for $schema->tables;
	return $self;
}

# a table, view or stream table that later queries may read
sub add_relation
{
	my ($self, $name, $cols, %opt) = @_;
	push @{ $self->{relations} }, { name => $name, cols => $cols, %opt };
	return;
}

sub _alias { my ($self) = @_; return 'r' . ++$self->{alias}; }

#
# Expressions.  A scope is a list of { sql, type, amb }.
#

sub _of
{
	my ($scope, $test) = @_;
	return grep { $test->($T{ $_->{type} }, $_) } @$scope;
}

# never a sub-select: that would be another shape of query
sub _lit { my ($self, $type) = @_; return PgtOracle::Types::literal($self->{rnd}, $type, 0, 1); }

sub _same
{
	my ($self, $scope, $col) = @_;
	my $f = $T{ $col->{type} }{family};
	return grep { $T{ $_->{type} }{family} eq $f } @$scope;
}

sub predicate
{
	my ($self, $scope, $depth) = @_;
	my $rnd = $self->{rnd};
	$depth //= 0;
	if ($depth < 2 && $rnd->chance(25))
	{
		my $op = $rnd->pick(qw(AND OR));
		my $sql = '(' . $self->predicate($scope, $depth + 1) . " $op " . $self->predicate($scope, $depth + 1) . ')';
		return $rnd->chance(15) ? "NOT $sql" : $sql;
	}
	my $col = $rnd->pick(@$scope);
	my $t = $T{ $col->{type} };
	my $c = $col->{sql};
	my $how = $rnd->below(100);
	return "($c IS " . $rnd->pick('NULL', 'NOT NULL', 'NOT NULL') . ')' if !$t->{eq} || $how < 12;
	return $how < 50 ? $c : "($c IS " . $rnd->pick(qw(TRUE FALSE UNKNOWN)) . ')' if $t->{kind} eq 'bool' && $how < 60;
	return "($c = " . $self->_lit($col->{type}) . ')' unless $t->{sort};
	return "($c LIKE " . $rnd->pick("'a%'", "'%b'", "'_'") . ')' if $t->{kind} eq 'text' && $how < 25;
	if ($how < 40)
	{
		my $other = $rnd->pick($self->_same($scope, $col));
		return "($c " . $rnd->pick('=', '<>', '<=', 'IS DISTINCT FROM') . " $other->{sql})";
	}
	return "($c IN (" . join(', ', map { $self->_lit($col->{type}) } 1 .. 3) . '))' if $how < 55;
	return "($c BETWEEN SYMMETRIC " . $self->_lit($col->{type}) . ' AND ' . $self->_lit($col->{type}) . ')' if $how < 62;
	return "(NULLIF($c, " . $self->_lit($col->{type}) . ') IS NOT NULL)' if $how < 66;
	return "($c " . $rnd->pick('=', '<>', '<', '>=', '>', '<=') . ' ' . $self->_lit($col->{type}) . ')';
}

# one expression over the scope; ambiguous columns are only passed on
sub expression
{
	my ($self, $scope) = @_;
	my $rnd = $self->{rnd};
	my $col = $rnd->pick(@$scope);
	return $col if $col->{amb} || $rnd->chance(45);
	my $c = $col->{sql};
	my $t = $T{ $col->{type} };
	my $kind = $t->{kind};
	my @clear = grep { !$_->{amb} } @$scope;
	my $how = $rnd->below(100);

	return { sql => "($c IS NULL)", type => 'bool' } if $how < 6;
	return { sql => "CASE WHEN " . $self->predicate($scope) . " THEN $c END", type => $col->{type} } if $how < 16;
	return { sql => "COALESCE($c, " . $self->_lit($col->{type}) . ')', type => $col->{type} } if $how < 26;
	return { sql => "($c)::text", type => 'text' } if $how < 34 && $kind =~ /^(int|numeric|float|bool|json|jsonb|enum|uuid|array|composite|bytea)$/;
	if ($how < 40 && $t->{sort})
	{
		my $o = $rnd->pick(grep { $_->{type} eq $col->{type} } @clear);
		return { sql => $rnd->pick(qw(GREATEST LEAST)) . "($c, $o->{sql})", type => $col->{type},
			amb => !$t->{image} };
	}
	return { sql => "NULLIF($c, " . $self->_lit($col->{type}) . ')', type => $col->{type} } if $how < 45 && $t->{eq} && $t->{sort};
	if ($kind eq 'int')
	{
		my ($o) = $rnd->sample(1, grep { $T{ $_->{type} }{kind} eq 'int' } @clear);
		return { sql => "(${c}::int8 / NULLIF($o->{sql}::int8, 0))", type => 'int8' } if $how < 52;
		return { sql => "(${c}::int8 / $o->{sql}::int8)", type => 'int8' } if $self->{hazard} && $how < 70;
		return { sql => '(' . $c . '::int8 ' . $rnd->pick('+', '-') . " $o->{sql}::int8)", type => 'int8' } if $how < 70;
		return { sql => "(${c}::numeric * 1.50)", type => 'numeric' } if $how < 78;
		return { sql => "twice(${c}::int8)", type => 'int8' } if $how < 84;
		return { sql => "(${c}::int8 % 3)", type => 'int8' } if $how < 92;
		return { sql => "abs(${c}::int8)", type => 'int8' };
	}
	return { sql => $rnd->pick("round($c, 1)", "($c + 0.5)", "abs($c)", "trunc($c)"), type => 'numeric' } if $kind eq 'numeric';
	return { sql => $rnd->pick("(${c}::float8 + 0.5)", "(-${c}::float8)", "floor(${c}::float8)"), type => 'float8' } if $kind eq 'float';
	return { sql => $rnd->pick("upper($c)", "($c || '-x')", "left($c, 2)", "md5($c)"), type => 'text' } if $kind eq 'text';
	return { sql => "length($c)", type => 'int4' } if $kind eq 'char';
	return { sql => "(NOT $c)", type => 'bool' } if $kind eq 'bool';
	return { sql => "($c + 1)", type => 'date' } if $kind eq 'date';
	return { sql => "date_trunc('month', $c)", type => 'timestamp' } if $kind eq 'timestamp';
	return { sql => "($c -> 'a')", type => 'jsonb' } if $kind eq 'jsonb';
	return { sql => "($c ->> 'a')", type => 'text' } if $kind eq 'json' && $how < 60;
	return { sql => "cardinality($c)", type => 'int4' } if $kind eq 'array';
	return { sql => "(($c).a)", type => 'int4' } if $kind eq 'composite';
	return { sql => "isempty($c)", type => 'bool' } if $kind eq 'range';
	return { sql => "($c)[0]", type => 'float8' } if $kind eq 'point';
	return $col;
}

#
# FROM
#

sub _relation
{
	my ($self, $depth, $state) = @_;
	my $rnd = $self->{rnd};
	my $alias = $self->_alias;
	if ($depth > 0 && $rnd->chance(25))
	{
		my $q = $rnd->chance(20) ? PgtOracle::Sets::set_operation($self, 0) : $self->select($depth - 1);
		$state->{$_} ||= $q->{$_} for qw(float full);
		return { sql => "($q->{sql}) $alias", alias => $alias, cols => $q->{cols} };
	}
	my @ctes = @{ $self->{ctes} // [] };
	my $rel = @ctes && $rnd->chance(60) ? $rnd->pick(@ctes) : $rnd->pick(@{ $self->{relations} });
	my $only = $rel->{only} && $rnd->chance(15) ? 'ONLY ' : '';
	$state->{full} = 1 if $only;
	$state->{full} = 1 if $rel->{full};
	return { sql => "$only$rel->{name} $alias", alias => $alias, cols => $rel->{cols} };
}

sub _scope
{
	my ($rel) = @_;
	return map { { sql => "$rel->{alias}.$_->{name}", type => $_->{type}, amb => $_->{amb}, key => $_->{key} } } @{ $rel->{cols} };
}

sub _join_condition
{
	my ($self, $left, $right) = @_;
	my $rnd = $self->{rnd};
	my @pairs;
	for my $l (@$left)
	{
		my $lt = $T{ $l->{type} };
		next unless $lt->{eq} && $lt->{sort} && $lt->{hash};
		push @pairs, map { [ $l, $_ ] } grep { $T{ $_->{type} }{family} eq $lt->{family} && $T{ $_->{type} }{sort} } @$right;
	}
	return unless @pairs;
	my @int = grep { $T{ $_->[0]{type} }{kind} eq 'int' } @pairs;
	my ($l, $r) = @{ @int && $rnd->chance(60) ? $rnd->pick(@int) : $rnd->pick(@pairs) };
	my $op = $rnd->chance(80) ? '=' : $rnd->pick('IS NOT DISTINCT FROM', '<', '>=', '<>');
	my $sql = $rnd->chance(50) ? "$l->{sql} $op $r->{sql}" : "$r->{sql} $op $l->{sql}";
	$sql = "$l->{sql} IS NOT DISTINCT FROM $r->{sql}" if $op =~ /^IS/;
	$sql .= ' AND ' . $self->predicate([ @$left, @$right ]) if $rnd->chance(20);
	$sql = "($sql OR $l->{sql} IS NULL)" if $rnd->chance(4);
	return $sql;
}

# columns that both sides have exactly once: what NATURAL and USING merge
sub _common
{
	my ($left, $right) = @_;
	my (%l, %r);
	$l{ $_->{name} }++ for @$left;
	$r{ $_->{name} }++ for @$right;
	return grep { ($l{$_} // 0) == 1 && $r{$_} == 1 } sort keys %r;
}

# returns sql and the scope
sub _from
{
	my ($self, $depth, $state) = @_;
	my $rnd = $self->{rnd};
	my $n = $rnd->pick(1, 1, 1, 2, 2, 2, 2, 3, 3, 4);
	my $first = $self->_relation($depth, $state);
	my $sql = $first->{sql};
	my @scope = _scope($first);
	my @names = map { { %$_ } } @{ $first->{cols} };

	for my $i (2 .. $n)
	{
		my $rel = $i == 2 && $rnd->chance(20) && $first->{sql} !~ /^\(/
		  ? do { my $a = $self->_alias; { sql => ($first->{sql} =~ s/ \S+$/ $a/r), alias => $a, cols => $first->{cols} } }
		  : $self->_relation($depth, $state);
		my @right = _scope($rel);
		my $how = $rnd->below(100);
		my @common = _common(\@names, $rel->{cols});
		my $cond = $self->_join_condition(\@scope, \@right);

		if ($how < 14 && $i == 2 && @common
			&& !grep { my $n = $_; my ($l) = grep { $_->{name} eq $n } @names; my ($r) = grep { $_->{name} eq $n } @{ $rel->{cols} };
				$T{ $l->{type} }{family} ne $T{ $r->{type} }{family} || !$T{ $l->{type} }{sort} || !$T{ $l->{type} }{hash} } @common)
		{
			my ($name) = $rnd->sample(1, @common);
			my $left_type = (grep { $_->{name} eq $name } @names)[0]{type};
			my $natural = $rnd->chance(50) || @common > 1;
			$sql = $natural ? "$sql NATURAL JOIN $rel->{sql}" : "$sql JOIN $rel->{sql} USING ($name)";
			# the merged column, unqualified: only where it is the whole scope's own
			push @scope, @right;
			push @scope, { sql => $name, type => $left_type, amb => 1 } if $n == 2;
			next;
		}
		my $op = 'JOIN';
		if ($rnd->chance(22))
		{
			$op = $rnd->pick('LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN');
			if ($op eq 'FULL JOIN') { ($cond) = ($cond // '') =~ /^(\S+ = \S+)$/ ? $1 : undef; }
			$op = 'JOIN' unless $cond;
		}
		$state->{big} = 1 unless $cond && $cond =~ /=/;
		if (!$cond || $how >= 90 && $n <= 2) { $sql .= " CROSS JOIN $rel->{sql}"; }
		elsif ($how >= 75 && $op eq 'JOIN' && $i == $n) { $sql .= ", $rel->{sql}"; $state->{where} = $cond; }
		else { $sql .= " $op $rel->{sql} ON $cond"; }
		push @scope, @right;
		push @names, @{ $rel->{cols} };
	}
	if ($rnd->chance(10))
	{
		my ($item, @cols) = PgtOracle::Sets::from_item($self, \@scope, $sql !~ /,/);
		if (defined $item) { $sql .= $item; push @scope, @cols; }
	}
	# not after a comma, whose left side it could not speak of; some are refused
	my $lateral = $sql !~ /, / && $rnd->chance(8) ? $self->_lateral(\@scope) : undef;
	if ($lateral)
	{
		$sql .= " $lateral->{sql}";
		$state->{full} = 1;
		push @scope, _scope($lateral);
	}
	return ($sql, @scope);
}

#
# Aggregates
#

sub _ordered { my ($c) = @_; return "$c->{sql}::text COLLATE \"C\""; }

sub _aggregate
{
	my ($self, $scope, $state) = @_;
	my $rnd = $self->{rnd};
	return { sql => 'count(*)', type => 'int8' } if $rnd->chance(15);
	my $c = $rnd->pick(@$scope);
	my $x = $c->{sql};
	my $t = $T{ $c->{type} };
	my $kind = $t->{kind};
	my $how = $rnd->below(100);
	my $amb = $c->{amb} || !$t->{image};

	if ($rnd->chance(4))
	{
		# a group's values together, in any order: only its size is asserted
		return { sql => "length(string_agg('x', ''))", type => 'int4' };
	}
	return { sql => "count($x)", type => 'int8' } if $how < 12;
	return { sql => "count(DISTINCT $x)", type => 'int8' } if $how < 20 && $t->{sort};
	return { sql => "ucnt($x)", type => 'int8' } if $how < 24;
	if ($how < 34 && $kind =~ /^(int|numeric|float|money|text|char|date|timestamp|timestamptz|interval|enum|inet|time|array)$/ && $kind ne 'ci')
	{
		return { sql => $rnd->pick(qw(min max)) . "($x)", type => $kind =~ /^(text|char)$/ ? ($kind eq 'char' ? $c->{type} : 'text') : $c->{type}, amb => $amb };
	}
	if ($how < 40 && $t->{sort} && $kind ne 'ci')
	{
		my $f = $rnd->pick("percentile_disc(0.5) WITHIN GROUP (ORDER BY $x)", "mode() WITHIN GROUP (ORDER BY $x)");
		return { sql => $f, type => $c->{type}, amb => $amb };
	}
	if (!$c->{amb} && $how < 52)
	{
		return { sql => "string_agg(" . ($rnd->chance(40) ? 'DISTINCT ' : '') . "$x\::text COLLATE \"C\", ',' ORDER BY " . _ordered($c) . ')', type => 'text' }
		  if $how < 44 && $kind !~ /^(timestamptz)$/;
		return { sql => "array_agg($x ORDER BY " . _ordered($c) . ')', type => "$c->{type}\[\]" } if $how < 48 && $c->{type} =~ /^(int4|text|numeric)$/;
		return { sql => "jsonb_agg($x ORDER BY " . _ordered($c) . ')', type => 'jsonb' } if $how < 50 && $kind =~ /^(int|text|bool|numeric)$/;
		return { sql => "json_agg($x ORDER BY " . _ordered($c) . ')', type => 'json' } if $kind =~ /^(int|text|bool)$/;
	}
	if ($kind eq 'int')
	{
		my $wide = $c->{type} eq 'int8' ? 'numeric' : 'int8';
		return { sql => "sum(DISTINCT $x)", type => $wide } if $how < 56;
		return { sql => "bit_" . $rnd->pick(qw(and or xor)) . "($x)", type => $c->{type} eq 'd_int' ? 'int4' : $c->{type} } if $how < 62;
		return { sql => "usum($x\::int8)", type => 'int8' } if $how < 66;
		return { sql => "uxor($x\::int8)", type => 'int8' } if $how < 69;
		return { sql => "rank(2) WITHIN GROUP (ORDER BY $x)", type => 'int8' } if $how < 71 && $c->{type} eq 'int4';
		return { sql => "sum($x)", type => $wide } if $how < 85;
		return { sql => $rnd->pick(qw(avg stddev variance stddev_pop var_pop var_samp)) . "($x)", type => 'numeric' };
	}
	if ($kind eq 'numeric')
	{
		return { sql => "sum(DISTINCT $x)", type => 'numeric', amb => $amb } if $how < 56;
		return { sql => "sum($x)", type => 'numeric', amb => $c->{amb} } if $how < 80 || $c->{amb};
		return { sql => $rnd->pick(qw(avg stddev variance stddev_pop var_pop)) . "($x)", type => 'numeric' };
	}
	if ($kind eq 'float')
	{
		$state->{float} = 1;
		return { sql => "sum($x)", type => $c->{type}, amb => $c->{amb} } if $how < 75 || $c->{amb};
		return { sql => $rnd->pick(qw(avg stddev variance stddev_pop var_pop var_samp)) . "($x)", type => 'float8' } if $how < 90;
		my ($o) = $rnd->sample(1, grep { !$_->{amb} && $T{ $_->{type} }{kind} =~ /^(int|float)$/ } @$scope);
		return { sql => $rnd->pick(qw(corr covar_pop covar_samp regr_slope regr_avgx regr_count regr_r2 regr_sxy)) . "($x\::float8, $o->{sql}\::float8)", type => 'float8' };
	}
	return { sql => $rnd->pick(qw(bool_and bool_or every)) . "($x)", type => 'bool' } if $kind eq 'bool';
	return { sql => "sum($x)", type => 'interval', amb => $c->{amb} } if $kind eq 'interval';
	return { sql => "sum($x)", type => 'money' } if $kind eq 'money';
	return { sql => "range_agg($x)::text", type => 'text' } if $c->{type} eq 'int4range';
	return { sql => "count($x)", type => 'int8' };
}

sub _filtered
{
	my ($self, $scope, $state) = @_;
	my $agg = $self->_aggregate($scope, $state);
	return $agg if $agg->{sql} =~ /::text$|^length/ || !$self->{rnd}->chance(18);
	return { %$agg, sql => "$agg->{sql} FILTER (WHERE " . $self->predicate($scope) . ')' };
}

#
# SELECT
#

sub _named
{
	my ($self, @exprs) = @_;
	my (@targets, @cols);
	my $n = 0;
	for my $e (@exprs)
	{
		my $name = $self->{rnd}->chance(5) ? "\"C $n.x\"" : 'c' . ++$n;
		$name = 'c' . ++$n if grep { $_->{name} eq $name } @cols;
		push @targets, "$e->{sql} AS $name";
		push @cols, { name => $name, type => $e->{type}, amb => $e->{amb} };
	}
	return (join(', ', @targets), \@cols);
}

sub _groupable
{
	my ($self, @exprs) = @_;
	return grep { my $t = $T{ $_->{type} }; $t && $t->{eq} && $t->{sort} && ($t->{hash} || $self->{rnd}->chance(30)) } @exprs;
}

sub select
{
	my ($self, $depth, %want) = @_;
	my $rnd = $self->{rnd};
	my $state = {};
	local $self->{_} = 1;
	my ($from, @scope) = $self->_from($depth, $state);
	my @where = grep { defined } $state->{where};
	push @where, $self->predicate(\@scope) if $rnd->chance(45);
	push @where, grep { defined } $self->_link_predicate(\@scope) if $rnd->chance(20);
	my $tail = @where ? ' WHERE ' . join(' AND ', @where) : '';
	my $shape = $want{shape} // $rnd->pick(qw(plain plain plain group group group group total distinct distinct window window distinct_on limit));
	my ($sql, $cols);

	if ($shape =~ /^(window|distinct_on|limit)$/)
	{
		($sql, $cols) = PgtOracle::Ordered::select($self, $shape, $from, $tail, @scope);
		$shape = 'plain' unless $sql;
	}
	if ($sql) { }
	elsif ($shape eq 'group')
	{
		my @keys = $self->_groupable(map { $self->expression(\@scope) } 1 .. $rnd->between(1, 3));
		$shape = 'total' unless @keys;
		$_->{amb} ||= !$T{ $_->{type} }{image} for @keys = map { { %$_ } } @keys;
		my @aggs = map { $self->_filtered(\@scope, $state) } 1 .. $rnd->between(1, 5);
		my @out = $rnd->sample($rnd->chance(80) ? 9 : 1, @keys, ());
		my @shown = ($rnd->sample(scalar(@out), @out), @aggs);
		my ($by, @grouping);
		($by, @grouping) = PgtOracle::Sets::grouping_sets($self, @keys) if @keys && $rnd->chance(12);
		push @shown, @grouping;
		push @shown, { sql => "COALESCE($aggs[0]{sql}, NULL)", type => $aggs[0]{type}, amb => $aggs[0]{amb} } if $rnd->chance(10);
		push @shown, { sql => "(count(*) > 1)", type => 'bool' } if $rnd->chance(10);
		push @shown, { sql => "(sum(1) * 10 + count(*))", type => 'int8' } if $rnd->chance(10);
		(my $targets, $cols) = $self->_named(@shown);
		$sql = "SELECT $targets FROM $from$tail";
		$sql .= ' GROUP BY ' . ($by // join ', ', map { $_->{sql} } @keys) if @keys;
		$sql .= ' HAVING ' . $rnd->pick('count(*) > 1', 'count(*) < 3', "count(*) FILTER (WHERE " . $self->predicate(\@scope) . ') > 0', 'min(1) = 1')
		  if $rnd->chance(25);
	}
	elsif ($shape eq 'total')
	{
		my @aggs = map { $self->_filtered(\@scope, $state) } 1 .. $rnd->between(1, 5);
		(my $targets, $cols) = $self->_named(@aggs);
		$sql = "SELECT $targets FROM $from$tail";
		$sql .= ' HAVING count(*) <> 2' if $rnd->chance(10);
	}
	elsif ($shape eq 'distinct')
	{
		my @exprs = $self->_groupable(map { $self->expression(\@scope) } 1 .. $rnd->between(1, 4));
		@exprs = ({ sql => '1', type => 'int4' }) unless @exprs;
		$_->{amb} ||= !$T{ $_->{type} }{image} for @exprs = map { { %$_ } } @exprs;
		(my $targets, $cols) = $self->_named(@exprs);
		$sql = "SELECT DISTINCT $targets FROM $from$tail";
	}
	else
	{
		my @exprs = map { $self->expression(\@scope) } 1 .. $rnd->between(1, 6);
		push @exprs, grep { defined } $self->_link_value(\@scope) if $rnd->chance(15);
		push @exprs, map { $_ } grep { $_->{key} && $rnd->chance(60) } @scope;
		@exprs = ({ sql => "'const'::text", type => 'text' }) if $rnd->chance(3);
		push @exprs, map { PgtOracle::Sets::srf($self, \@scope) } 1 .. $rnd->between(1, 2) if $rnd->chance(6);
		(my $targets, $cols) = $self->_named(@exprs);
		$sql = "SELECT $targets FROM $from$tail";
	}
	# a type made by an aggregate that the table of types does not have: as text
	for my $c (grep { !$T{ $_->{type} } } @$cols) { die "unknown type $c->{type} in $sql"; }
	return { sql => $sql, cols => $cols, float => $state->{float}, full => $state->{full}, big => $state->{big} };
}

# branches of a UNION ALL: each a select wrapped to the same columns
sub _union_all
{
	my ($self, $depth) = @_;
	my $rnd = $self->{rnd};
	my @types = map { $rnd->pick(qw(int8 text numeric bool)) } 1 .. $rnd->between(1, 3);
	my (@branches, %state);
	my @amb = (0) x @types;
	for (1 .. $rnd->between(2, 3))
	{
		my $q = $self->select($depth - 1);
		$state{$_} ||= $q->{$_} for qw(float full big);
		my $a = $self->_alias;
		my @out;
		for my $i (0 .. $#types)
		{
			my $type = $types[$i];
			my ($c) = $rnd->sample(1, grep { $_->{type} eq $type && !$_->{amb} } @{ $q->{cols} });
			push @out, $c ? "$a.$c->{name}" : $self->_lit($type);
		}
		push @branches, "SELECT " . join(', ', @out) . " FROM ($q->{sql}) $a";
	}
	my $alias = $self->_alias;
	my $n = 0;
	my @cols = map { { name => 'u' . ++$n, type => $_ } } @types;
	my $first = 0;
	$branches[0] =~ s/^SELECT (.*?) FROM \(/"SELECT $1 FROM ("/e;
	my $names = join ', ', map { $_->{name} } @cols;
	my $sql = "SELECT $names FROM (" . join(' UNION ALL ', @branches) . ") $alias($names)";
	return { sql => $sql, cols => \@cols, %state };
}

# aggregates joined to a table: the nested shape
sub _nested
{
	my ($self) = @_;
	my $rnd = $self->{rnd};
	my $rel = $rnd->pick(@{ $self->{relations} });
	my @keys = grep { $T{ $_->{type} }{kind} eq 'int' && !$_->{amb} } @{ $rel->{cols} };
	return $self->select(2) unless @keys;
	my $k = $rnd->pick(@keys);
	my ($a, $b) = ($self->_alias, $self->_alias);
	my $state = { full => $rel->{full} };
	my $agg = $self->_filtered([ _scope({ alias => $a, cols => $rel->{cols} }) ], $state);
	my $other = $rnd->pick(@{ $self->{relations} });
	my @match = grep { $T{ $_->{type} }{kind} eq 'int' } @{ $other->{cols} };
	return $self->select(2) unless @match;
	my $m = $rnd->pick(@match);
	my @scope = (_scope({ alias => $b, cols => $other->{cols} }), { sql => 'n.total', type => $agg->{type}, amb => $agg->{amb} });
	my @exprs = map { $self->expression(\@scope) } 1 .. $rnd->between(1, 3);
	my ($targets, $cols) = $self->_named(@exprs, $scope[-1]);
	my $sql = "SELECT $targets FROM $other->{name} $b JOIN (SELECT $a.$k->{name} AS nk, $agg->{sql} AS total FROM $rel->{name} $a"
	  . " GROUP BY $a.$k->{name}) n ON n.nk = $b.$m->{name}";
	return { sql => $sql, cols => $cols, float => $state->{float}, full => $state->{full} || $other->{full} };
}

sub _with
{
	my ($self) = @_;
	my $rnd = $self->{rnd};
	my %state;
	my $c = $self->select(1);
	local $self->{ctes} = [ { name => 'cte', cols => $c->{cols} } ];
	my $q = $self->select(0);
	$state{$_} = $c->{$_} || $q->{$_} for qw(float full big);
	my $mat = $rnd->pick('', '', 'MATERIALIZED ', 'NOT MATERIALIZED ');
	return { sql => "WITH cte AS $mat($c->{sql}) $q->{sql}", cols => $q->{cols}, %state };
}

# shapes that are not differential: they run as FULL
sub _full
{
	my ($self) = @_;
	my $rnd = $self->{rnd};
	my $rel = $rnd->pick(@{ $self->{relations} });
	my @sortable = grep { $T{ $_->{type} }{sort} && $T{ $_->{type} }{image} && !$_->{amb} } @{ $rel->{cols} };
	return $self->select(1) unless @sortable;
	my $c = $rnd->pick(@sortable);
	my $other = $rnd->pick(@{ $self->{relations} });
	my $sql = $rnd->pick(
		"SELECT $c->{name} AS c1, 1::int8 AS c2 FROM $rel->{name} WHERE EXISTS (SELECT 1 FROM $other->{name})",
		"SELECT $c->{name} AS c1, (SELECT count(*) FROM $other->{name}) AS c2 FROM $rel->{name}");
	return { sql => $sql, full => 1, cols => [ { name => 'c1', type => $c->{type} }, { name => 'c2', type => 'int8' } ] };
}

sub query
{
	my ($self, %opt) = @_;
	my $how = $self->{rnd}->below(100);
	return $self->select(1) if $how < 50;
	return $self->select(2) if $how < 56;
	return PgtOracle::Sets::set_operation($self, $self->{rnd}->chance(20) ? 1 : 0) if $how < 64;
	return $self->_union_all(1) if $how < 76;
	return $self->_nested if $how < 86;
	return PgtOracle::Sets::recursive($self) if $how < 89;
	return $self->_with if $how < 95 || $opt{view};
	return $self->_full;
}

1;
