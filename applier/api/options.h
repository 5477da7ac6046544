/*
 * applier/api/options.h - the arguments of create and alter, parsed and checked.
 */
#ifndef PGT_OPTIONS_H
#define PGT_OPTIONS_H

#include "postgres.h"

#include "applier/catalog/catalog.h"

/* What a caller wrote; NULL pointers: not given. */
typedef struct PgtOptions
{
	char	   *schedule;
	char	   *refresh_mode;
	char	   *diamond_consistency;
	char	   *diamond_schedule_policy;
	char	   *cdc_mode;
	bool		append_only;
	bool		has_append_only;	/* given at all */
} PgtOptions;

/*
 * Check every given option (22023 for a wrong value, 0A000 for one that is not
 * built yet) and bring it into its stored form: modes in capitals, aliases
 * resolved, "calculated" as NULL schedule.
 */
extern void pgt_options_check(PgtOptions *o);

/* 55000 when a stream table asks for cdc_mode wal and a table it reads cannot
 * be captured so.  After its dependencies are stored. */
extern void pgt_options_require_wal(const PgtStreamTable *st);
/* 22023 for a schedule together with refresh mode IMMEDIATE; either may be NULL. */
extern void pgt_options_check_schedule(const char *refresh_mode,
									   const char *schedule);

#endif							/* PGT_OPTIONS_H */
