#include "timer.h"

#include <stdlib.h>

static void put(struct timer_heap *heap, uint32_t i, struct update *update)
{
	heap->updates[i] = update;
	update->timer = i + 1;
}

static void sift_up(struct timer_heap *heap, uint32_t i)
{
	struct update *update = heap->updates[i];

	while (i > 0) {
		uint32_t above = (i - 1) / 2;
		if (heap->updates[above]->due_ms <= update->due_ms)
			break;
		put(heap, i, heap->updates[above]);
		i = above;
	}
	put(heap, i, update);
}

static void sift_down(struct timer_heap *heap, uint32_t i)
{
	struct update *update = heap->updates[i];

	for (;;) {
		uint32_t below = 2 * i + 1;
		if (below >= heap->count)
			break;
		if (below + 1 < heap->count &&
		    heap->updates[below + 1]->due_ms < heap->updates[below]->due_ms)
			below++;
		if (heap->updates[below]->due_ms >= update->due_ms)
			break;
		put(heap, i, heap->updates[below]);
		i = below;
	}
	put(heap, i, update);
}

static void take_out(struct timer_heap *heap, struct update *update)
{
	uint32_t i = update->timer - 1;
	struct update *last = heap->updates[--heap->count];

	update->timer = 0;
	if (last == update)
		return;
	put(heap, i, last);
	sift_up(heap, i);
	sift_down(heap, last->timer - 1);
}

bool timer_set(struct timer_heap *heap, struct update *update, uint64_t due_ms)
{
	if (update->timer)
		take_out(heap, update);
	update->due_ms = due_ms;
	if (!due_ms)
		return true;
	if (heap->count == heap->room) {
		uint32_t room = heap->room ? heap->room * 2 : 64;
		struct update **bigger = realloc(heap->updates, room * sizeof(*bigger));
		if (!bigger) {
			update->due_ms = 0;
			return false;
		}
		heap->updates = bigger;
		heap->room = room;
	}
	put(heap, heap->count++, update);
	sift_up(heap, heap->count - 1);
	return true;
}

struct update *timer_take(struct timer_heap *heap, uint64_t now_ms)
{
	struct update *first = heap->count ? heap->updates[0] : NULL;

	if (!first || first->due_ms > now_ms)
		return NULL;
	take_out(heap, first);
	return first;
}

void timer_done(struct timer_heap *heap)
{
	free(heap->updates);
	*heap = (struct timer_heap){0};
}
