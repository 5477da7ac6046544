# Random writes: statements, and units of them (transactions, savepoints).
#
# A unit is a list of statements that only make sense together.  Statements
# may fail (keys, checks): a failed one is a test too.
package PgtOracle::Dml;

use strict;
use warnings;
use PgtOracle::Types;

sub new
{
	my ($class, $rnd, $schema) = @_;
	return bless { rnd => $rnd, schema => $schema, next_id => 100 }, $class;
}

sub _literal
{
	my ($self, $table, $col) = @_;
	my $rnd = $self->{rnd};
	if ($col->{key})
	{
		return $rnd->chance(75) ? $self->{next_id}++ : $rnd->between(1, 12);
	}
	if ($col->{name} eq 'pid' && $table->{fk} && $rnd->chance(70))
	{
		my $p = $table->{fk};
		return "(SELECT id FROM $p->{name} ORDER BY id OFFSET " . $rnd->below(5) . ' LIMIT 1)';
	}
	return PgtOracle::Types::literal($rnd, $col->{type}, 15);
}

sub _writable { my ($table) = @_; return grep { !$_->{gen} } @{ $table->{cols} }; }

sub _rows
{
	my ($self, $table, $n) = @_;
	my @cols = _writable($table);
	my @rows;
	for (1 .. $n)
	{
		push @rows, '(' . join(', ', map { $self->_literal($table, $_) } @cols) . ')';
		push @rows, $rows[-1] if !@{ $table->{pk} } && $self->{rnd}->chance(25);
	}
	return @rows;
}

sub _column_list { my ($table) = @_; return join ', ', map { $_->{name} } _writable($table); }

# one INSERT per row, so that a reproduction can leave rows out
sub initial_rows
{
	my ($self, $table, $n) = @_;
	my $cols = _column_list($table);
	return map { "INSERT INTO $table->{name} ($cols) VALUES $_" } $self->_rows($table, $n);
}

sub insert
{
	my ($self, $table) = @_;
	my $rnd = $self->{rnd};
	my $cols = _column_list($table);
	my $target = $table->{name};
	if ($rnd->chance(20) && !@{ $table->{pk} })
	{
		return "INSERT INTO $target ($cols) SELECT $cols FROM $target ORDER BY ctid LIMIT " . $rnd->between(1, 4)
		  unless @{ $table->{leaves} };
	}
	my $sql = "INSERT INTO $target ($cols) VALUES " . join ', ', $self->_rows($table, $rnd->between(1, 5));
	if (@{ $table->{pk} } == 1 && !$table->{deferrable} && $rnd->chance(40))
	{
		my $set = $rnd->pick(_writable($table));
		$sql .= ' ON CONFLICT (id) DO '
		  . ($rnd->chance(40) ? 'NOTHING' : "UPDATE SET $set->{name} = " . $self->_literal($table, $set));
	}
	return $sql;
}

# a condition that finds some rows
sub _where
{
	my ($self, $table) = @_;
	my $rnd = $self->{rnd};
	my $col = $rnd->pick(@{ $table->{cols} });
	my $t = $PgtOracle::Types::T{ $col->{type} };
	my $how = $rnd->below(100);

	return "ctid = (SELECT ctid FROM $table->{name} ORDER BY ctid LIMIT 1 OFFSET " . $rnd->below(6) . ')'
	  if $how < 30 && !@{ $table->{leaves} };
	return 'true' if $how < 35;
	return "$col->{name} IS NULL" if $how < 42 || !$t->{eq};
	return "$col->{name} " . $rnd->pick(qw(= <> < >=)) . ' ' . PgtOracle::Types::literal($rnd, $col->{type}, 0)
	  if $how < 60 && $t->{sort};
	return "$col->{name} = " . PgtOracle::Types::literal($rnd, $col->{type}, 0);
}

sub _set
{
	my ($self, $table) = @_;
	my $rnd = $self->{rnd};
	my @out;
	for my $col ($rnd->sample($rnd->between(1, 3), _writable($table)))
	{
		my $kind = $PgtOracle::Types::T{ $col->{type} }{kind};
		my $how = $rnd->below(100);
		my $value = $self->_literal($table, $col);
		$value = $col->{name} if $how < 12;
		$value = "$col->{name} + 1" if $how >= 12 && $how < 35 && $kind =~ /^(int|numeric|float|date)$/;
		$value = "$col->{name} || 'z'" if $how >= 12 && $how < 20 && $kind eq 'text' && $col->{type} eq 'text';
		push @out, "$col->{name} = $value";
	}
	return join ', ', @out;
}

sub update
{
	my ($self, $table) = @_;
	my $rnd = $self->{rnd};
	my $target = $table->{name};
	if (@{ $table->{pk} } && $rnd->chance(15))
	{
		return "UPDATE $target SET id = " . $rnd->pick('id + 1000', '-id', '203 - id', 'id + 1');
	}
	$target = "ONLY $target" if $table->{only} && $rnd->chance(20);
	return "UPDATE $target SET " . $self->_set($table) . ' WHERE ' . $self->_where($table);
}

sub delete
{
	my ($self, $table) = @_;
	my $target = $table->{name};
	$target = $self->{rnd}->pick(@{ $table->{leaves} }) if @{ $table->{leaves} } && $self->{rnd}->chance(30);
	return "DELETE FROM $target WHERE " . $self->_where($table);
}

sub leaf_write
{
	my ($self, $table) = @_;
	my $rnd = $self->{rnd};
	my $leaf = $rnd->pick(@{ $table->{leaves} });
	my $cols = _column_list($table);
	return "UPDATE $leaf SET " . $self->_set($table) . ' WHERE ' . $self->_where($table) if $rnd->chance(40);
	return "INSERT INTO $leaf ($cols) VALUES " . ($self->_rows($table, 1))[0];
}

# MERGE writes one table from another of its rows or from literals
sub merge
{
	my ($self, $table) = @_;
	my $rnd = $self->{rnd};
	my @cols = _writable($table);
	my $id = $rnd->between(1, 12);
	my $set = $self->_set($table);
	return "MERGE INTO $table->{name} USING (VALUES ($id), (" . ($id + 1) . "), (999)) s(sid) ON id = s.sid"
	  . ' WHEN MATCHED AND sid % 2 = 0 THEN DELETE'
	  . " WHEN MATCHED THEN UPDATE SET $set"
	  . ' WHEN NOT MATCHED THEN INSERT (' . _column_list($table) . ') VALUES ' . ($self->_rows($table, 1))[0];
}

# both tables in one statement
sub two_tables
{
	my ($self, $t1, $t2) = @_;
	my $one = $self->{rnd}->chance(50) ? $self->delete($t1) : $self->update($t1);
	return "WITH w AS ($one RETURNING 1) " . $self->insert($t2) if $self->{rnd}->chance(50);
	return "WITH w AS ($one RETURNING 1) " . $self->update($t2);
}

sub copy
{
	my ($self, $table) = @_;
	my @cols = grep { $_->{type} =~ /^(int[248]|numeric|text|bool|float[48])$/ } _writable($table);
	return $self->insert($table) if @cols == 0;
	my $data = '';
	for (1 .. $self->{rnd}->between(1, 4))
	{
		$data .= join("\t", map {
			my $v = $_->{key} ? $self->{next_id}++
			  : $self->{rnd}->pick('\N', grep { !/\s|\\/ } @{ $PgtOracle::Types::T{ $_->{type} }{values} });
			$v } @cols) . "\n";
	}
	return "COPY $table->{name} (" . join(', ', map { $_->{name} } @cols) . ") FROM stdin;\n$data\\.";
}

sub statement
{
	my ($self) = @_;
	my $rnd = $self->{rnd};
	my $table = $rnd->pick($self->{schema}->tables);
	my $how = $rnd->below(100);

	return $self->leaf_write($table) if @{ $table->{leaves} } && $how % 5 == 0;
	return $self->insert($table) if $how < 38;
	return $self->update($table) if $how < 65;
	return $self->delete($table) if $how < 82;
	return $self->copy($table) if $how < 86;
	return $self->merge($table) if $how < 90 && @{ $table->{pk} } && !$table->{gen};
	return $self->two_tables($table, $rnd->pick($self->{schema}->tables)) if $how < 95;
	return "TRUNCATE $table->{name} CASCADE" if $how < 97;
	return $self->insert($table);
}

# insert and delete the same rows, update forth and back
sub _nothing_in_sum
{
	my ($self) = @_;
	my $rnd = $self->{rnd};
	my $table = $rnd->pick($self->{schema}->tables);
	my $col = $rnd->pick(_writable($table));
	return ("UPDATE $table->{name} SET $col->{name} = $col->{name}") if $rnd->chance(40);
	return ('BEGIN', $self->statement, 'ROLLBACK') if $rnd->chance(40);
	my @tables = grep { @{ $_->{pk} } } $self->{schema}->tables;
	return ("UPDATE $table->{name} SET $col->{name} = $col->{name}") unless @tables;
	$table = $rnd->pick(@tables);
	my $id = $self->{next_id};
	my ($row) = $self->_rows({ %$table, cols => [ grep { !$_->{key} } @{ $table->{cols} } ] }, 1);
	$row =~ s/^\(/($id, /;
	$row =~ s/, \)$/)/;
	my $cols = join ', ', 'id', map { $_->{name} } grep { !$_->{key} } _writable($table);
	$self->{next_id}++;
	return ('BEGIN', "INSERT INTO $table->{name} ($cols) VALUES $row", "DELETE FROM $table->{name} WHERE id = $id", 'COMMIT');
}

# a unit of writes; inside = true: no BEGIN and COMMIT
sub unit
{
	my ($self, $inside) = @_;
	my $rnd = $self->{rnd};
	my $how = $rnd->below(100);

	return ($self->statement) if $how < 50;
	return $self->_nothing_in_sum if $how < 58 && !$inside;
	my @sql = map { $self->statement } 1 .. $rnd->between(1, 4);
	@sql = $self->_with_savepoints(@sql) if $how >= 70;
	if ($how >= 94 && !$inside)
	{
		my $gid = 'g' . $self->{next_id}++;
		return ('BEGIN', @sql, "PREPARE TRANSACTION '$gid'", ($rnd->chance(70) ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$gid'");
	}
	return $inside ? $self->_with_savepoints(@sql) : ('BEGIN', @sql, $rnd->chance(90) ? 'COMMIT' : 'ROLLBACK');
}

# each statement in its own savepoint: an error costs only that statement
sub _with_savepoints
{
	my ($self, @sql) = @_;
	my $rnd = $self->{rnd};
	my $n = 0;
	return map {
		my $s = 's' . ++$n;
		("SAVEPOINT $s", $_, $rnd->chance(70) ? "RELEASE $s" : "ROLLBACK TO $s")
	} @sql;
}

# keep the tables small
sub trim
{
	my ($self, $table, $max) = @_;
	return "DELETE FROM $table->{name} WHERE (tableoid, ctid) IN (SELECT tableoid, ctid FROM $table->{name}"
	  . " ORDER BY tableoid, ctid OFFSET $max)";
}

1;
