/*
 * applier/dvm/watch.c - validity of compiled programs.
 *
 * A program was compiled from an expanded query; it stays right as long as the
 * relations it names have the same columns, its views and functions are
 * unchanged.  Invalidation messages say only "something about this relation":
 * ANALYZE, a new index, a trigger.  So a message marks the relation, and the
 * next pgt_program_valid compares the shape of its columns with the one noted
 * at compile time.  A change of a view, a function or a domain always counts.
 *
 * Callbacks only set flags in the programs of this backend; they run at any
 * time a lock is taken or a transaction begins.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "nodes/nodeFuncs.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "applier/dvm/functions.h"
#include "applier/dvm/watch.h"
#include "decoder/compat.h"

/* What a walk over the expanded query finds. */
typedef struct Found
{
	List	   *relids;			/* of Oid, without duplicates */
	List	   *views;			/* of Oid: those of them that are views */
	List	   *functions;		/* of Oid */
	List	   *domains;		/* of Oid */
} Found;

static dlist_head programs = DLIST_STATIC_INIT(programs);
static bool callbacks_registered = false;

/* ---- callbacks ---- */

/* Another session may drop a state table and make it again. */
static void
state_table_changed(PgtProgram *program, Oid relid)
{
	ListCell   *lc;

	foreach(lc, program->ops)
	{
		PgtOp	   *op = lfirst(lc);

		if (op->methods != NULL &&
			(relid == InvalidOid || op->state_relid == relid))
			program->state_changed = true;
	}
}

static void
relation_changed(Datum arg, Oid relid)
{
	dlist_iter	iter;

	dlist_foreach(iter, &programs)
	{
		PgtProgram *program = dlist_container(PgtProgram, node, iter.cur);

		state_table_changed(program, relid);
		for (int i = 0; i < program->nrelations; i++)
		{
			PgtWatchedRelation *w = &program->relations[i];

			if (relid != InvalidOid && w->relid != relid)
				continue;
			w->changed = true;
			program->recheck = true;
		}
	}
}

static void
object_changed(Datum arg, PgtSyscacheId cacheid, uint32 hashvalue)
{
	dlist_iter	iter;

	dlist_foreach(iter, &programs)
	{
		PgtProgram *program = dlist_container(PgtProgram, node, iter.cur);

		for (int i = 0; i < program->nobjects; i++)
			if (program->objects[i].cacheid == (int) cacheid &&
				(hashvalue == 0 || program->objects[i].hashvalue == hashvalue))
				program->invalid = true;
	}
}

static void
unlink_program(void *arg)
{
	dlist_delete(&((PgtProgram *) arg)->node);
}

/* ---- shapes ---- */

static uint64
mix(uint64 hash, uint32 value)
{
	return hash_combine64(hash, hash_bytes_uint32_extended(value, 0));
}

/* Everything about a relation that a compiled query relies on; 0: gone. */
static uint64
relation_shape(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	TupleDesc	desc;
	uint64		hash;

	if (rel == NULL)
		return 0;
	desc = RelationGetDescr(rel);
	hash = mix(1, desc->natts);
	hash = mix(hash, (uint8) rel->rd_rel->relkind);
	hash = mix(hash, rel->rd_rel->relhassubclass);
	hash = mix(hash, rel->rd_rel->relrowsecurity);
	hash = mix(hash, rel->rd_rel->relforcerowsecurity);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		hash = mix(hash, att->attisdropped ? 0 : att->atttypid);
		hash = mix(hash, (uint32) att->atttypmod);
		hash = mix(hash, att->attcollation);
		hash = mix(hash, (uint8) att->attgenerated);
	}
	relation_close(rel, NoLock);
	return hash;
}

/* Look at the relations that invalidations have named since last time. */
static void
recheck_relations(PgtProgram *program)
{
	program->recheck = false;
	for (int i = 0; i < program->nrelations; i++)
	{
		PgtWatchedRelation *w = &program->relations[i];

		if (!w->changed)
			continue;
		w->changed = false;
		if (w->view || relation_shape(w->relid) != w->shape)
			program->invalid = true;
	}
}

bool
pgt_program_valid(const PgtProgram *program)
{
	PgtProgram *p = unconstify(PgtProgram *, program);

	/* opening a relation may bring further messages */
	while (!p->invalid && p->recheck)
		recheck_relations(p);
	return !p->invalid;
}

/* ---- what to watch ---- */

static bool
note_function(Oid funcid, void *context)
{
	Found	   *found = context;

	found->functions = list_append_unique_oid(found->functions, funcid);
	found->functions = list_concat_unique_oid(found->functions,
											  pgt_aggregate_functions(funcid));
	return false;
}

static bool
find_walker(Node *node, Found *found)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeTblEntry))
	{
		RangeTblEntry *rte = (RangeTblEntry *) node;

		if (!OidIsValid(rte->relid))
			return false;
		found->relids = list_append_unique_oid(found->relids, rte->relid);
		if (rte->relkind == RELKIND_VIEW)
			found->views = list_append_unique_oid(found->views, rte->relid);
		return false;
	}
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, find_walker, found,
								 QTW_EXAMINE_RTES_BEFORE);
	if (IsA(node, CoerceToDomain))
		found->domains = list_append_unique_oid(found->domains,
												((CoerceToDomain *) node)->resulttype);
	check_functions_in_node(node, note_function, found);
	return expression_tree_walker(node, find_walker, found);
}

static void
watch_objects(PgtProgram *program, const Found *found)
{
	PgtWatchedObject *w;
	ListCell   *lc;

	program->nobjects = list_length(found->functions) + list_length(found->domains);
	program->objects = w = palloc0(sizeof(PgtWatchedObject) * (program->nobjects + 1));
	foreach(lc, found->functions)
	{
		w->cacheid = PROCOID;
		w++->hashvalue = GetSysCacheHashValue1(PROCOID,
											   ObjectIdGetDatum(lfirst_oid(lc)));
	}
	foreach(lc, found->domains)
	{
		w->cacheid = TYPEOID;
		w++->hashvalue = GetSysCacheHashValue1(TYPEOID,
											   ObjectIdGetDatum(lfirst_oid(lc)));
	}
}

static void
watch_relations(PgtProgram *program, const Found *found)
{
	PgtWatchedRelation *w;
	ListCell   *lc;

	program->nrelations = list_length(found->relids);
	program->relations = w =
		palloc0(sizeof(PgtWatchedRelation) * (program->nrelations + 1));
	foreach(lc, found->relids)
	{
		w->relid = lfirst_oid(lc);
		w->view = list_member_oid(found->views, w->relid);
		w->shape = relation_shape(w->relid);
		w++;
	}
}

void
pgt_watch_program(PgtProgram *program)
{
	MemoryContext old = MemoryContextSwitchTo(program->context);
	Found		found = {0};

	if (!callbacks_registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, object_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(TYPEOID, object_changed, (Datum) 0);
		callbacks_registered = true;
	}
	find_walker((Node *) program->expanded, &found);
	if (OidIsValid(program->st_relid))
		found.relids = list_append_unique_oid(found.relids, program->st_relid);
	watch_objects(program, &found);
	watch_relations(program, &found);

	dlist_push_tail(&programs, &program->node);
	program->unlink.func = unlink_program;
	program->unlink.arg = program;
	MemoryContextRegisterResetCallback(program->context, &program->unlink);
	MemoryContextSwitchTo(old);
}
