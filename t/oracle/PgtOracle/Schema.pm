# Random tables: the statements that make them and what the other parts must
# know of them.
#
# A table is { name, cols => [{ name, type, gen }], pk => [columns], leaves =>
# [names], parent, insertable }.  Names are ready for SQL (quoted).
package PgtOracle::Schema;

use strict;
use warnings;
use PgtOracle::Types;

# column names shared by the tables, for USING and NATURAL; some are hostile
our @COLUMN_NAMES = (
	qw(k k k g g v v w x y a b),
	'"Select"', '"a.b"', "\"q\"\"uote\"", "\"spa ce\"", "\"\x{e9}t\x{e9}\"",
	'"pgt_w"', '"' . ('l' x 63) . '"', '"oid"', '"action"', '"count"');

sub quote_ident { my ($s) = @_; $s =~ s/"/""/g; return "\"$s\""; }

sub new
{
	my ($class, $rnd, %opt) = @_;
	my $self = bless { rnd => $rnd, tables => [], sql => [], %opt }, $class;
	my $n = $rnd->between(2, 4);
	$self->_make_table($_) for 1 .. $n;
	return $self;
}

sub tables { return @{ $_[0]{tables} }; }
sub sql { return @{ $_[0]{sql} }; }

sub _emit { my ($self, @sql) = @_; push @{ $self->{sql} }, @sql; }

sub _columns
{
	my ($self) = @_;
	my $rnd = $self->{rnd};
	my (%seen, @cols);
	for (1 .. $rnd->between(2, 7))
	{
		my $name = $rnd->pick(@COLUMN_NAMES);
		next if $seen{$name}++;
		my $type =
		    $name eq 'k' ? $rnd->pick(qw(int4 int4 int4 int8 int2))
		  : $name eq 'g' ? $rnd->pick(qw(text text int4 varchar(20)))
		  : PgtOracle::Types::random_type($rnd);
		push @cols, { name => $name, type => $type };
	}
	push @cols, { name => 'v', type => 'int4' } if @cols < 2 && !$seen{v};
	return @cols;
}

sub _make_table
{
	my ($self, $i) = @_;
	my $rnd = $self->{rnd};
	my $name = $rnd->chance(12) ? quote_ident("T $i.\"x\x{fc}") : "t$i";
	my $table = { name => $name, cols => [ $self->_columns ], pk => [], leaves => [] };
	my $form = $rnd->below(100);

	push @{ $self->{tables} }, $table;
	return $self->_partitioned($table, $i) if $form < 12;
	return $self->_inherited($table, $i) if $form < 20;
	$self->_plain($table, $i);
	return;
}

sub _column_sql { my ($c) = @_; return "$c->{name} $c->{type}"; }

sub _plain
{
	my ($self, $table, $i) = @_;
	my $rnd = $self->{rnd};
	my @defs = map { _column_sql($_) } @{ $table->{cols} };
	my (@after, @keys);

	if ($rnd->chance(50))
	{
		unshift @{ $table->{cols} }, { name => 'id', type => 'int4', key => 1 };
		unshift @defs, 'id int4';
		$table->{pk} = ['id'];
		if ($rnd->chance(20) && (my ($c) = grep { $_->{name} eq 'k' } @{ $table->{cols} }))
		{
			$table->{pk} = [ 'id', 'k' ];
		}
		push @keys, 'PRIMARY KEY (' . join(', ', @{ $table->{pk} }) . ')'
		  . ($rnd->chance(30) ? ' DEFERRABLE' : '');
		$table->{deferrable} = 1 if $keys[-1] =~ /DEFERRABLE/;
	}
	my @parents = grep { @{ $_->{pk} } == 1 && !$_->{deferrable} && $_ != $table } $self->tables;
	if (@parents && $rnd->chance(25))
	{
		my $p = $rnd->pick(@parents);
		push @{ $table->{cols} }, { name => 'pid', type => 'int4' };
		push @defs, "pid int4 REFERENCES $p->{name}"
		  . $rnd->pick('', ' ON DELETE CASCADE ON UPDATE CASCADE', ' ON DELETE SET NULL ON UPDATE CASCADE');
		$table->{fk} = $p;
	}
	if ($rnd->chance(12))
	{
		my ($c) = grep { $_->{type} eq 'int4' } @{ $table->{cols} };
		if ($c)
		{
			push @{ $table->{cols} }, { name => 'gen', type => 'int4', gen => 1 };
			push @defs, "gen int4 GENERATED ALWAYS AS (coalesce($c->{name}, 0) * 2) STORED";
		}
	}
	if ($rnd->chance(20))
	{
		splice @defs, $rnd->below(@defs + 1), 0, 'gone text';
		push @after, "ALTER TABLE $table->{name} DROP COLUMN gone";
	}
	$self->_emit("CREATE TABLE $table->{name} (" . join(', ', @defs, @keys) . ')', @after);
	if ($rnd->chance(25))
	{
		my @c = grep { my $t = $PgtOracle::Types::T{ $_->{type} }; $t->{sort} } @{ $table->{cols} };
		my $c = @c ? $rnd->pick(@c) : undef;
		# a long value must fit an index tuple: hash where the type may be long
		$self->_emit("CREATE INDEX ON $table->{name} ("
			  . ($c->{type} eq 'text' ? "left($c->{name}, 20)" : $c->{name}) . ')')
		  if $c;
	}
	return;
}

sub _partitioned
{
	my ($self, $table, $i) = @_;
	my $rnd = $self->{rnd};
	my ($key) = grep { $_->{name} eq 'k' } @{ $table->{cols} };
	my $how = $rnd->pick(qw(LIST RANGE HASH));

	unshift @{ $table->{cols} }, $key = { name => 'k', type => 'int4' } unless $key;
	$self->_emit("CREATE TABLE $table->{name} ("
		  . join(', ', map { _column_sql($_) } @{ $table->{cols} })
		  . ") PARTITION BY $how (k)");
	my @bounds =
	    $how eq 'LIST' ? ('FOR VALUES IN (1, 2)', 'FOR VALUES IN (0, NULL)', 'DEFAULT')
	  : $how eq 'RANGE' ? ('FOR VALUES FROM (MINVALUE) TO (2)', 'FOR VALUES FROM (2) TO (4)', 'DEFAULT')
	  : map { "FOR VALUES WITH (MODULUS 3, REMAINDER $_)" } 0 .. 2;
	my $n = 0;
	for my $bound (@bounds)
	{
		my $leaf = "p${i}_" . ++$n;
		# another order of columns than the root's
		if ($rnd->chance(40))
		{
			$self->_emit("CREATE TABLE $leaf (extra int, "
				  . join(', ', map { _column_sql($_) } reverse @{ $table->{cols} }) . ')',
				"ALTER TABLE $leaf DROP COLUMN extra",
				"ALTER TABLE $table->{name} ATTACH PARTITION $leaf $bound");
		}
		else
		{
			$self->_emit("CREATE TABLE $leaf PARTITION OF $table->{name} $bound");
		}
		push @{ $table->{leaves} }, $leaf;
	}
	return;
}

sub _inherited
{
	my ($self, $table, $i) = @_;
	$self->_emit("CREATE TABLE $table->{name} ("
		  . join(', ', map { _column_sql($_) } @{ $table->{cols} }) . ')');
	$self->_emit("CREATE TABLE child$i (more int DEFAULT 7) INHERITS ($table->{name})");
	push @{ $table->{leaves} }, "child$i";
	$table->{only} = 1;
	return;
}

1;
