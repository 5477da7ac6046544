/*
 * applier/dvm/outer.c - OUTER joins: their shape, and their condition taken
 * apart into equalities, conditions on one side, and the rest.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/lsyscache.h"

#include "applier/dvm/outer.h"
#include "decoder/compat.h"

/* ---- names and shapes ---- */

const char *
pgt_outer_touched_name(const PgtOuterOp *o)
{
	return psprintf("pgt_touched_%d", o->op.id);
}

const char *
pgt_outer_weighed_name(const PgtOuterOp *o)
{
	return psprintf("pgt_weighed_%d", o->op.id);
}

const char *
pgt_outer_turned_name(const PgtOuterOp *o)
{
	return psprintf("pgt_turned_%d", o->op.id);
}

const char *
pgt_outer_kind_name(PgtOuterKind kind)
{
	switch (kind)
	{
		case PGT_OUTER_LEFT:
			return "outer join";
		case PGT_OUTER_SEMI:
			return "semi-join";
		case PGT_OUTER_ANTI:
			return "anti-join";
		case PGT_OUTER_MARK:
			return "marking join";
		case PGT_OUTER_SINGLE:
			return "scalar look-up";
	}
	return NULL;
}

static const PgtOp *
left_of(const PgtOuterOp *o)
{
	return linitial(o->op.inputs);
}

/* desc's columns followed by extra columns. */
static TupleDesc
extended_desc(TupleDesc desc, int extra)
{
	TupleDesc	result = CreateTemplateTupleDesc(desc->natts + extra);

	for (int i = 1; i <= desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i - 1);

		TupleDescInitEntry(result, i, NameStr(att->attname), att->atttypid,
						   att->atttypmod, att->attndims);
		TupleDescInitEntryCollation(result, i, att->attcollation);
	}
	return result;
}

static TupleDesc
with_int8(TupleDesc desc, const char *name)
{
	TupleDesc	result = extended_desc(desc, 1);

	TupleDescInitEntry(result, result->natts, name, INT8OID, -1, 0);
	pgt_tupdesc_finish(result);
	return result;
}

TupleDesc
pgt_outer_desc(PgtOuterKind kind, const PgtOp *left, const PgtOp *right,
			   int value_col)
{
	int			first = left->outdesc->natts;
	int			extra = kind == PGT_OUTER_LEFT ? right->outdesc->natts :
		kind == PGT_OUTER_MARK || kind == PGT_OUTER_SINGLE ? 1 : 0;
	TupleDesc	desc = extended_desc(left->outdesc, extra);

	if (kind == PGT_OUTER_MARK)
		TupleDescInitEntry(desc, first + 1, "mark", BOOLOID, -1, 0);
	for (int i = 1; kind != PGT_OUTER_MARK && i <= extra; i++)
	{
		Form_pg_attribute att = TupleDescAttr(right->outdesc,
											  (kind == PGT_OUTER_SINGLE ? value_col : i) - 1);

		TupleDescInitEntry(desc, first + i, NameStr(att->attname),
						   att->atttypid, att->atttypmod, att->attndims);
		TupleDescInitEntryCollation(desc, first + i, att->attcollation);
	}
	pgt_tupdesc_finish(desc);
	return desc;
}

/* ---- the condition taken apart ---- */

/* Which inputs does an expression name?  Bit 0: left, bit 1: right. */
static int
inputs_named(Node *node)
{
	int			result = 0;
	ListCell   *lc;

	foreach(lc, pull_vars_of_level(node, 0))
		result |= lfirst_node(Var, lc)->varno;
	return result;
}

/* Equality among values of the right side, in the family of the operator. */
static bool
find_right_equality(Oid eqop, PgtOuterKey *key)
{
	ListCell   *lc;
	Oid			lefttype;
	Oid			righttype;

	op_input_types(eqop, &lefttype, &righttype);
	foreach(lc, get_mergejoin_opfamilies(eqop))
	{
		key->right_eqop = get_opfamily_member(lfirst_oid(lc), righttype, righttype,
											  BTEqualStrategyNumber);
		key->right_ltop = get_opfamily_member(lfirst_oid(lc), righttype, righttype,
											  BTLessStrategyNumber);
		if (OidIsValid(key->right_eqop) && OidIsValid(key->right_ltop))
			return true;
	}
	return false;
}

/* Is it "left expression = right expression", either way round? */
static bool
is_key(Node *qual, PgtOuterKey *key)
{
	OpExpr	   *op = (OpExpr *) qual;
	Oid			eqop;

	if (!IsA(qual, OpExpr) || list_length(op->args) != 2)
		return false;
	eqop = op->opno;
	key->left = linitial(op->args);
	key->right = lsecond(op->args);
	if (inputs_named(key->left) == 2 && inputs_named(key->right) == 1)
	{
		key->left = lsecond(op->args);
		key->right = linitial(op->args);
		eqop = get_commutator(eqop);
	}
	if (inputs_named(key->left) != 1 || inputs_named(key->right) != 2 ||
		!OidIsValid(eqop) || !op_mergejoinable(eqop, exprType(key->left)) ||
		!op_strict(eqop))
		return false;
	key->eqop = eqop;
	key->collation = op->inputcollid;
	return find_right_equality(eqop, key);
}

Node *
pgt_outer_right_key(const PgtOuterKey *key)
{
	CollateExpr *collate;

	if (!OidIsValid(key->collation) || exprCollation(key->right) == key->collation)
		return key->right;
	collate = makeNode(CollateExpr);
	collate->arg = (Expr *) key->right;
	collate->collOid = key->collation;
	collate->location = -1;
	return (Node *) collate;
}

static TupleDesc
key_desc(const PgtOuterOp *o)
{
	TupleDesc	desc = CreateTemplateTupleDesc(o->nkeys);

	for (int i = 1; i <= o->nkeys; i++)
	{
		Node	   *expr = pgt_outer_right_key(&o->keys[i - 1]);

		TupleDescInitEntry(desc, i, psprintf("k%d", i), exprType(expr),
						   exprTypmod(expr), 0);
		TupleDescInitEntryCollation(desc, i, exprCollation(expr));
	}
	pgt_tupdesc_finish(desc);
	return desc;
}

void
pgt_outer_prepare(PgtOuterOp *o)
{
	List	   *quals = make_ands_implicit((Expr *) o->quals);
	ListCell   *lc;

	o->keys = palloc0(sizeof(PgtOuterKey) * (list_length(quals) + 1));
	o->keyed = true;
	foreach(lc, quals)
	{
		Node	   *qual = lfirst(lc);
		int			named = inputs_named(qual);

		if (named == 1)
			o->left_quals = lappend(o->left_quals, qual);
		else if (named != 3)
			o->right_quals = lappend(o->right_quals, qual);
		else if (is_key(qual, &o->keys[o->nkeys]))
			o->nkeys++;
		else
			o->keyed = false;
	}
	o->entity = o->keyed ? key_desc(o) : left_of(o)->outdesc;
	o->turned = with_int8(o->entity, PGT_WEIGHT_NAME);
	o->touched = with_int8(o->turned, PGT_OUTER_ID_NAME);
	o->weighed = with_int8(with_int8(o->turned, PGT_OUTER_COUNT_NAME), PGT_OUTER_ID_NAME);
}
