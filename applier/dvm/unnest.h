/*
 * applier/dvm/unnest.h - queries without subqueries in expressions.
 * Private to dvm/.
 *
 * In the compiler's form a join of FROM can be of a kind that SQL has no words
 * for:
 *     JOIN_SEMI, JOIN_ANTI     the left side's columns
 *     JOIN_SEMI named "mark"   and one more: is there a match?  Var(rtindex, 1)
 *     JOIN_SEMI named "single" and one more: column 1 of the right side's only
 *                              match, NULL without one; two are an error
 */
#ifndef PGT_UNNEST_H
#define PGT_UNNEST_H

#include "postgres.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

#define PGT_MARK_JOIN "mark"
#define PGT_SINGLE_JOIN "single"

extern bool pgt_join_is_named(const JoinExpr *join, const char *name);

/* The first thing found that cannot be taken apart; all NULL: nothing. */
typedef struct PgtUnnest
{
	const char *construct;
	const char *detail;
} PgtUnnest;

/* A level whose subqueries in expressions become joins. */
typedef struct PgtUnnestLevel
{
	PgtUnnest  *u;
	Query	   *query;
	Node	   *tree;			/* FROM, so far */
	List	   *quals;			/* WHERE, so far */
} PgtUnnestLevel;

/* ---- unnest.c ---- */

/* The query, normalised otherwise, is changed in place, at every level. */
extern void pgt_unnest_query(PgtUnnest *u, Query *query);

extern void pgt_unnest_refuse(PgtUnnest *u, const char *construct,
							  const char *detail);
/* A subquery as one more entry of the level's range table. */
extern int	pgt_unnest_add_entry(PgtUnnestLevel *v, Query *sub);
/* The level's tree becomes the left side of a join. */
extern void pgt_unnest_join(PgtUnnestLevel *v, JoinType type, int right,
							List *quals);
/* ... of one that adds a column, which is returned. */
extern Node *pgt_unnest_column_join(PgtUnnestLevel *v, const char *name,
									int right, List *quals, Node *column);

/* The names of a subquery's columns, for its entry. */
extern void pgt_unnest_note_names(RangeTblEntry *rte);

/* ---- lateral.c ---- */

/* LATERAL entries of the level's FROM refer to nothing any more. */
extern void pgt_lateral_flatten(PgtUnnest *u, Query *query);

/* Subqueries in the conditions of outer joins, as columns of their sides. */
extern void pgt_lateral_hide_conditions(PgtUnnest *u, Query *query, Node *node);

/* ---- sublink.c ---- */

/*
 * A copy of a subquery without its references to the level, where these stand
 * in conditions of a plain WHERE only: they are the conditions returned, in the
 * level's terms, where the copy is entry rtindex.  NULL: they do not.
 */
extern Query *pgt_sublink_hoist(Query *sub, int rtindex, List **quals);

/* A condition of WHERE with subqueries in it: joined, or added to WHERE. */
extern void pgt_sublink_condition(PgtUnnestLevel *v, Node *qual);
/* Is it one that a semi- or anti-join answers? */
extern bool pgt_sublink_is_filter(Node *qual);
/* An expression: with columns of joins in place of its subqueries.  positive:
 * that it is NULL or false is all the same. */
extern Node *pgt_sublink_replace(PgtUnnestLevel *v, Node *node, bool positive);
/* Is there a subquery that reads a relation? */
extern bool pgt_sublink_within(Node *node);

/* ---- domain.c ---- */

/*
 * A subquery of a level that becomes an entry of its range table, without
 * references to the level: what it referred to, columns of one entry, are
 * columns of its own, and it returns its rows for every value they have.
 */
typedef struct PgtDomain
{
	Query	   *sub;			/* visible columns first, as they were */
	List	   *quals;			/* which rows belong to which of the level's */
	/* an aggregate without GROUP BY has no row where it aggregates nothing */
	bool		aggregate;
	int			having;			/* column that is HAVING's value, 0 = none */
	int			matched;		/* column that is never NULL */
	List	   *empty_values;	/* what the visible columns are there, in the level's terms */
	Node	   *empty_having;	/* or NULL */
} PgtDomain;

/* sub, changed in place, is to be entry rtindex of the level.  False: refused. */
extern bool pgt_domain_make(PgtUnnest *u, const Query *level, Query *sub,
							int rtindex, PgtDomain *domain);

/* A visible column of an aggregate's entry, or of what is there instead. */
extern Node *pgt_domain_value(const PgtDomain *d, int rtindex, int col);
/* Does HAVING let the aggregate's row through? */
extern Node *pgt_domain_exists(const PgtDomain *d, int rtindex);

#endif							/* PGT_UNNEST_H */
