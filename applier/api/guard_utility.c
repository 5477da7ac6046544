/*
 * applier/api/guard_utility.c - which utility commands stream tables and the
 * engine's tables refuse.
 *
 * Names are resolved without a lock before the command does it again with
 * one; a table that changes its name in between is seen by the executor's
 * guard.  A stream table stays an ordinary, permanent, stand-alone table with
 * the columns of its query: everything else about it is the owner's business.
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"

#include "applier/api/guard.h"
#include "applier/catalog/catalog.h"
#include "applier/dvm/dvm.h"
#include "decoder/compat.h"

bool
pgt_guard_watches(const Node *stmt)
{
	switch (nodeTag(stmt))
	{
		case T_TransactionStmt:
			return ((const TransactionStmt *) stmt)->kind == TRANS_STMT_COMMIT_PREPARED;
		case T_CopyStmt:
			return ((const CopyStmt *) stmt)->is_from;
		case T_AlterTableStmt:
		case T_RenameStmt:
		case T_AlterObjectSchemaStmt:
		case T_DropStmt:
		case T_DropOwnedStmt:
		case T_CreateStmt:
		case T_CreateForeignTableStmt:
		case T_CreateSchemaStmt:
		case T_RuleStmt:
		case T_ViewStmt:
		case T_CreateFunctionStmt:
		case T_AlterFunctionStmt:
		case T_DefineStmt:
		case T_AlterEnumStmt:
		case T_CreatePolicyStmt:
		case T_AlterPolicyStmt:
		case T_CreateExtensionStmt:
		case T_CreatedbStmt:
		case T_DropdbStmt:
		case T_AlterDatabaseStmt:
		case T_CreateSubscriptionStmt:
		case T_AlterSubscriptionStmt:
			return true;
		default:
			return false;
	}
}

static Oid
lookup(const RangeVar *relation)
{
	return relation ? RangeVarGetRelid(relation, NoLock, true) : InvalidOid;
}

static void
refuse(Oid relid, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot %s stream table \"%s\"", what, get_rel_name(relid)),
			 errdetail("It is a table of its own, with the columns of its defining query."),
			 errhint("Use pgtrickle.alter_stream_table to change its query, or put a view over it.")));
}

static void
refuse_if_stream_table(Oid relid, const char *what)
{
	if (OidIsValid(relid) && pgt_is_stream_table(relid))
		refuse(relid, what);
}

static void
refuse_if_engine_table(Oid relid)
{
	if (OidIsValid(relid) && pgt_is_engine_table(relid))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot alter table \"%s\"", get_rel_name(relid)),
				 errdetail("It belongs to pg_trickle, which alone changes it.")));
}

/* What a sub-command of ALTER TABLE would do to a stream table, or NULL. */
static const char *
forbidden_change(AlterTableType subtype)
{
	switch (subtype)
	{
		case AT_AddColumn:
			return "add a column to";
		case AT_DropColumn:
			return "drop a column of";
		case AT_AlterColumnType:
			return "change the type of a column of";
		case AT_AddIdentity:
		case AT_SetIdentity:
		case AT_DropIdentity:
			return "change the identity of a column of";
		case AT_DropExpression:
			return "change the expression of a column of";
		case AT_AddInherit:
		case AT_DropInherit:
			return "change the inheritance of";
		case AT_AddOf:
		case AT_DropOf:
			return "change the row type of";
		case AT_SetUnLogged:
			/* a crash would empty it, and nobody would know */
			return "remove the write-ahead logging of";
		default:
			return NULL;
	}
}

static void
check_alter_table(const AlterTableStmt *stmt)
{
	Oid			relid = lookup(stmt->relation);
	bool		is_stream_table = OidIsValid(relid) && pgt_is_stream_table(relid);
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		const AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);
		const char *what = forbidden_change(cmd->subtype);

		if (is_stream_table && (what != NULL || PGT_IS_SET_EXPRESSION(cmd->subtype)))
			refuse(relid, what ? what : "change the expression of a column of");
		if (cmd->subtype == AT_AttachPartition)
			refuse_if_stream_table(lookup(((PartitionCmd *) cmd->def)->name),
								   "make a partition of");
		if (cmd->subtype == AT_AddInherit)
			refuse_if_stream_table(lookup((RangeVar *) cmd->def), "inherit from");
		if (cmd->subtype != AT_SetRelOptions && cmd->subtype != AT_ResetRelOptions)
			refuse_if_engine_table(relid);
	}
}

static void
check_rename(const RenameStmt *stmt)
{
	Oid			relid = lookup(stmt->relation);

	if (stmt->renameType == OBJECT_COLUMN)
		refuse_if_stream_table(relid, "rename a column of");
	if (stmt->renameType == OBJECT_COLUMN || stmt->renameType == OBJECT_TABLE)
		refuse_if_engine_table(relid);
	if (stmt->renameType == OBJECT_SCHEMA && strncmp(stmt->subname, "pgtrickle", 9) == 0)
	{
		Oid			schema = get_namespace_oid(stmt->subname, true);

		if (schema == pgt_schema_oid() || schema == pgt_changes_schema_oid() ||
			schema == pgt_state_schema_oid())
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot rename schema \"%s\"", stmt->subname),
					 errdetail("Extension pg_trickle finds its own tables by this name.")));
	}
}

static void
check_inheritance(const CreateStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->inhRelations)
		refuse_if_stream_table(lookup(lfirst_node(RangeVar, lc)), "inherit from");
}

/* The index by which the engine finds rows again. */
static void
check_drop_index(const DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Oid			index = lookup(makeRangeVarFromNameList(lfirst_node(List, lc)));
		Oid			table = OidIsValid(index) ? IndexGetRelation(index, true) : InvalidOid;

		if (!OidIsValid(table) || !pgt_is_stream_table(table) ||
			pgt_stream_table_by_relid(table, false)->identity_index != index)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop index \"%s\"", get_rel_name(index)),
				 errdetail("Stream table \"%s\" needs it to find its rows.", get_rel_name(table)),
				 errhint("It is dropped with the stream table.")));
	}
}

void
pgt_guard_check_utility(const Node *stmt)
{
	if (pgt_engine_is_writing())
		return;
	switch (nodeTag(stmt))
	{
		case T_CopyStmt:
			{
				Oid			relid = lookup(((const CopyStmt *) stmt)->relation);

				if (OidIsValid(relid))
					pgt_guard_refuse_write(relid);
				break;
			}
		case T_AlterTableStmt:
			check_alter_table((const AlterTableStmt *) stmt);
			break;
		case T_RenameStmt:
			check_rename((const RenameStmt *) stmt);
			break;
		case T_AlterObjectSchemaStmt:
			refuse_if_engine_table(lookup(((const AlterObjectSchemaStmt *) stmt)->relation));
			break;
		case T_CreateStmt:
			check_inheritance((const CreateStmt *) stmt);
			break;
		case T_CreateForeignTableStmt:
			check_inheritance(&((const CreateForeignTableStmt *) stmt)->base);
			break;
		case T_RuleStmt:
			refuse_if_stream_table(lookup(((const RuleStmt *) stmt)->relation),
								   "create a rule on");
			break;
		case T_DropStmt:
			if (((const DropStmt *) stmt)->removeType == OBJECT_INDEX)
				check_drop_index((const DropStmt *) stmt);
			break;
		default:
			break;
	}
}
