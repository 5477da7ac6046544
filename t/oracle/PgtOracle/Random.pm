# A small seeded generator (xorshift32): the same numbers with every Perl.
package PgtOracle::Random;

use strict;
use warnings;

sub new
{
	my ($class, $seed) = @_;
	my $x = (($seed * 2654435761) ^ 0x9E3779B9) & 0xffffffff;
	my $self = bless { x => $x || 1 }, $class;
	$self->next for 1 .. 8;
	return $self;
}

sub next
{
	my ($self) = @_;
	my $x = $self->{x};
	$x ^= ($x << 13) & 0xffffffff;
	$x ^= $x >> 17;
	$x ^= ($x << 5) & 0xffffffff;
	return $self->{x} = $x;
}

# 0 .. n-1
sub below { my ($self, $n) = @_; return $self->next % $n; }

# from .. to, both included
sub between
{
	my ($self, $from, $to) = @_;
	return $from + $self->below($to - $from + 1);
}

# true in so many of 100 cases
sub chance { my ($self, $percent) = @_; return $self->below(100) < $percent; }

sub pick { my ($self, @list) = @_; return $list[ $self->below(scalar @list) ]; }

# n different elements (all when there are fewer), in random order
sub sample
{
	my ($self, $n, @list) = @_;
	my @out;
	push @out, splice(@list, $self->below(scalar @list), 1)
	  while (@list && @out < $n);
	return @out;
}

1;
