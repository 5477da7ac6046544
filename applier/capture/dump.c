/*
 * applier/capture/dump.c - a change batch as text, for debugging and tests.
 *
 * The functions are not declared by the extension's script: printing values
 * trusts their insides as much as a table's, and a type's output function may
 * crash on made-up ones.  So only a superuser may declare them (LANGUAGE C):
 *
 *   CREATE FUNCTION change_batch_lines(batch bytea) RETURNS SETOF text
 *       LANGUAGE C STRICT AS 'pg_trickle', 'pgt_change_batch_lines';
 *   CREATE FUNCTION change_batch_check(batch bytea) RETURNS bigint
 *       LANGUAGE C STRICT AS 'pg_trickle', 'pgt_change_batch_check';
 */
#include "postgres.h"

#include "access/table.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "decoder/compat.h"
#include "decoder/wire.h"

PG_FUNCTION_INFO_V1(pgt_change_batch_check);
PG_FUNCTION_INFO_V1(pgt_change_batch_lines);

static void
append_tuple(StringInfo line, const PgtWireShape *shape,
			 const PgtWireTupleRef *ref)
{
	Datum	   *values = palloc(sizeof(Datum) * (shape->ncolumns + 1));
	bool	   *nulls = palloc(sizeof(bool) * (shape->ncolumns + 1));

	pgt_wire_read_tuple(shape, ref, values, nulls);
	appendStringInfoString(line, " (");
	for (int i = 0; i < shape->ncolumns; i++)
	{
		Oid			output;
		bool		is_varlena;

		if (i > 0)
			appendStringInfoString(line, ", ");
		if (nulls[i])
		{
			appendStringInfoString(line, "NULL");
			continue;
		}
		getTypeOutputInfo(shape->columns[i].type, &output, &is_varlena);
		appendStringInfoString(line, OidOutputFunctionCall(output, values[i]));
	}
	appendStringInfoChar(line, ')');
}

static int
count_values(const PgtWireShape *shape, const PgtWireTupleRef *ref)
{
	Datum	   *values = palloc(sizeof(Datum) * (shape->ncolumns + 1));
	bool	   *nulls = palloc(sizeof(bool) * (shape->ncolumns + 1));
	int			n = 0;

	pgt_wire_read_tuple(shape, ref, values, nulls);
	for (int i = 0; i < shape->ncolumns; i++)
		n += !nulls[i];
	return n;
}

static char *
change_line(const PgtWireShape *shape, const PgtWireChange *change)
{
	StringInfoData line;

	initStringInfo(&line);
	switch (change->op)
	{
		case PGT_WIRE_INSERT:
			appendStringInfoString(&line, "INSERT");
			append_tuple(&line, shape, &change->new_tuple);
			break;
		case PGT_WIRE_DELETE:
			appendStringInfoString(&line, "DELETE");
			append_tuple(&line, shape, &change->old_tuple);
			break;
		case PGT_WIRE_UPDATE:
			appendStringInfoString(&line, "UPDATE");
			append_tuple(&line, shape, &change->old_tuple);
			append_tuple(&line, shape, &change->new_tuple);
			break;
		case PGT_WIRE_TRUNCATE:
			appendStringInfoString(&line, "TRUNCATE");
			break;
		case PGT_WIRE_LOST:
			appendStringInfo(&line, "LOST: %.*s", change->reason_len,
							 change->reason);
			break;
	}
	return line.data;
}

/* The shape as the source is now, which must be what the batch was made of. */
static PgtWireShape *
batch_shape(const PgtWireReader *batch)
{
	Relation	source = try_table_open(batch->header.source, AccessShareLock);
	PgtWireShape *shape;

	if (source == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the change batch's source, relation with OID %u, does not exist",
						batch->header.source)));
	shape = pgt_wire_shape(batch->header.source, RelationGetDescr(source),
						   batch->attnums, batch->header.ncolumns);
	table_close(source, AccessShareLock);
	if (batch->header.ncolumns > 0 &&
		(shape == NULL || shape->signature != batch->header.signature))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the source's columns are not those of the change batch")));
	return shape;
}

/* Read all of a batch without printing it; returns how many values are in it. */
Datum
pgt_change_batch_check(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(0);
	PgtWireReader batch;
	PgtWireChange change;
	PgtWireShape *shape;
	int64		nvalues = 0;

	pgt_wire_read_begin(&batch, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
	shape = batch_shape(&batch);
	while (pgt_wire_read_next(&batch, &change))
	{
		if (change.old_tuple.data)
			nvalues += count_values(shape, &change.old_tuple);
		if (change.new_tuple.data)
			nvalues += count_values(shape, &change.new_tuple);
	}
	PG_RETURN_INT64(nvalues);
}

Datum
pgt_change_batch_lines(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(0);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	PgtWireReader batch;
	PgtWireChange change;
	PgtWireShape *shape;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	pgt_wire_read_begin(&batch, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
	shape = batch_shape(&batch);
	while (pgt_wire_read_next(&batch, &change))
	{
		Datum		line = CStringGetTextDatum(change_line(shape, &change));
		bool		isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &line, &isnull);
	}
	return (Datum) 0;
}
