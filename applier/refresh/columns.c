/*
 * applier/refresh/columns.c - do a query's columns still fit the table?
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/rel.h"

#include "applier/refresh/internal.h"

/* The table's i-th live column, or NULL when there are fewer. */
static Form_pg_attribute
live_column(Relation rel, int i)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int attno = 0; attno < desc->natts; attno++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, attno);

		if (!att->attisdropped && i-- == 0)
			return att;
	}
	return NULL;
}

int
pgt_refresh_first_mismatch(TupleDesc query_desc, Relation rel)
{
	for (int i = 0; i < query_desc->natts; i++)
	{
		Form_pg_attribute want = TupleDescAttr(query_desc, i);
		Form_pg_attribute have = live_column(rel, i);

		if (have == NULL || strcmp(NameStr(have->attname), NameStr(want->attname)) != 0 ||
			have->atttypid != want->atttypid || have->atttypmod != want->atttypmod ||
			have->attcollation != want->attcollation)
			return i;
	}
	return live_column(rel, query_desc->natts) == NULL ? -1 : query_desc->natts;
}

void
pgt_refresh_check_columns(const Query *query, Relation rel)
{
	TupleDesc	desc = pgt_query_result_desc(query);
	int			at = pgt_refresh_first_mismatch(desc, rel);

	if (at < 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("columns of stream table \"%s\" no longer match its query",
					RelationGetRelationName(rel)),
			 errdetail("Column %d differs in name, type or collation.", at + 1),
			 errhint("Give it a new query by pgtrickle.alter_stream_table(..., query => ...).")));
}
