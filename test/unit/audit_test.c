#include "unit.h"

#include "audit.h"

#define ROWS 5

struct chain {
	struct store_audit rows[ROWS];
	struct digest tip;
};

static void make(struct chain *chain)
{
	static const char *const people[ROWS] = {"alice", "bob", "alice", NULL, "eve"};
	struct digest previous = {{0}};
	struct ota_why why = {0};

	for (unsigned i = 0; i < ROWS; i++) {
		chain->rows[i] = (struct store_audit){.sequence = 3 + 2 * i,
						      .time_ms = 1000 + i,
						      .who = people[i],
						      .what = "group.create",
						      .decision = i == 1 ? OTA_FORBIDDEN : 0,
						      .previous = previous};
		assert_ok(audit_hash(&chain->rows[i], &chain->rows[i].hash, &why), why);
		previous = chain->rows[i].hash;
	}
	chain->tip = previous;
}

static const char *check(const struct chain *chain, const unsigned *order, unsigned count,
			 uint64_t *ret_first_bad)
{
	struct audit_check check = {0};
	struct ota_why why = {0};

	for (unsigned i = 0; i < count; i++)
		assert_ok(audit_check_row(&check, &chain->rows[order[i]], &why), why);
	*ret_first_bad = check.first_bad;
	return audit_check_end(&check, ROWS, &chain->tip);
}

static void an_untouched_chain_is_intact(void **state)
{
	(void)state;
	struct chain chain;
	uint64_t bad;

	make(&chain);
	assert_null(check(&chain, (unsigned[]){0, 1, 2, 3, 4}, ROWS, &bad));
	assert_int_equal(bad, 0);
}

static void each_member_is_under_the_hash(void **state)
{
	(void)state;
	for (unsigned member = 0; member < 10; member++) {
		struct chain chain;
		uint64_t bad;

		make(&chain);
		struct store_audit *row = &chain.rows[2];
		const char **texts[] = {&row->who,     &row->from,   &row->what,
					&row->product, &row->object, &row->why};

		if (member < 6)
			*texts[member] = "other";
		else if (member == 6)
			row->time_ms++;
		else if (member == 7)
			row->decision++;
		else if (member == 8)
			row->sequence++;
		else
			row->previous.bytes[0] ^= 1;
		assert_non_null(check(&chain, (unsigned[]){0, 1, 2, 3, 4}, ROWS, &bad));
		assert_int_equal(bad, row->sequence);
	}
}

static void a_deleted_moved_or_missing_row_is_seen(void **state)
{
	(void)state;
	struct chain chain;
	uint64_t bad;

	make(&chain);
	assert_non_null(check(&chain, (unsigned[]){0, 1, 3, 4}, 4, &bad));
	assert_int_equal(bad, chain.rows[3].sequence);
	assert_non_null(check(&chain, (unsigned[]){1, 2, 3, 4}, 4, &bad));
	assert_non_null(check(&chain, (unsigned[]){0, 2, 1, 3, 4}, 5, &bad));
	assert_non_null(check(&chain, (unsigned[]){0, 1, 2, 3}, 4, &bad));
	assert_int_equal(bad, 0);
}

static void a_chain_that_was_made_anew_is_not_the_one_noted_before(void **state)
{
	(void)state;
	struct chain chain;
	struct audit_check check = {.entries_then = 3};
	struct ota_why why = {0};

	make(&chain);
	check.tip_then = chain.rows[2].hash;
	for (unsigned i = 0; i < ROWS; i++)
		assert_ok(audit_check_row(&check, &chain.rows[i], &why), why);
	assert_null(audit_check_end(&check, ROWS, &chain.tip));
	check = (struct audit_check){.entries_then = 3, .tip_then = chain.rows[1].hash};
	for (unsigned i = 0; i < ROWS; i++)
		assert_ok(audit_check_row(&check, &chain.rows[i], &why), why);
	assert_non_null(audit_check_end(&check, ROWS, &chain.tip));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_untouched_chain_is_intact),
		cmocka_unit_test(each_member_is_under_the_hash),
		cmocka_unit_test(a_deleted_moved_or_missing_row_is_seen),
		cmocka_unit_test(a_chain_that_was_made_anew_is_not_the_one_noted_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
