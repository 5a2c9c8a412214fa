/* The heap of deadlines against a plain scan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "timer.h"

#define COUNT 300u

static uint32_t next(uint32_t *random)
{
	*random = *random * 1664525u + 1013904223u;
	return *random >> 8;
}

static void deadlines_come_in_their_order_however_they_are_moved(void **unused)
{
	static struct update updates[COUNT];
	struct timer_heap heap = {0};
	uint32_t random = 7;

	(void)unused;
	for (unsigned round = 0; round < 20000; round++) {
		struct update *update = &updates[next(&random) % COUNT];
		uint64_t first = UINT64_MAX;
		unsigned set = 0;
		assert_true(timer_set(&heap, update,
				      next(&random) % 5 ? 1 + next(&random) % 1000 : 0));
		for (unsigned i = 0; i < COUNT; i++) {
			assert_int_equal(updates[i].timer != 0, updates[i].due_ms != 0);
			set += updates[i].timer != 0;
			if (updates[i].timer && updates[i].due_ms < first)
				first = updates[i].due_ms;
		}
		assert_int_equal(heap.count, set);
		if (next(&random) % 3)
			continue;
		assert_null(first == UINT64_MAX ? NULL : timer_take(&heap, first - 1));
		update = timer_take(&heap, first);
		if (first == UINT64_MAX) {
			assert_null(update);
			continue;
		}
		assert_non_null(update);
		assert_int_equal(update->due_ms, first);
		assert_int_equal(update->timer, 0);
		update->due_ms = 0;
	}
	timer_done(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deadlines_come_in_their_order_however_they_are_moved),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
