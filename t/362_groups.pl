# Diamonds and refresh groups: refreshed in one transaction under one snapshot,
# or not at all.  A reader looks all the time, thousands of times.
use strict;
use warnings FATAL => 'all';

use IPC::Run;
use PgTrickle::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('groups', conf => "pg_trickle.max_consecutive_errors = 2\n");
create_extension($node, 'postgres');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub create
{
	my ($name, $query, @options) = @_;
	return "SELECT pgtrickle.create_stream_table('public.$name', \$q\$$query\$q\$"
	  . join('', map { ", $_" } @options) . ");\n";
}

# Two branches over one table, of unequal length; another diamond over a stream
# table both branches read; a table read directly and through a stream table.
sql("CREATE TABLE t (id int PRIMARY KEY, g int, v int);\n"
	  . "INSERT INTO t SELECT i, i % 5, i FROM generate_series(1, 100) i;\n"
	  . "CREATE TABLE alone (v int);\n"
	  . create('left1', 'SELECT g, sum(v) AS s, count(*) AS n FROM t GROUP BY g', "'continuous'")
	  . create('right1', 'SELECT id, v FROM t WHERE v IS NOT NULL', "'continuous'")
	  . create('right2', 'SELECT sum(v) AS s, count(*) AS n FROM public.right1', "'continuous'")
	  . create('top', 'SELECT l.s AS ls, l.n AS ln, r.s AS rs, r.n AS rn FROM (SELECT sum(s) AS s, sum(n) AS n FROM public.left1) l CROSS JOIN public.right2 r', "'continuous'")
	  . create('direct', 'SELECT x.n AS below, (count(*))::bigint AS here FROM t CROSS JOIN public.right2 x GROUP BY x.n', "'continuous'")
	  . create('lonely', 'SELECT sum(v) AS s FROM alone', "'continuous'"));
my @all = map { "public.$_" } qw(left1 right1 right2 top direct);
my $members = q{SELECT count(DISTINCT group_id), string_agg(member::text || CASE WHEN is_convergence THEN '*' ELSE '' END, ' ' ORDER BY member::text) FROM pgtrickle.diamond_groups()};
is(sql($members), '1|direct* left1 right1 right2 top*', 'diamonds are found, and fall together where they overlap');

# All of them show one state of t: the row count and sum in each agree.
my $invariant = q{
	SELECT (SELECT sum(s) FROM left1) = (SELECT s FROM right2) AND (SELECT sum(n) FROM left1) = (SELECT n FROM right2)
	   AND (SELECT count(*) FROM right1) = (SELECT n FROM right2)
	   AND (SELECT ls = rs AND ln = rn AND ln = (SELECT n FROM right2) FROM top)
	   AND (SELECT below = here AND below = (SELECT n FROM right2) FROM direct)
	   AND (SELECT count(DISTINCT frontier::text) = 1 FROM pgtrickle.pgt_stream_tables WHERE pgt_name <> 'lonely')};

# Reads in one session until told to stop; counts reads and violations.
sql(q{CREATE TABLE control (go bool); INSERT INTO control VALUES (true)});
sql(qq{
	CREATE FUNCTION violated() RETURNS bool LANGUAGE sql AS \$f\$ SELECT coalesce(NOT ($invariant), true) \$f\$;
	CREATE PROCEDURE look(at_least int, INOUT reads int, INOUT wrong int, INOUT states int) LANGUAGE plpgsql AS \$\$
	DECLARE seen bigint; before bigint := -1;
	BEGIN
		LOOP
			COMMIT;
			SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
			IF violated() THEN wrong := wrong + 1; END IF;
			SELECT rs INTO seen FROM top;
			IF seen <> before THEN states := states + 1; before := seen; END IF;
			reads := reads + 1;
			EXIT WHEN reads >= at_least AND NOT (SELECT go FROM control);
		END LOOP;
	END \$\$});
# each was filled on its own: one change brings them to one frontier
sql('INSERT INTO t VALUES (500, 1, 1)');
ok($node->poll_query_until('postgres', 'SELECT NOT violated()'), 'one change brings all to one frontier');

my $out = '';
sub start_reader
{
	my ($at_least) = @_;
	$out = '';
	return IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "CALL look($at_least, 0, 0, 0)" ],
		'<' => \undef, '>' => \$out, '2>' => \$out, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default * 2));
}
my $reader = start_reader(3000);
for my $i (1 .. 120)
{
	my $id = 1000 + $i;
	sql($i % 3 == 0 ? "DELETE FROM t WHERE id = $id - 2; UPDATE t SET g = g + 1 WHERE id % 7 = $i % 7"
		: $i % 3 == 1 ? "INSERT INTO t SELECT $id + 10000 * j, j, $i FROM generate_series(1, 20) j"
		: "INSERT INTO t VALUES ($id, 1, $i); UPDATE t SET v = v + 1 WHERE id <= 10");
}
wait_caught_up($node, 'postgres', $_) for @all;
sql('UPDATE control SET go = false');
$reader->finish;
my ($reads, $wrong, $states) = $out =~ /^(\d+)\|(\d+)\|(\d+)$/m;
ok(defined $reads && $reads >= 3000, 'the reader read ' . ($reads // $out) . ' times');
is($wrong, '0', 'and never saw one branch ahead of the other');
cmp_ok($states // 0, '>=', 10, 'while the contents changed under it');
is(sql(q{SELECT count(*) > 0, bool_and(array_length(members, 1) = 5) FROM pgtrickle.parallel_job_status() WHERE kind = 'group'}),
	't|t', 'jobs name their members');

# ---- all or nothing ----

sql(q{ALTER TABLE left1 ADD CONSTRAINT small CHECK (s < 1000000)});
my $before = sql('TABLE top');
sql('INSERT INTO t VALUES (77777, 1, 2000000)');
ok($node->poll_query_until('postgres', q{SELECT status = 'ERROR' FROM pgtrickle.pgt_status() WHERE name = 'public.left1'}),
	'a member that fails is given up after as many errors as any');
is(sql('TABLE top') eq $before && sql('SELECT count(*) FROM right1 WHERE id = 77777') eq '0', 1, 'and no other member moved');
is(sql(q{SELECT string_agg(name, ' ') FROM pgtrickle.pgt_status() WHERE consecutive_errors > 0}), 'public.left1', 'the error is counted for it alone');
like(sql(q{SELECT error_message FROM pgtrickle.get_refresh_history('public.right2', 1)}),
	qr/rolled back with its group, because the refresh of public\.left1 failed: .*small/, 'the history of the others says whose it was');
is(sql(q{SELECT waiting_for FROM pgtrickle.waiting_stream_tables() WHERE stream_table = 'top'::regclass}),
	'member public.left1: ERROR', 'they wait for it');
sql(q{ALTER TABLE left1 DROP CONSTRAINT small; SELECT pgtrickle.resume_stream_table('public.left1')});
wait_caught_up($node, 'postgres', $_) for @all;
is(sql('SELECT violated()'), 'f', 'all together again');

# ---- none, and a member on its own ----

sql(join '', map { "SELECT pgtrickle.alter_stream_table('public.$_', diamond_consistency => 'none');" } qw(top direct));
is(sql('SELECT count(*) FROM pgtrickle.diamond_groups()'), '0', 'diamond_consistency none leaves them apart');
sql(q{SELECT pgtrickle.alter_stream_table('public.left1', enabled => false); INSERT INTO t VALUES (88888, 1, 1)});
wait_caught_up($node, 'postgres', 'public.right2');
is(sql('SELECT rn - ln FROM top'), '1', 'then a branch goes on without the other');
sql(q{SELECT pgtrickle.resume_stream_table('public.left1')});
sql(join '', map { "SELECT pgtrickle.alter_stream_table('public.$_', diamond_consistency => 'atomic');" } qw(top direct));
wait_caught_up($node, 'postgres', $_) for @all;

# ---- schedules: the fastest, or the slowest ----

sql(q{SELECT pgtrickle.alter_stream_table('public.left1', schedule => '1 year')});
sql('INSERT INTO t VALUES (99991, 1, 1)');
wait_caught_up($node, 'postgres', $_) for @all;
is(sql('SELECT violated()'), 'f', 'policy fastest: who is due takes the others along');
sql(join '', map { "SELECT pgtrickle.alter_stream_table('public.$_', diamond_schedule_policy => 'slowest');" } qw(top direct));
is(sql('SELECT DISTINCT policy FROM pgtrickle.diamond_groups()'), 'slowest', 'policy slowest');
sql('INSERT INTO t VALUES (99992, 1, 1); INSERT INTO alone VALUES (1)');
wait_caught_up($node, 'postgres', 'public.lonely');
is(sql('SELECT count(*) FROM right1 WHERE id = 99992'), '0', 'all wait for the slowest');
sql(q{SELECT pgtrickle.alter_stream_table('public.left1', schedule => 'continuous')});
wait_caught_up($node, 'postgres', $_) for @all;

# ---- refresh groups ----

sql("CREATE TABLE a (v int); CREATE TABLE b (v int);\n"
	  . create('ga', 'SELECT count(*) AS n, sum(v) AS s FROM a', "'continuous'")
	  . create('gz', 'SELECT n * 2 AS n2 FROM public.ga', "'continuous'")
	  . create('gb', 'SELECT count(*) AS n, sum(v) AS s, max(z.n2) AS n2 FROM b LEFT JOIN public.gz z ON true', "'continuous'")
	  . "SELECT pgtrickle.create_refresh_group('pair', '{public.ga,public.gb}');");
wait_caught_up($node, 'postgres', $_) for qw(public.ga public.gz public.gb);
is(sql(q{SELECT group_name, member, isolation, waiting_for FROM pgtrickle.refresh_groups() ORDER BY 2}),
	"pair|ga|repeatable_read|\npair|gb|repeatable_read|", 'a refresh group is shown');
# one transaction writes both: what lies between the members, gz, comes along
sql(q{
	UPDATE control SET go = true;
	CREATE OR REPLACE FUNCTION violated() RETURNS bool LANGUAGE sql AS $f$
		SELECT (SELECT n FROM ga) <> (SELECT n FROM gb) OR (SELECT n2 FROM gz) <> 2 * (SELECT n FROM ga)
		    OR (SELECT count(DISTINCT frontier::text) <> 1 FROM pgtrickle.pgt_stream_tables WHERE pgt_name IN ('ga', 'gz', 'gb')) $f$});
sql('BEGIN; INSERT INTO a VALUES (0); INSERT INTO b VALUES (0); COMMIT');
ok($node->poll_query_until('postgres', 'SELECT NOT violated()'), 'at one frontier');
$reader = start_reader(2000);
sql("BEGIN; INSERT INTO a VALUES ($_); INSERT INTO b VALUES ($_); COMMIT; INSERT INTO t VALUES (200000 + $_, 1, 1)") for 1 .. 100;
wait_caught_up($node, 'postgres', $_) for qw(public.ga public.gz public.gb public.top);
sql('UPDATE control SET go = false');
$reader->finish;
($reads, $wrong, $states) = $out =~ /^(\d+)\|(\d+)\|(\d+)$/m;
is($wrong, '0', "refresh group: in $reads reads two members never showed different states");

# a gate on one member's source holds both
sql(q{SELECT pgtrickle.gate_source('a', false); INSERT INTO b VALUES (7); INSERT INTO alone VALUES (2)});
wait_caught_up($node, 'postgres', 'public.lonely');
is(sql('SELECT (SELECT count(*) FROM b) - (SELECT n FROM gb)'), '1', 'a gate on the source of one member holds the other');
is(sql(q{SELECT waiting_for FROM pgtrickle.refresh_groups() WHERE member = 'gb'::regclass}),
	'gate on public.a, member public.ga: gate on public.a, member public.gz: gate on public.a', 'and says why');
sql(q{SELECT pgtrickle.ungate_source('a')});
wait_caught_up($node, 'postgres', $_) for qw(public.ga public.gz public.gb);

my ($rc, undef, $err) = $node->psql('postgres', q{SELECT pgtrickle.create_refresh_group('other', '{public.ga,public.top}')});
like($err, qr/"ga" is a member of refresh group "pair" already/, 'a member of one group only');
($rc, undef, $err) = $node->psql('postgres', q{SELECT pgtrickle.create_refresh_group('other', '{public.left1,public.top}', 'serializable')});
like($err, qr/invalid isolation: "serializable"/, 'one isolation only');
# by hand: the group, in this transaction, or none of it
sql(q{SELECT pgtrickle.gate_source('a', false); INSERT INTO a VALUES (9); INSERT INTO b VALUES (9)});
is(sql(q{SELECT action, rows_inserted FROM pgtrickle.refresh_stream_table('public.gb')}), 'DIFFERENTIAL|1', 'a refresh by hand of one member');
equals_query($node, 'postgres', $_, 'refreshed with its group') for qw(public.ga public.gz public.gb);
is(sql(q{SELECT count(DISTINCT frontier::text) FROM pgtrickle.pgt_stream_tables WHERE pgt_name IN ('ga', 'gz', 'gb')}), '1', 'under one snapshot');
is(sql(q{SELECT count(DISTINCT start_time) FROM pgtrickle._history WHERE initiated_by = 'MANUAL' AND stream_table IN ('public.ga', 'public.gz', 'public.gb')}),
	'1', 'at once');
sql(q{SELECT pgtrickle.alter_stream_table('public.gz', enabled => false); INSERT INTO b VALUES (10)});
(undef, undef, $err) = $node->psql('postgres', q{SELECT pgtrickle.refresh_stream_table('public.gb')});
like($err, qr/stream table public\.gz of the same refresh group is suspended/, 'or none of it');
sql(q{SELECT pgtrickle.resume_stream_table('public.gz'); SELECT pgtrickle.ungate_source('a')});
wait_caught_up($node, 'postgres', $_) for qw(public.ga public.gz public.gb);
sql(q{SELECT pgtrickle.drop_refresh_group('pair')});
is(sql(q{SELECT count(*) FROM pgtrickle.refresh_groups()}), '0', 'dropped');
sql('INSERT INTO a VALUES (8)');
wait_caught_up($node, 'postgres', $_) for qw(public.ga public.gz public.gb);

# ---- the first fill, after a crash in the middle, without workers ----

sql(create('late_l', 'SELECT max(v) AS m FROM t', "'continuous'", 'initialize => false')
	  . create('late_r', 'SELECT min(v) AS m FROM t', "'continuous'", 'initialize => false')
	  . create('late_top', 'SELECT l.m - r.m AS d FROM public.late_l l, public.late_r r', "'continuous'", 'initialize => false'));
wait_caught_up($node, 'postgres', $_) for qw(public.late_l public.late_r public.late_top);
$node->stop('immediate');
$node->append_conf('postgresql.conf', 'pg_trickle.parallel_refresh_mode = off');
$node->start;
sql('UPDATE t SET v = v - 1 WHERE id % 3 = 0');
wait_caught_up($node, 'postgres', $_) for @all, qw(public.late_l public.late_r public.late_top);

$node->stop;
done_testing();
