# PgTrickle::Batch - reads change batches as docs/wire-format.md tells, from
# the outside: no line of it comes from the C code.
#
#   my @batches = split_batches($bytes);          # as pg_recvlogical wrote them
#   my $batch = parse_batch($bytes, $columns);    # $columns->{oid}{attnum}
#   replay(\%rows, $batch);                       # multiset of rows by their text
#
# Only types that the tests use are made text; anything wrong dies.
package PgTrickle::Batch;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';

our @EXPORT = qw(split_batches parse_batch replay load_columns);

# pg_recvlogical ends each message with a line feed; the header says where.
sub split_batches
{
	my ($bytes) = @_;
	my @batches;

	while (length $bytes)
	{
		die 'a batch is cut off' if length $bytes < 40;
		my $length = unpack 'L', substr $bytes, 24, 4;
		die 'a batch is cut off' if length $bytes < $length + 1;
		push @batches, substr $bytes, 0, $length, '';
		die 'no line feed behind a batch' if substr($bytes, 0, 1, '') ne "\n";
	}
	return @batches;
}

# What tuples cannot be read without, from the catalog of the server.
sub load_columns
{
	my ($node, $db) = @_;
	my %columns;
	my $rows = $node->safe_psql($db, q{
		SELECT attrelid, attnum, attlen, attalign, typname, attname FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid
		 WHERE attnum > 0 AND NOT attisdropped AND attrelid >= 16384});
	for (split /\n/, $rows)
	{
		my ($rel, $num, $len, $align, $type, $name) = split /\|/;
		$columns{$rel}{$num} = {
			len => $len, align => { c => 1, s => 2, i => 4, d => 8 }->{$align}, type => $type, name => $name };
	}
	return \%columns;
}

# ---- values ----

# pglz: a control byte for eight items; an item is a byte, or a length and an
# offset back into what is already there.
sub _pglz
{
	my ($source, $raw_size) = @_;
	my ($out, $pos) = ('', 0);

	while ($pos < length $source)
	{
		my $control = ord substr $source, $pos++, 1;
		for my $bit (0 .. 7)
		{
			last if $pos >= length $source;
			if ($control & (1 << $bit))
			{
				my ($a, $b) = unpack 'CC', substr $source, $pos, 2;
				my ($len, $off) = (($a & 0x0f) + 3, (($a & 0xf0) << 4) | $b);
				$pos += 2;
				$len += ord substr $source, $pos++, 1 if $len == 18;
				$out .= substr $out, -$off, 1 for 1 .. $len;
			}
			else
			{
				$out .= substr $source, $pos++, 1;
			}
		}
	}
	die 'wrong size after decompression' if length $out != $raw_size;
	return $out;
}

# One varlena at $pos of the data; returns its content and where it ends.
sub _varlena
{
	my ($data, $pos, $align) = @_;
	my $first = ord substr $data, $pos, 1;

	if ($first == 0)
	{
		$pos += ($align - $pos % $align) % $align;
		$first = ord substr $data, $pos, 1;
	}
	die 'a value out of line' if $first == 1;
	if ($first & 1)
	{
		my $size = $first >> 1;
		return (substr($data, $pos + 1, $size - 1), $pos + $size);
	}
	die 'a long value is not aligned' if $pos % $align;
	my $size = unpack('L', substr $data, $pos, 4) >> 2;
	return (substr($data, $pos + 4, $size - 4), $pos + $size) unless $first & 2;
	my $info = unpack 'L', substr $data, $pos + 4, 4;
	die 'not compressed by pglz' if $info >> 30;
	return (_pglz(substr($data, $pos + 8, $size - 8), $info & 0x3fffffff), $pos + $size);
}

my %as_text = (
	int2 => sub { unpack 's', $_[0] },
	int4 => sub { unpack 'l', $_[0] },
	int8 => sub { unpack 'q', $_[0] },
	float8 => sub { unpack 'd', $_[0] },
	bool => sub { unpack('C', $_[0]) ? 't' : 'f' },
	bytea => sub { '\\x' . unpack 'H*', $_[0] },
	uuid => sub { my $h = unpack 'H*', $_[0]; $h =~ s/^(.{8})(....)(....)(....)/$1-$2-$3-$4-/r },
	map { $_ => sub { $_[0] } } qw(text varchar char));

sub _tuple
{
	my ($batch, $bytes, $pos, $columns) = @_;
	my $word = unpack 'L', substr $$bytes, $$pos, 4;
	my $n = @{ $batch->{attnums} };
	my $bitmap;
	$$pos += 4;
	if ($word & 1)
	{
		my $size = int(($n + 7) / 8);
		$bitmap = unpack 'b*', substr $$bytes, $$pos, $size;
		$$pos += $size;
	}
	my $data = substr $$bytes, $$pos, $word >> 1;
	die 'a tuple is cut off' if length $data != $word >> 1;
	$$pos += $word >> 1;

	my ($at, @values) = (0);
	for my $i (0 .. $n - 1)
	{
		my $c = $columns->{ $batch->{attnums}[$i] } or die "no column $batch->{attnums}[$i]";
		my $value;
		if (defined $bitmap && !substr $bitmap, $i, 1)
		{
			push @values, undef;
			next;
		}
		if ($c->{len} == -1)
		{
			($value, $at) = _varlena($data, $at, $c->{align});
		}
		else
		{
			$at += ($c->{align} - $at % $c->{align}) % $c->{align};
			$value = substr $data, $at, $c->{len};
			$at += $c->{len};
		}
		my $text = $as_text{ $c->{type} } or die "type $c->{type}";
		push @values, $text->($value);
	}
	die "a tuple has $at bytes of " . length $data if $at != length $data;
	return \@values;
}

# ---- batches ----

sub parse_batch
{
	my ($bytes, $columns) = @_;
	my %batch;
	my ($magic, $version, $flags, $xid, $signature, $length, $source, $nchanges, $ncolumns, $zero) =
	  unpack 'L S S Q Q L L L S S', $bytes;
	die sprintf 'magic %x, version %d', $magic, $version if $magic != 0x42544750 || $version != 1;
	die 'unknown flags' if $flags & ~7 || $zero;
	die "length $length of " . length $bytes if $length != length $bytes;
	@batch{qw(flags xid signature source)} = ($flags, $xid, $signature, $source);
	$batch{attnums} = [ unpack "s$ncolumns", substr $bytes, 40, 2 * $ncolumns ];
	my $pos = 40 + 2 * $ncolumns;
	for (1 .. $nchanges)
	{
		my %change = (op => substr $bytes, $pos++, 1);
		my $op = $change{op};
		die "change $op against the flags"
		  if ($op =~ /[DU]/ && !($flags & 1)) || ($op eq 'T' && !($flags & 2)) || ($op eq 'L' && !($flags & 4));
		if ($op eq 'L')
		{
			$change{reason} = unpack 'S/a', substr $bytes, $pos;
			$pos += 2 + length $change{reason};
		}
		$change{old} = _tuple(\%batch, \$bytes, \$pos, $columns->{$source}) if $op =~ /[DU]/;
		$change{new} = _tuple(\%batch, \$bytes, \$pos, $columns->{$source}) if $op =~ /[IU]/;
		die "change $op" if $op !~ /[IDUTL]/;
		push @{ $batch{changes} }, \%change;
	}
	die 'bytes behind the last change' if $pos != length $bytes;
	return \%batch;
}

# Apply a batch to a multiset of rows; what is not there cannot be deleted.
sub replay
{
	my ($rows, $batch) = @_;
	my $text = sub { join '|', map { $_ // '' } @{ $_[0] } };

	for my $change (@{ $batch->{changes} })
	{
		die "lost: $change->{reason}" if $change->{op} eq 'L';
		%$rows = () if $change->{op} eq 'T';
		if ($change->{old})
		{
			my $row = $text->($change->{old});
			die "deleted and not there: $row" unless $rows->{$row};
			delete $rows->{$row} unless --$rows->{$row};
		}
		$rows->{ $text->($change->{new}) }++ if $change->{new};
	}
	return;
}

1;
