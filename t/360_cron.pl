# Cron schedules in a running server: they hold back and come due, whoever
# reads a stream table tells it when, what was missed is made up for once, and
# a changed schedule or time zone counts at once.
use strict;
use warnings FATAL => 'all';

use PgTrickle::Test;
use Test::More;

my $node = new_node('cron');
create_extension($node, 'postgres');

# First of the month half a year from now: not due while the test runs.
my $month = ((localtime)[4] + 6) % 12 + 1;
my $far = "0 0 1 $month *";

$node->safe_psql('postgres', qq{
	CREATE TABLE src (k int, v int);
	INSERT INTO src VALUES (1, 1);
	SELECT pgtrickle.create_stream_table('public.follows', 'SELECT count(*) AS n FROM src', 'continuous');
	SELECT pgtrickle.create_stream_table('public.often', 'SELECT k, sum(v) AS s FROM src GROUP BY k', '* * * * * *');
	SELECT pgtrickle.create_stream_table('public.rarely', 'SELECT max(v) AS m FROM src', '$far');
	SELECT pgtrickle.create_stream_table('public.below', 'SELECT k, v FROM src WHERE v > 0');
	SELECT pgtrickle.create_stream_table('public.above', 'SELECT count(*) AS n FROM public.below', '$far');
});

# A change has gone through the scheduler once "follows" shows it.
sub change
{
	my ($v) = @_;
	$node->safe_psql('postgres', "INSERT INTO src VALUES (1, $v)");
	return wait_caught_up($node, 'postgres', 'public.follows');
}
my $shown = 'SELECT (TABLE public.rarely), (SELECT count(*) FROM public.below), (TABLE public.above)';

change(2);
wait_caught_up($node, 'postgres', 'public.often');
is($node->safe_psql('postgres', $shown), '1|1|1', 'a cron time far away holds back, and what only it needs');
is($node->safe_psql('postgres', q{SELECT stale, staleness > interval '0' FROM pgtrickle.pgt_status() WHERE name = 'public.rarely'}),
	'f|t', 'it is behind, and not stale');

$node->safe_psql('postgres', q{SELECT pgtrickle.alter_stream_table('public.rarely', schedule => '*/1 * * * * *')});
wait_caught_up($node, 'postgres', 'public.rarely');
$node->safe_psql('postgres', q{SELECT pgtrickle.alter_stream_table('public.above', schedule => '*/2 * * * * *')});
wait_caught_up($node, 'postgres', $_) for qw(public.below public.above);

# ---- missed while the server was down ----

$node->safe_psql('postgres', qq{
	SELECT pgtrickle.alter_stream_table('public.rarely', schedule => '$far');
	SELECT pgtrickle.alter_stream_table('public.above', schedule => '$far');
});
change(3);
is($node->safe_psql('postgres', $shown), '2|2|2', 'a new line begins to count when it is given');

$node->append_conf('postgresql.conf', 'pg_trickle.enabled = off');
$node->restart;
# as if the last refresh had been in another year
$node->safe_psql('postgres', q{
	UPDATE pgtrickle.pgt_progress SET last_refresh_at = last_refresh_at - interval '13 months'
	 WHERE pgt_id IN (SELECT pgt_id FROM pgtrickle.pgt_stream_tables WHERE pgt_name IN ('rarely', 'below', 'above'))});
$node->append_conf('postgresql.conf', 'pg_trickle.enabled = on');
$node->restart;
wait_caught_up($node, 'postgres', $_) for qw(public.rarely public.below public.above);
change(4);
is($node->safe_psql('postgres', $shown), '3|3|3', 'made up for once');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pgtrickle.get_refresh_history('public.rarely')
	 WHERE initiated_by = 'SCHEDULER' AND start_time > pg_postmaster_start_time()}), '1', 'and the history shows one refresh');

# ---- the time zone ----

is(($node->psql('postgres', q{ALTER SYSTEM SET pg_trickle.cron_timezone = 'Europe/Nowhere'}))[0],
	3, 'an unknown time zone is refused');
# with this line and zone it is due every second, with the server's zone not for hours
my $hours = join ',', map { ((gmtime)[2] + $_) % 24 } 11 .. 13;
$node->safe_psql('postgres', qq{SELECT pgtrickle.alter_stream_table('public.rarely', schedule => '* * $hours * * *')});
change(5);
is($node->safe_psql('postgres', 'TABLE public.rarely'), '3', 'not due in the time zone of the server');
$node->append_conf('postgresql.conf', q{pg_trickle.cron_timezone = '<+12>-12'});
$node->reload;
wait_caught_up($node, 'postgres', 'public.rarely');

# ---- nonsense ----

my ($rc, $out, $err) = $node->psql('postgres',
	q{SELECT pgtrickle.alter_stream_table('public.rarely', schedule => '61 * * * *')});
like($err, qr/The minute is from 0 to 59, not 61.*a cron line of 5 fields/s, 'a wrong line is refused with what is right');
is($node->safe_psql('postgres', q{SELECT schedule FROM pgtrickle.pgt_stream_tables WHERE pgt_name = 'rarely'}),
	"* * $hours * * *", 'and changes nothing');

done_testing();
