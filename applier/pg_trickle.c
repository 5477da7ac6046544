/*
 * applier/pg_trickle.c - the library's entry: settings, hooks, workers.
 *
 * Nothing else lives here.  The library must be in shared_preload_libraries:
 * hooks guard stream tables in every session and workers need shared memory.
 */
#include "postgres.h"

#include <limits.h>
#include <signal.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/guc.h"

#include "applier/api/guard.h"
#include "applier/capture/capture.h"
#include "applier/refresh/immediate.h"
#include "applier/schedule/schedule.h"
#include "applier/settings.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

bool		pgt_enabled = true;
int			pgt_cdc_mode = PGT_CDC_AUTO;
char	   *pgt_stream_table_schema = NULL;
int			pgt_scheduler_interval = 1000;
int			pgt_min_schedule = 1;
char	   *pgt_default_schedule = NULL;
char	   *pgt_cron_timezone = NULL;
int			pgt_max_consecutive_errors = 5;
int			pgt_max_concurrent_refreshes = 4;
int			pgt_max_dynamic_refresh_workers = 8;
int			pgt_parallel_refresh_mode = PGT_PARALLEL_ON;
double		pgt_differential_max_change_ratio = 0.5;
int			pgt_wal_transition_timeout = 60000;
int			pgt_slot_lag_warning_threshold = 1024;
int			pgt_slot_lag_critical_threshold = 8192;
int			pgt_slot_wal_limit_action = PGT_SLOT_FALL_BACK;
int			pgt_buffer_alert_threshold = 1000000;
bool		pgt_block_source_ddl = false;
int			pgt_ivm_topk_max_limit = 1000;
int			pgt_ivm_recursive_max_depth = 100;
int			pgt_max_grouping_set_branches = 64;
bool		pgt_allow_circular = false;
int			pgt_max_fixpoint_iterations = 100;
bool		pgt_auto_backoff = true;
int			pgt_history_retention = 7 * 24 * 60;
int			pgt_log_refresh = PGT_LOG_REFRESH_OFF;
double		pgt_merge_seqscan_threshold = 0.25;
int			pgt_algebraic_drift_reset_cycles = 0;
bool		pgt_foreign_table_polling = false;
bool		pgt_matview_polling = false;
bool		pgt_auto_index = true;
int			pgt_decoder_work_mem = 65536;
int			pgt_refresh_work_mem = 262144;

#ifdef USE_ASSERT_CHECKING
char	   *pgt_crash_point = NULL;

void
pgt_crash_at(const char *point)
{
	if (strcmp(pgt_crash_point, point) == 0)
		kill(MyProcPid, SIGKILL);
}
#endif

static const struct config_enum_entry cdc_mode_options[] = {
	{"auto", PGT_CDC_AUTO, false},
	{"trigger", PGT_CDC_TRIGGER, false},
	{"wal", PGT_CDC_WAL, false},
	{NULL, 0, false}
};

static const struct config_enum_entry parallel_options[] = {
	{"on", PGT_PARALLEL_ON, false},
	{"off", PGT_PARALLEL_OFF, false},
	{"dry_run", PGT_PARALLEL_DRY_RUN, false},
	{NULL, 0, false}
};

static const struct config_enum_entry log_refresh_options[] = {
	{"off", PGT_LOG_REFRESH_OFF, false},
	{"slow", PGT_LOG_REFRESH_SLOW, false},
	{"all", PGT_LOG_REFRESH_ALL, false},
	{NULL, 0, false}
};

static const struct config_enum_entry slot_action_options[] = {
	{"fall_back", PGT_SLOT_FALL_BACK, false},
	{"warn", PGT_SLOT_WARN, false},
	{NULL, 0, false}
};

/* A duration that schedule.c can read, or "calculated"'s default is nonsense. */
static bool
check_default_schedule(char **newval, void **extra, GucSource source)
{
	if (pgt_schedule_duration_ms(*newval) > 0)
		return true;
	GUC_check_errdetail("A duration such as \"500ms\", \"30s\" or \"5m\" is wanted.");
	return false;
}

/* As core checks TimeZone: known, and without leap seconds. */
static bool
check_cron_timezone(char **newval, void **extra, GucSource source)
{
	pg_tz	   *zone;

	if ((*newval)[0] == '\0')
		return true;
	zone = pg_tzset(*newval);
	if (zone != NULL && pg_tz_acceptable(zone))
		return true;
	GUC_check_errdetail("A time zone such as \"Europe/Berlin\" or \"UTC\" is wanted.");
	return false;
}

static void
define_bool(const char *name, const char *text, bool *var, GucContext context)
{
	DefineCustomBoolVariable(name, text, NULL, var, *var, context, 0,
							 NULL, NULL, NULL);
}

static void
define_int(const char *name, const char *text, int *var, int min, int max,
		   GucContext context, int flags)
{
	DefineCustomIntVariable(name, text, NULL, var, *var, min, max, context,
							flags, NULL, NULL, NULL);
}

static void
define_enum(const char *name, const char *text, int *var,
			const struct config_enum_entry *options, GucContext context)
{
	DefineCustomEnumVariable(name, text, NULL, var, *var, options, context, 0,
							 NULL, NULL, NULL);
}

static void
define_general_settings(void)
{
	define_bool("pg_trickle.enabled", "Refreshes stream tables in the background.",
				&pgt_enabled, PGC_SIGHUP);
	DefineCustomStringVariable("pg_trickle.stream_table_schema",
							   "Schema of stream tables created by an unqualified name.",
							   "Empty: the first schema of search_path that the caller may create in.",
							   &pgt_stream_table_schema, "pgtrickle", PGC_USERSET,
							   0, NULL, NULL, NULL);
	define_bool("pg_trickle.block_source_ddl",
				"Refuses DDL on sources that would make a rebuild necessary.",
				&pgt_block_source_ddl, PGC_SUSET);
	define_bool("pg_trickle.auto_index",
				"Gives new stream tables an index on the key of their query.",
				&pgt_auto_index, PGC_USERSET);
	define_int("pg_trickle.history_retention",
			   "How long rows of the refresh history are kept.",
			   &pgt_history_retention, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_MIN);
	define_enum("pg_trickle.log_refresh", "Which refreshes are written to the server log.",
				&pgt_log_refresh, log_refresh_options, PGC_SUSET);
}

static void
define_capture_settings(void)
{
	define_enum("pg_trickle.cdc_mode", "How changes of sources are captured.",
				&pgt_cdc_mode, cdc_mode_options, PGC_SUSET);
	define_int("pg_trickle.wal_transition_timeout",
			   "How long a hand-over from triggers to WAL may take.",
			   &pgt_wal_transition_timeout, 1000, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS);
	define_int("pg_trickle.slot_lag_warning_threshold",
			   "WAL held by the slot from which on a warning is raised.",
			   &pgt_slot_lag_warning_threshold, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_MB);
	define_int("pg_trickle.slot_lag_critical_threshold",
			   "WAL held by the slot from which on slot_wal_limit_action is taken.",
			   &pgt_slot_lag_critical_threshold, 1, INT_MAX, PGC_SIGHUP, GUC_UNIT_MB);
	define_enum("pg_trickle.slot_wal_limit_action",
				"What is done about a slot that endangers the disk.",
				&pgt_slot_wal_limit_action, slot_action_options, PGC_SIGHUP);
	define_int("pg_trickle.buffer_alert_threshold",
			   "Pending changes of one source from which on an alert is raised.",
			   &pgt_buffer_alert_threshold, 1, INT_MAX, PGC_SIGHUP, 0);
	define_int("pg_trickle.decoder_work_mem",
			   "Memory for decoded changes before they are written out.",
			   &pgt_decoder_work_mem, 1024, MAX_KILOBYTES, PGC_SIGHUP, GUC_UNIT_KB);
	define_bool("pg_trickle.foreign_table_polling",
				"Maintains queries over foreign tables by comparing snapshots.",
				&pgt_foreign_table_polling, PGC_SUSET);
	define_bool("pg_trickle.matview_polling",
				"Maintains queries over materialized views by comparing snapshots.",
				&pgt_matview_polling, PGC_SUSET);
}

static void
define_schedule_settings(void)
{
	define_int("pg_trickle.scheduler_interval",
			   "Longest time between two looks of the scheduler at its clocks while something is due.",
			   &pgt_scheduler_interval, 10, 60000, PGC_SIGHUP, GUC_UNIT_MS);
	define_int("pg_trickle.min_schedule", "Shortest duration a schedule may have.",
			   &pgt_min_schedule, 1, INT_MAX, PGC_SUSET, GUC_UNIT_MS);
	DefineCustomStringVariable("pg_trickle.default_schedule",
							   "Schedule of calculated stream tables that no other one reads.",
							   NULL, &pgt_default_schedule, "1s", PGC_SIGHUP, 0,
							   check_default_schedule, NULL, NULL);
	DefineCustomStringVariable("pg_trickle.cron_timezone",
							   "Time zone of cron schedules; empty: the server's.",
							   NULL, &pgt_cron_timezone, "", PGC_SIGHUP, 0,
							   check_cron_timezone, NULL, NULL);
	define_int("pg_trickle.max_consecutive_errors",
			   "Failed refreshes in a row after which a stream table is suspended.",
			   &pgt_max_consecutive_errors, 1, INT_MAX, PGC_SIGHUP, 0);
	define_int("pg_trickle.max_concurrent_refreshes",
			   "Refresh workers per database.",
			   &pgt_max_concurrent_refreshes, 1, 64, PGC_SIGHUP, 0);
	define_int("pg_trickle.max_dynamic_refresh_workers",
			   "Refresh workers in the whole server.",
			   &pgt_max_dynamic_refresh_workers, 1, 64, PGC_SIGHUP, 0);
	define_enum("pg_trickle.parallel_refresh_mode",
				"Refreshes independent stream tables by several workers.",
				&pgt_parallel_refresh_mode, parallel_options, PGC_SIGHUP);
	define_bool("pg_trickle.auto_backoff",
				"Lengthens the interval of refreshes that outlast it.",
				&pgt_auto_backoff, PGC_SIGHUP);
}

static void
define_engine_settings(void)
{
	DefineCustomRealVariable("pg_trickle.differential_max_change_ratio",
							 "Changes per row of the sources above which AUTO refreshes by FULL before it has measured both.",
							 NULL, &pgt_differential_max_change_ratio,
							 pgt_differential_max_change_ratio, 0.0, 100.0,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("pg_trickle.merge_seqscan_threshold",
							 "Share of a stream table's rows above which applying a delta scans it instead of probing its index.",
							 NULL, &pgt_merge_seqscan_threshold,
							 pgt_merge_seqscan_threshold, 0.0, 1.0, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	define_int("pg_trickle.refresh_work_mem",
			   "Memory of one refresh for groups and consolidation before it works in parts.",
			   &pgt_refresh_work_mem, 64, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB);
	define_int("pg_trickle.algebraic_drift_reset_cycles",
			   "Rebuilds float states every so many refreshes; 0: never, exact sums do not drift.",
			   &pgt_algebraic_drift_reset_cycles, 0, INT_MAX, PGC_SUSET, 0);
	define_int("pg_trickle.ivm_topk_max_limit",
			   "Largest LIMIT and OFFSET whose rows are kept with some to spare.",
			   &pgt_ivm_topk_max_limit, 0, INT_MAX, PGC_SUSET, 0);
	define_int("pg_trickle.ivm_recursive_max_depth",
			   "Depth at which IMMEDIATE recursion raises an error.",
			   &pgt_ivm_recursive_max_depth, 1, INT_MAX, PGC_SUSET, 0);
	define_int("pg_trickle.max_grouping_set_branches",
			   "Most grouping sets of one query that are kept differentially.",
			   &pgt_max_grouping_set_branches, 1, 4096, PGC_SUSET, 0);
	define_bool("pg_trickle.allow_circular",
				"Allows monotone cycles of stream tables.",
				&pgt_allow_circular, PGC_SUSET);
	define_int("pg_trickle.max_fixpoint_iterations",
			   "Rounds after which a cycle that does not settle raises an error.",
			   &pgt_max_fixpoint_iterations, 1, INT_MAX, PGC_SUSET, 0);
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("pg_trickle must be loaded via shared_preload_libraries"),
				 errhint("Add pg_trickle to shared_preload_libraries in postgresql.conf and restart the server.")));

	define_general_settings();
	define_capture_settings();
	define_schedule_settings();
	define_engine_settings();
#ifdef USE_ASSERT_CHECKING
	DefineCustomStringVariable("pg_trickle.crash_point",
							   "Place at which a process of pg_trickle kills itself.",
							   NULL, &pgt_crash_point, "", PGC_SIGHUP,
							   GUC_NOT_IN_SAMPLE | GUC_NO_SHOW_ALL, NULL, NULL,
							   NULL);
#endif
	MarkGUCPrefixReserved("pg_trickle");

	pgt_capture_init();
	pgt_immediate_init();
	pgt_guard_init();
	pgt_schedule_init();
}
