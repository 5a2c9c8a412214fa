#include "unit.h"

#include "agenda.h"

enum { MEMBERS = 200, STEPS = 20000 };

/* A plain search over all of them is what the heap must agree with. */
static uint64_t least(const uint64_t *due)
{
	uint64_t first = AGENDA_NEVER;

	for (unsigned i = 0; i < MEMBERS; i++) {
		if (due[i] < first)
			first = due[i];
	}
	return first;
}

static void the_first_is_always_the_least(void **state)
{
	(void)state;
	struct ota_why why;
	struct agenda agenda;
	uint64_t due[MEMBERS];
	uint32_t who, seed = 1;

	assert_ok(agenda_init(&agenda, MEMBERS, &why), why);
	for (unsigned i = 0; i < MEMBERS; i++)
		due[i] = AGENDA_NEVER;
	assert_true(agenda_first(&agenda, &who) == AGENDA_NEVER);
	for (unsigned step = 0; step < STEPS; step++) {
		seed = seed * 1664525u + 1013904223u;
		uint32_t member = (seed >> 8) % MEMBERS;
		uint64_t when = (seed >> 4) % 7 ? (seed >> 12) % 1000 : AGENDA_NEVER;

		due[member] = when;
		agenda_set(&agenda, member, when);
		assert_int_equal(agenda_first(&agenda, &who), least(due));
		assert_int_equal(due[who], least(due));
	}
	agenda_done(&agenda);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_is_always_the_least),
	};

	return cmocka_run_group_tests_name("agenda", tests, NULL, NULL);
}
