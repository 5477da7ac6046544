/*
 * applier/schedule/scc.c - strongly connected components, by Tarjan's
 * algorithm ("Depth-first search and linear graph algorithms", 1972).
 *
 * Pure arithmetic over the caller's arrays; recursion is as deep as the longest
 * path, which check_stack_depth watches.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "applier/schedule/scc.h"

typedef struct Search
{
	List	   *const *edges;
	int		   *components;
	int			ncomponents;
	int		   *index;			/* order of discovery, 0: not seen */
	int		   *lowest;			/* earliest node on the stack that is reached */
	int			last_index;
	int		   *stack;
	int			depth;
} Search;

/* The component is complete: everything above its first node. */
static void
close_component(Search *s, int first)
{
	int			node;

	do
	{
		node = s->stack[--s->depth];
		s->components[node] = s->ncomponents;
	} while (node != first);
	s->ncomponents++;
}

static void
visit(Search *s, int node)
{
	ListCell   *lc;

	check_stack_depth();
	s->index[node] = s->lowest[node] = ++s->last_index;
	s->stack[s->depth++] = node;
	foreach(lc, s->edges[node])
	{
		int			next = lfirst_int(lc);

		if (s->index[next] == 0)
		{
			visit(s, next);
			s->lowest[node] = Min(s->lowest[node], s->lowest[next]);
		}
		else if (s->components[next] < 0)
			s->lowest[node] = Min(s->lowest[node], s->index[next]);
	}
	if (s->lowest[node] == s->index[node])
		close_component(s, node);
}

int
pgt_scc_find(int n, List *const *edges, int *components)
{
	Search		s = {.edges = edges, .components = components};

	s.index = palloc0(sizeof(int) * (n + 1));
	s.lowest = palloc0(sizeof(int) * (n + 1));
	s.stack = palloc(sizeof(int) * (n + 1));
	for (int i = 0; i < n; i++)
		components[i] = -1;
	for (int i = 0; i < n; i++)
		if (s.index[i] == 0)
			visit(&s, i);
	pfree(s.index);
	pfree(s.lowest);
	pfree(s.stack);
	return s.ncomponents;
}
