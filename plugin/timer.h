/* Deadlines of updates: a binary heap by due_ms, each update knowing its place. */
#pragma once

#include "update.h"

struct timer_heap {
	struct update **updates; /* updates[0] is due first */
	uint32_t count, room;
};

/* Sets or moves the deadline; 0 takes it out. False when there is no memory: then it has none.
 */
bool timer_set(struct timer_heap *heap, struct update *update, uint64_t due_ms);
/* The first that is due at now_ms, taken out; NULL when there is none. */
struct update *timer_take(struct timer_heap *heap, uint64_t now_ms);
void timer_done(struct timer_heap *heap);
