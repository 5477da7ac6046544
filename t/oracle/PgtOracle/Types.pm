# The column types of the random schemas: their values, what can be done
# with them, and whether equal values always look alike.
#
#   family  types that compare with each other
#   sort, hash  has a btree / hash operator class
#   image   equal values have the same image ('=' is identity)
#   values  literals; few, so that duplicates and matches are frequent
package PgtOracle::Types;

use strict;
use warnings;

our %T = (
	int2 => { family => 'number', kind => 'int',
		values => [qw(0 1 2 3 -1 7 100)] },
	int4 => { family => 'number', kind => 'int',
		values => [qw(0 1 2 3 4 5 -5 10)] },
	int8 => { family => 'number', kind => 'int',
		values => [qw(0 1 2 3 4000000000 -1)] },
	numeric => { family => 'number', kind => 'numeric', image => 0,
		values => [qw(0 1 1.0 1.00 2.5 2.50 3 -3.125 12345678901234567890.5 NaN Infinity -Infinity)] },
	'numeric(8,2)' => { family => 'number', kind => 'numeric',
		values => [qw(0 1 2 2.5 -3.12 1000.01)] },
	float8 => { family => 'number', kind => 'float', image => 0,
		values => [qw(0 -0 1 1.5 0.1 0.2 0.3 1e20 -1e20 1e-12 NaN Infinity -Infinity)] },
	float4 => { family => 'number', kind => 'float', image => 0,
		values => [qw(0 -0 1 2.5 0.1 16777216 NaN Infinity)] },
	money => { family => 'money', kind => 'money', hash => 0,
		values => [qw(0 1 2.50 -3)] },
	text => { family => 'text', kind => 'text',
		values => [ '', 'a', 'b', 'B', "a\x{e9}", "x'y", 'NULL', "new\nline" ],
		long => 1 },
	'varchar(20)' => { family => 'text', kind => 'text',
		values => [ '', 'a', 'b', 'B', 'abc', ' a' ] },
	'char(3)' => { family => 'text', kind => 'char',
		values => [ '', 'a', 'b', 'B', 'abc' ] },
	d_text => { family => 'text', kind => 'text', user => 1,
		values => [ 'a', 'b', 'zz' ] },
	ci_text => { family => 'ci', kind => 'ci', user => 1, image => 0,
		values => [ 'a', 'A', 'b', 'B', 'abc', 'ABC', '' ] },
	name => { family => 'text', kind => 'char', values => [ 'a', 'b', 'n1' ] },
	bool => { family => 'bool', kind => 'bool', values => [qw(t f)] },
	date => { family => 'datetime', kind => 'date',
		values => [qw(2024-02-29 2024-03-01 1999-12-31 infinity)] },
	timestamp => { family => 'datetime', kind => 'timestamp',
		values => [ '2024-02-29 12:00:00', '2024-03-01 00:00:00', '1999-12-31 23:59:59.123456', '-infinity' ] },
	timestamptz => { family => 'timestamptz', kind => 'timestamptz',
		values => [ '2024-02-29 12:00:00+00', '2024-03-01 01:30:00+02', '1999-12-31 23:59:59+00' ] },
	time => { family => 'time', kind => 'time', values => [qw(00:00 12:30:01 24:00)] },
	interval => { family => 'interval', kind => 'interval', image => 0,
		values => [ '1 mon', '30 days', '24:00:00', '1 day', '0', '-1 day', '00:00:00.5' ] },
	uuid => { family => 'uuid', kind => 'uuid',
		values => [ map { sprintf('00000000-0000-0000-0000-%012d', $_) } 1 .. 4 ] },
	bytea => { family => 'bytea', kind => 'bytea',
		values => [ '', '\\x00', '\\x0001', '\\xff' ] },
	jsonb => { family => 'jsonb', kind => 'jsonb', image => 0,
		values => [ '1', '1.0', '{"a": 1}', '{"a": 1.00}', '{"a": "x", "b": [1, null]}', 'null', '[]' ] },
	json => { family => 'json', kind => 'json', eq => 0,
		values => [ '1', '{"a":1}', '{"a": 1}', 'null', '[1,2]' ] },
	point => { family => 'point', kind => 'point', eq => 0,
		values => [ '(0,0)', '(1,2)', '(-0,0)' ] },
	'int4[]' => { family => 'int4[]', kind => 'array',
		values => [ '{}', '{1,2}', '{1,NULL}', '{2,1}', '{{1,2},{3,4}}', '[0:1]={1,2}' ] },
	'text[]' => { family => 'text[]', kind => 'array',
		values => [ '{}', '{a,b}', '{NULL}', '{""}', '{B}' ] },
	'numeric[]' => { family => 'numeric[]', kind => 'array', image => 0,
		values => [ '{}', '{1,2}', '{1.0,2.00}', '{NULL}' ] },
	mood => { family => 'mood', kind => 'enum', user => 1,
		values => [ 'sad', 'ok', 'happy' ] },
	d_int => { family => 'number', kind => 'int', user => 1, values => [qw(0 1 2 3)] },
	pair => { family => 'pair', kind => 'composite', user => 1,
		values => [ '(1,a)', '(1,)', '(,)', '(2,b)' ] },
	int4range => { family => 'int4range', kind => 'range',
		values => [ 'empty', '[1,3)', '[1,2]', '(,5)', '[2,9)' ] },
	numrange => { family => 'numrange', kind => 'range', image => 0,
		values => [ 'empty', '[1,3)', '[1.0,3.00)', '(,5]' ] },
	inet => { family => 'inet', kind => 'inet',
		values => [qw(10.0.0.1 10.0.0.0/8 ::1)] },
	'varbit' => { family => 'varbit', kind => 'bit', hash => 0,
		values => [ '', '101', '1', '0001' ] },
	tsvector => { family => 'tsvector', kind => 'tsvector', hash => 0,
		values => [ '', 'a', 'a b' ] },
	xid => { family => 'xid', kind => 'xid', sort => 0, values => [qw(1 2 3)] },
	xid8 => { family => 'xid8', kind => 'xid', values => [qw(1 2 3)] },
);

for my $name (keys %T)
{
	my $t = $T{$name};
	$t->{name} = $name;
	$t->{eq} //= 1;
	$t->{$_} //= $t->{eq} for qw(sort hash);
	$t->{image} //= 1;
}

our @NAMES = sort keys %T;

# the types met most often, so that joins and groups find partners
our @COMMON = (('int4') x 6, ('int8') x 2, 'int2', ('text') x 4, ('numeric') x 3, ('float8') x 2, 'bool', 'date');

sub quote_literal
{
	my ($s) = @_;
	return 'NULL' unless defined $s;
	$s =~ s/'/''/g;
	return $s =~ /\\/ ? "E'" . ($s =~ s/\\/\\\\/gr) . "'" : "'$s'";
}

# a literal of the type, sometimes NULL, sometimes long
sub literal
{
	my ($rnd, $type, $null_percent, $constant) = @_;
	my $t = $T{$type} or die "unknown type $type";
	return "NULL::$type" if $rnd->chance($null_percent // 15);
	if ($t->{long} && $rnd->chance(6))
	{
		my $n = $rnd->between(1, 3);
		return $constant || $rnd->chance(50)
		  ? "repeat('long$n ', 3000)"
		  : "(SELECT string_agg(md5((i * $n)::text), '') FROM generate_series(1, 200) i)";
	}
	return quote_literal($rnd->pick(@{ $t->{values} })) . "::$type";
}

# a type that may be a column; filter is a code ref on the type's record
sub random_type
{
	my ($rnd, $filter) = @_;
	for (1 .. 200)
	{
		my $name = $rnd->chance(60) ? $rnd->pick(@COMMON) : $rnd->pick(@NAMES);
		return $name if !$filter || $filter->($T{$name});
	}
	die "no type found";
}

sub prelude
{
	my ($icu) = @_;
	return (
		"CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
		"CREATE TYPE pair AS (a int, b text)",
		"CREATE DOMAIN d_text AS text CHECK (VALUE <> 'forbidden')",
		"CREATE DOMAIN d_int AS int CHECK (VALUE >= 0)",
		$icu
		? ( "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
			"CREATE DOMAIN ci_text AS text COLLATE ci")
		: ("CREATE DOMAIN ci_text AS text COLLATE \"C\""),
		"CREATE AGGREGATE usum(int8) (sfunc = int8pl, stype = int8, initcond = '0',"
		  . " msfunc = int8pl, minvfunc = int8mi, mstype = int8, minitcond = '0')",
		"CREATE AGGREGATE uxor(int8) (sfunc = int8xor, stype = int8)",
		"CREATE FUNCTION ucnt_next(int8, anyelement) RETURNS int8 LANGUAGE sql IMMUTABLE AS 'SELECT \$1 + 1'",
		"CREATE FUNCTION ucnt_prev(int8, anyelement) RETURNS int8 LANGUAGE sql IMMUTABLE AS 'SELECT \$1 - 1'",
		"CREATE AGGREGATE ucnt(anyelement) (sfunc = ucnt_next, stype = int8, initcond = '0',"
		  . " msfunc = ucnt_next, minvfunc = ucnt_prev, mstype = int8, minitcond = '0')",
		"CREATE FUNCTION twice(int8) RETURNS int8 LANGUAGE sql IMMUTABLE AS 'SELECT \$1 * 2'",
	);
}

1;
