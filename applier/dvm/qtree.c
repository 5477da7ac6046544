/*
 * applier/dvm/qtree.c - Query trees made by hand, piece by piece.
 *
 * Trees name relations by OID, carry no rights (program.c checks those of the
 * defining query) and lock with AccessShareLock; every level is flat: FROM is a
 * list.  All functions allocate in the current context; a relation named is
 * locked until commit.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "applier/dvm/plan.h"
#include "applier/dvm/qtree.h"
#include "decoder/compat.h"

/* ---- range table entries ---- */

Query *
pgt_qtree_select(void)
{
	Query	   *query = makeNode(Query);

	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	query->stmt_location = -1;
	return query;
}

List *
pgt_qtree_names(TupleDesc desc)
{
	List	   *names = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		names = lappend(names, makeString(att->attisdropped ? pstrdup("") :
										  pstrdup(NameStr(att->attname))));
	}
	return names;
}

RangeTblEntry *
pgt_qtree_relation(Query *query, Oid relid, bool inh)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	Relation	rel = table_open(relid, AccessShareLock);

	rte->rtekind = RTE_RELATION;
	rte->relid = relid;
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = AccessShareLock;
	rte->inh = inh;
	rte->inFromCl = true;
	rte->eref = makeAlias(RelationGetRelationName(rel),
						  pgt_qtree_names(RelationGetDescr(rel)));
	table_close(rel, NoLock);
	pgt_add_permission_entry(query, rte);
	return rte;
}

RangeTblEntry *
pgt_qtree_subquery(Query *subquery, const char *name, List *colnames, bool fenced)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = subquery;
	rte->security_barrier = fenced;
	rte->inFromCl = true;
	rte->alias = makeAlias(name, NIL);
	rte->eref = makeAlias(name, colnames);
	return rte;
}

RangeTblEntry *
pgt_qtree_store(const char *name, TupleDesc desc)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_NAMEDTUPLESTORE;
	rte->enrname = pstrdup(name);
	rte->enrtuples = PGT_SMALL_DELTA_GUESS;
	rte->inFromCl = true;
	rte->eref = makeAlias(name, pgt_qtree_names(desc));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		rte->coltypes = lappend_oid(rte->coltypes, att->atttypid);
		rte->coltypmods = lappend_int(rte->coltypmods, att->atttypmod);
		rte->colcollations = lappend_oid(rte->colcollations, att->attcollation);
	}
	return rte;
}

/* Append to the range table and to FROM; returns the index. */
int
pgt_qtree_add_from(Query *query, RangeTblEntry *rte)
{
	RangeTblRef *ref = makeNode(RangeTblRef);

	query->rtable = lappend(query->rtable, rte);
	ref->rtindex = list_length(query->rtable);
	query->jointree->fromlist = lappend(query->jointree->fromlist, ref);
	return ref->rtindex;
}

Var *
pgt_qtree_var(int varno, TupleDesc desc, int col, AttrNumber attno)
{
	Form_pg_attribute att = TupleDescAttr(desc, col - 1);

	return makeVar(varno, attno, att->atttypid, att->atttypmod,
				   att->attcollation, 0);
}

void
pgt_qtree_add_target(Query *query, Node *expr, const char *name)
{
	query->targetList = lappend(query->targetList,
								makeTargetEntry((Expr *) expr,
												list_length(query->targetList) + 1,
												pstrdup(name), false));
}

/* ---- weights ---- */

Node *
pgt_qtree_int8(int64 value)
{
	return (Node *) makeConst(INT8OID, -1, InvalidOid, sizeof(int64),
							  Int64GetDatum(value), false, FLOAT8PASSBYVAL);
}

Node *
pgt_qtree_multiply(Node *a, Node *b)
{
	if (a == NULL)
		return b;
	return (Node *) makeFuncExpr(F_INT8MUL, INT8OID, list_make2(a, b),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

Node *
pgt_qtree_negate(Node *a)
{
	return (Node *) makeFuncExpr(F_INT8UM, INT8OID, list_make1(a),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
}

/* UNION ALL of queries whose columns are desc's. */
Query *
pgt_qtree_union_all(List *queries, TupleDesc desc)
{
	Query	   *query = pgt_qtree_select();
	Node	   *tree = NULL;
	ListCell   *lc;

	foreach(lc, queries)
	{
		RangeTblRef *ref = makeNode(RangeTblRef);
		RangeTblEntry *rte = pgt_qtree_subquery(lfirst(lc), "branch",
											pgt_qtree_names(desc), false);
		SetOperationStmt *setop;

		rte->inFromCl = false;
		query->rtable = lappend(query->rtable, rte);
		ref->rtindex = list_length(query->rtable);
		if (tree == NULL)
		{
			tree = (Node *) ref;
			continue;
		}
		setop = makeNode(SetOperationStmt);
		setop->op = SETOP_UNION;
		setop->all = true;
		setop->larg = tree;
		setop->rarg = (Node *) ref;
		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			setop->colTypes = lappend_oid(setop->colTypes, att->atttypid);
			setop->colTypmods = lappend_int(setop->colTypmods, att->atttypmod);
			setop->colCollations = lappend_oid(setop->colCollations,
											   att->attcollation);
		}
		tree = (Node *) setop;
	}
	for (int i = 1; i <= desc->natts; i++)
		pgt_qtree_add_target(query, (Node *) pgt_qtree_var(1, desc, i, i),
				   NameStr(TupleDescAttr(desc, i - 1)->attname));
	query->setOperations = tree;
	return query;
}
