/*
 * applier/settings.h - the pg_trickle.* settings as C variables.
 * Defined in applier/pg_trickle.c, where types, ranges, units and texts stand.
 */
#ifndef PGT_SETTINGS_H
#define PGT_SETTINGS_H

/* as pg_trickle.control has it; t/000_tree.pl compares them */
#define PGT_VERSION "0.1.0"

typedef enum PgtCdcMode
{
	PGT_CDC_AUTO, PGT_CDC_TRIGGER, PGT_CDC_WAL
} PgtCdcMode;

typedef enum PgtParallelMode
{
	PGT_PARALLEL_OFF, PGT_PARALLEL_ON, PGT_PARALLEL_DRY_RUN
} PgtParallelMode;

typedef enum PgtLogRefresh
{
	PGT_LOG_REFRESH_OFF, PGT_LOG_REFRESH_SLOW, PGT_LOG_REFRESH_ALL
} PgtLogRefresh;

typedef enum PgtSlotAction
{
	PGT_SLOT_FALL_BACK, PGT_SLOT_WARN
} PgtSlotAction;

extern bool pgt_enabled;
extern int	pgt_cdc_mode;
extern char *pgt_stream_table_schema;
extern int	pgt_scheduler_interval;		/* ms */
extern int	pgt_min_schedule;			/* ms */
extern char *pgt_default_schedule;
extern char *pgt_cron_timezone;
extern int	pgt_max_consecutive_errors;
extern int	pgt_max_concurrent_refreshes;
extern int	pgt_max_dynamic_refresh_workers;
extern int	pgt_parallel_refresh_mode;
extern double pgt_differential_max_change_ratio;
extern int	pgt_wal_transition_timeout;	/* ms */
extern int	pgt_slot_lag_warning_threshold; /* MB */
extern int	pgt_slot_lag_critical_threshold;	/* MB */
extern int	pgt_slot_wal_limit_action;
extern int	pgt_buffer_alert_threshold;	/* changes */
extern bool pgt_block_source_ddl;
extern int	pgt_ivm_topk_max_limit;
extern int	pgt_ivm_recursive_max_depth;
extern int	pgt_max_grouping_set_branches;
extern bool pgt_allow_circular;
extern int	pgt_max_fixpoint_iterations;
extern bool pgt_auto_backoff;
extern int	pgt_history_retention;		/* minutes */
extern int	pgt_log_refresh;
extern double pgt_merge_seqscan_threshold;
extern int	pgt_algebraic_drift_reset_cycles;
extern bool pgt_foreign_table_polling;
extern bool pgt_matview_polling;
extern bool pgt_auto_index;
extern int	pgt_decoder_work_mem;		/* kB */
extern int	pgt_refresh_work_mem;		/* kB */

/*
 * Named places at which a process of ours kills itself (SIGKILL), for tests of
 * crashes; in assert-enabled builds only.  pg_trickle.crash_point names one.
 */
#ifdef USE_ASSERT_CHECKING
extern char *pgt_crash_point;
extern void pgt_crash_at(const char *point);
#define PGT_CRASH_POINT(point) \
	do { if (pgt_crash_point[0] != '\0') pgt_crash_at(point); } while (0)
#else
#define PGT_CRASH_POINT(point) ((void) 0)
#endif

#endif							/* PGT_SETTINGS_H */
