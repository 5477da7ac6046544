/*
 * applier/dvm/rowid.c - which index tells the rows of a stream table apart.
 *
 * Where the query's output has a key, and a btree can hold it, the identity
 * is a unique index on it, NULLS NOT DISTINCT.  Else it is an index on
 * pgtrickle.row_hash(all columns), a hash of the row's bytes; whoever looks
 * rows up compares the bytes.
 *
 * The identity is recognised by what it is, not by its name, so that users
 * may rename it: the oldest valid unique index over plain columns that treats
 * NULLs as equal, else the oldest index on row_hash.  Stream tables have
 * REPLICA IDENTITY FULL: key columns may be NULL, and publications must not
 * stop refreshes.
 */
#include "postgres.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/primnodes.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "applier/catalog/catalog.h"
#include "applier/dvm/image.h"
#include "applier/dvm/op.h"

#define IDENTITY_SUFFIX "_pgt_row_identity"
/* A btree page takes a third of a page per entry; longer text may not fit. */
#define BOUNDED_VARCHAR 500

PG_FUNCTION_INFO_V1(pgt_row_hash);

/* ---- creating ---- */

/*
 * Will a btree most likely hold the values?  Text might be too long; then
 * pgt_rowid_switch_to_hash is what is left.
 */
static bool
btree_key_type(Oid type)
{
	Oid			base = getBaseType(type);
	char		category;
	bool		preferred;

	if (!OidIsValid(GetDefaultOpClass(base, BTREE_AM_OID)))
		return false;
	if (get_typlen(base) != -1)
		return true;
	get_type_category_preferred(base, &category, &preferred);
	switch (category)
	{
		case TYPCATEGORY_STRING:
		case TYPCATEGORY_NUMERIC:
		case TYPCATEGORY_NETWORK:
			return true;
		default:
			return false;
	}
}

static bool
btree_key(Relation rel, List *key_attnos)
{
	ListCell   *lc;

	if (key_attnos == NIL || list_length(key_attnos) > INDEX_MAX_KEYS)
		return false;
	foreach(lc, key_attnos)
		if (!btree_key_type(TupleDescAttr(RelationGetDescr(rel),
										  lfirst_int(lc) - 1)->atttypid))
			return false;
	return true;
}

/* Can a value of the column be longer than an index entry may be?  Numbers of
 * thousands of digits are not reckoned with. */
static bool
is_unbounded(Form_pg_attribute att)
{
	char		category;
	bool		preferred;

	if (att->attlen != -1)
		return false;
	get_type_category_preferred(getBaseType(att->atttypid), &category, &preferred);
	if (category != TYPCATEGORY_STRING)
		return false;
	return att->atttypmod < 0 || att->atttypmod - VARHDRSZ > BOUNDED_VARCHAR;
}

bool
pgt_rowid_may_overflow(Oid st_relid, List *key_attnos)
{
	Relation	rel = table_open(st_relid, AccessShareLock);
	bool		result = false;
	ListCell   *lc;

	foreach(lc, key_attnos)
		if (is_unbounded(TupleDescAttr(RelationGetDescr(rel), lfirst_int(lc) - 1)))
			result = true;
	table_close(rel, NoLock);
	return result;
}

static char *
index_name(Relation rel)
{
	char		name[NAMEDATALEN];
	int			room = NAMEDATALEN - 1 - strlen(IDENTITY_SUFFIX);
	const char *table = RelationGetRelationName(rel);
	Oid			schema = RelationGetNamespace(rel);
	int			len = pg_mbcliplen(table, strlen(table), room);

	snprintf(name, sizeof(name), "%.*s%s", len, table, IDENTITY_SUFFIX);
	for (int i = 1; OidIsValid(get_relname_relid(name, schema)); i++)
	{
		len = pg_mbcliplen(table, strlen(table), room - 6);
		snprintf(name, sizeof(name), "%.*s_%d%s", len, table, i,
				 IDENTITY_SUFFIX);
	}
	return pstrdup(name);
}

static void
append_column(StringInfo sql, Relation rel, int i)
{
	appendStringInfoString(sql, quote_identifier(NameStr(
		TupleDescAttr(RelationGetDescr(rel), i)->attname)));
}

/* pgtrickle.row_hash(...) over all columns, nested in rows where there are
 * more than a function takes; pgt_row_hash_values computes the same. */
static void
append_row_hash(StringInfo sql, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			live = 0;
	int			n = 0;
	bool		nested;

	for (int i = 0; i < desc->natts; i++)
		live += TupleDescAttr(desc, i)->attisdropped ? 0 : 1;
	nested = live > PGT_ROW_HASH_ARGS;
	appendStringInfoString(sql, "pgtrickle.row_hash(");
	for (int i = 0; i < desc->natts && n < PGT_ROW_HASH_COLUMNS; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		if (n > 0)
			appendStringInfoString(sql, nested && n % PGT_ROW_HASH_ARGS == 0 ?
								   "), " : ", ");
		if (nested && n % PGT_ROW_HASH_ARGS == 0)
			appendStringInfoString(sql, "ROW(");
		append_column(sql, rel, i);
		n++;
	}
	appendStringInfoString(sql, nested ? "))" : ")");
}

static void
run_ddl(const char *sql)
{
	if (SPI_execute(sql, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "could not run \"%s\"", sql);
}

static char *
table_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

static char *
index_definition(Relation rel, const char *name, List *key_attnos)
{
	bool		by_key = btree_key(rel, key_attnos);
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE %sINDEX %s ON %s USING btree (",
					 by_key ? "UNIQUE " : "", quote_identifier(name),
					 table_name(rel));
	if (!by_key)
		append_row_hash(&sql, rel);
	else
		foreach(lc, key_attnos)
		{
			if (lc != list_head(key_attnos))
				appendStringInfoString(&sql, ", ");
			append_column(&sql, rel, lfirst_int(lc) - 1);
		}
	appendStringInfoString(&sql, by_key ? ") NULLS NOT DISTINCT" : ")");
	return sql.data;
}

/*
 * Make the identity index of a new stream table: on the key columns
 * (attribute numbers; NIL: there is no key) if a btree can hold them.
 */
Oid
pgt_rowid_create(Oid st_relid, List *key_attnos)
{
	Relation	rel = table_open(st_relid, ShareLock);
	char	   *name = index_name(rel);
	char	   *index = index_definition(rel, name, key_attnos);
	char	   *identity = psprintf("ALTER TABLE %s REPLICA IDENTITY FULL",
									table_name(rel));
	bool		identify = rel->rd_rel->relreplident != REPLICA_IDENTITY_FULL;
	Oid			schema = RelationGetNamespace(rel);

	table_close(rel, NoLock);
	SPI_connect();
	pgt_engine_begin_write();
	run_ddl(index);
	if (identify)
		run_ddl(identity);
	pgt_engine_end_write();
	SPI_finish();
	return get_relname_relid(name, schema);
}

/*
 * Replace an identity on key columns by one on the row's hash: for keys that
 * turn out too long for a btree (SQLSTATE 54000 from a write).  Returns the
 * new index; the stream table's other indexes stay.
 */
Oid
pgt_rowid_switch_to_hash(Oid st_relid)
{
	PgtRowIdentity id;
	ObjectAddress index;

	LockRelationOid(st_relid, AccessExclusiveLock);
	pgt_rowid_get(st_relid, &id);
	if (!id.by_key)
		return id.index;
	ObjectAddressSet(index, RelationRelationId, id.index);
	performDeletion(&index, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
	return pgt_rowid_create(st_relid, NIL);
}

/* ---- recognising ---- */

static bool
is_key_identity(Relation index)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indimmediate || !form->indisvalid ||
		!form->indnullsnotdistinct || index->rd_rel->relam != BTREE_AM_OID)
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
		if (form->indkey.values[i] <= 0)
			return false;
	return RelationGetIndexPredicate(index) == NIL;
}

static bool
is_hash_identity(Relation index)
{
	List	   *expressions;
	FuncExpr   *call;

	if (!index->rd_index->indisvalid || index->rd_rel->relam != BTREE_AM_OID ||
		index->rd_index->indnatts != 1 ||
		index->rd_index->indkey.values[0] != 0)
		return false;
	expressions = RelationGetIndexExpressions(index);
	call = (FuncExpr *) linitial(expressions);
	if (!IsA(call, FuncExpr) || RelationGetIndexPredicate(index) != NIL)
		return false;
	return get_func_namespace(call->funcid) == pgt_schema_oid() &&
		strcmp(get_func_name(call->funcid), "row_hash") == 0;
}

static void
set_key_columns(PgtRowIdentity *id, Relation index)
{
	id->nkeys = index->rd_index->indnkeyatts;
	id->key_attnos = palloc(sizeof(AttrNumber) * id->nkeys);
	for (int i = 0; i < id->nkeys; i++)
		id->key_attnos[i] = index->rd_index->indkey.values[i];
}

static bool
find_identity(Relation rel, PgtRowIdentity *id)
{
	List	   *indexes = RelationGetIndexList(rel);	/* by OID */
	ListCell   *lc;

	memset(id, 0, sizeof(PgtRowIdentity));
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (is_key_identity(index))
		{
			id->by_key = true;
			id->index = lfirst_oid(lc);
			set_key_columns(id, index);
		}
		else if (!OidIsValid(id->index) && is_hash_identity(index))
			id->index = lfirst_oid(lc);
		index_close(index, NoLock);
		if (id->by_key)
			break;
	}
	return OidIsValid(id->index);
}

/* The stream table's identity; error if no index can serve as one. */
void
pgt_rowid_get(Oid st_relid, PgtRowIdentity *id)
{
	Relation	rel = table_open(st_relid, AccessShareLock);

	if (!find_identity(rel, id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream table \"%s\" has no index that identifies its rows",
						RelationGetRelationName(rel)),
				 errhint("Create it again with create_or_replace_stream_table.")));
	table_close(rel, NoLock);
}

/* The index that identifies the table's rows, InvalidOid if there is none. */
Oid
pgt_rowid_find(Oid st_relid)
{
	Relation	rel = table_open(st_relid, AccessShareLock);
	PgtRowIdentity id;

	find_identity(rel, &id);
	table_close(rel, NoLock);
	return id.index;
}

/* ---- pgtrickle.row_hash(VARIADIC "any") ---- */

typedef struct HashArgument
{
	int16		typlen;
	bool		typbyval;
	bool		holds_rows;
} HashArgument;

static HashArgument *
hash_arguments(FunctionCallInfo fcinfo)
{
	HashArgument *args = fcinfo->flinfo->fn_extra;

	if (args != NULL)
		return args;
	args = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt,
							  sizeof(HashArgument) * Max(PG_NARGS(), 1));
	for (int i = 0; i < PG_NARGS(); i++)
	{
		Oid			type = get_fn_expr_argtype(fcinfo->flinfo, i);

		if (!OidIsValid(type))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("could not determine the type of argument %d of row_hash",
							i + 1)));
		get_typlenbyval(type, &args[i].typlen, &args[i].typbyval);
		args[i].holds_rows = args[i].typlen == -1 && pgt_type_holds_rows(type);
	}
	fcinfo->flinfo->fn_extra = args;
	return args;
}

/*
 * Hash of the arguments' bytes: NULL-aware, independent of how values are
 * stored, of settings and of collations.
 */
Datum
pgt_row_hash(PG_FUNCTION_ARGS)
{
	HashArgument *args;
	uint64		hash = PGT_ROW_HASH_SEED;

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("row_hash does not take a VARIADIC array"),
				 errhint("Pass the values one by one.")));
	args = hash_arguments(fcinfo);
	for (int i = 0; i < PG_NARGS(); i++)
		hash = pgt_row_hash_step(hash,
								 pgt_value_hash(PG_GETARG_DATUM(i),
												PG_ARGISNULL(i),
												args[i].typlen,
												args[i].typbyval,
												args[i].holds_rows));
	PG_RETURN_INT64((int64) hash);
}
