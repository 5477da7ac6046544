/*
 * applier/capture/cdc.h - how a source's changes should be captured, and why
 * not from the WAL.
 */
#ifndef PGT_CDC_H
#define PGT_CDC_H

#include "postgres.h"

#include "applier/catalog/catalog.h"
#include "applier/settings.h"

typedef struct PgtCdcDecision
{
	PgtCdcMode	wanted;			/* resolved over all users of the source */
	bool		use_wal;
	char	   *blocked_reason; /* why not, NULL with use_wal */
	char	   *hint;			/* what helps, or NULL */
	bool		unlogged;		/* blocked because writes leave no WAL */
} PgtCdcDecision;

/* For a captured table; reads catalogs and shared memory, takes no locks. */
extern void pgt_cdc_decide(const PgtSource *source, PgtCdcDecision *d);

/* What a stream table's request comes to: NULL is the setting. */
extern PgtCdcMode pgt_cdc_requested(const char *requested);

/* Of the states of pgt_sources (handover.c). */
extern bool pgt_cdc_is_wal(const PgtSource *s);
extern bool pgt_cdc_is_going(const PgtSource *s);	/* triggers, decoder is to come up */

/* Name of this database's slot. */
extern char *pgt_cdc_slot_name(void);

#endif							/* PGT_CDC_H */
