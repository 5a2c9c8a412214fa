/* The table of updates: its agreed grid, its promises; and the order of the fold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "text.h"
#include "update.h"

#include <stdlib.h>

/* The table once more, agreed; every pair that is not here means nothing. */
static const char agreed[] = "targeted offer -> offered offer\n"
			     "targeted already -> already_installed none\n"
			     "targeted trial -> trial grant\n"
			     "targeted cancel -> canceled none\n"
			     "targeted supersede -> superseded none\n"
			     "targeted remove -> removed none\n"
			     "targeted leave -> removed none\n"
			     "targeted expire -> expired none\n"
			     "offered offer -> offered offer\n"
			     "offered already -> already_installed none\n"
			     "offered trial -> trial grant\n"
			     "offered silence -> timed_out none\n"
			     "offered vanish -> timed_out none\n"
			     "offered cancel -> canceled tell\n"
			     "offered supersede -> superseded tell\n"
			     "offered remove -> removed tell\n"
			     "offered leave -> removed tell\n"
			     "offered expire -> expired tell\n"
			     "deferred trial -> trial grant\n"
			     "deferred silence -> timed_out none\n"
			     "deferred vanish -> timed_out none\n"
			     "deferred cancel -> deferred ask\n"
			     "deferred supersede -> superseded tell\n"
			     "deferred remove -> removed tell\n"
			     "deferred leave -> removed tell\n"
			     "deferred expire -> expired tell\n"
			     "downloading trial -> trial grant\n"
			     "downloading silence -> timed_out none\n"
			     "downloading vanish -> timed_out none\n"
			     "downloading cancel -> downloading ask\n"
			     "downloading supersede -> superseded tell\n"
			     "downloading remove -> removed tell\n"
			     "downloading leave -> removed tell\n"
			     "downloading expire -> downloading none\n"
			     "downloaded trial -> trial grant\n"
			     "downloaded silence -> timed_out none\n"
			     "downloaded vanish -> timed_out none\n"
			     "downloaded cancel -> downloaded ask\n"
			     "downloaded supersede -> superseded tell\n"
			     "downloaded remove -> removed tell\n"
			     "downloaded leave -> removed tell\n"
			     "downloaded expire -> downloaded none\n"
			     "verified trial -> trial grant\n"
			     "verified silence -> timed_out none\n"
			     "verified vanish -> timed_out none\n"
			     "verified cancel -> verified ask\n"
			     "verified supersede -> superseded tell\n"
			     "verified remove -> removed tell\n"
			     "verified leave -> removed tell\n"
			     "verified expire -> verified none\n"
			     "installing trial -> trial grant\n"
			     "installing silence -> timed_out none\n"
			     "installing vanish -> lost none\n"
			     "installing cancel -> installing none\n"
			     "installing supersede -> installing none\n"
			     "installing remove -> installing none\n"
			     "installing leave -> removed tell\n"
			     "installing expire -> installing none\n"
			     "installed trial -> trial grant\n"
			     "installed silence -> timed_out none\n"
			     "installed vanish -> lost none\n"
			     "installed cancel -> installed none\n"
			     "installed supersede -> installed none\n"
			     "installed remove -> installed none\n"
			     "installed leave -> removed tell\n"
			     "installed expire -> installed none\n"
			     "restarting trial -> trial grant\n"
			     "restarting silence -> lost none\n"
			     "restarting vanish -> lost none\n"
			     "restarting cancel -> restarting none\n"
			     "restarting supersede -> restarting none\n"
			     "restarting remove -> restarting none\n"
			     "restarting leave -> removed tell\n"
			     "restarting expire -> restarting none\n"
			     "trial trial -> trial grant\n"
			     "trial silence -> lost none\n"
			     "trial vanish -> lost none\n"
			     "trial cancel -> trial none\n"
			     "trial supersede -> trial none\n"
			     "trial remove -> trial none\n"
			     "trial leave -> removed tell\n"
			     "trial expire -> trial none\n"
			     "succeeded trial -> succeeded grant\n"
			     "succeeded reopen -> targeted again\n"
			     "succeeded revert -> succeeded revert\n"
			     "already_installed reopen -> targeted again\n"
			     "failed retry -> targeted again\n"
			     "rolled_back retry -> targeted again\n"
			     "rejected retry -> targeted again\n"
			     "timed_out trial -> trial grant\n"
			     "timed_out retry -> targeted again\n"
			     "canceled trial -> trial grant\n"
			     "canceled reopen -> targeted again\n"
			     "superseded trial -> trial grant\n"
			     "superseded reopen -> targeted again\n"
			     "removed trial -> trial grant\n"
			     "removed reopen -> targeted again\n"
			     "expired trial -> trial grant\n"
			     "lost trial -> trial grant\n"
			     "lost retry -> targeted again\n";

static const char *const events[] = {"offer",  "already",   "trial",  "silence", "vanish",
				     "cancel", "supersede", "remove", "leave",	 "expire",
				     "retry",  "reopen",    "revert"};
static const char *const actions[] = {"none", "offer", "grant", "tell",
				      "ask",  "again", "revert"};

static void table_is_the_agreed_grid(void **unused)
{
	struct text grid = {0};

	(void)unused;
	for (unsigned s = 0; s < UPDATE_STATE_COUNT; s++) {
		for (unsigned e = 0; e < UPDATE_EVENT_COUNT; e++) {
			struct update_step step;
			if (update_next((enum update_state)s, (enum update_event)e, &step))
				text_printf(&grid, "%s %s -> %s %s\n", update_state_names[s],
					    events[e], update_state_names[step.next],
					    actions[step.action]);
		}
	}
	assert_string_equal(grid.data, agreed);
	text_done(&grid);
}

static void nothing_that_installs_can_be_stopped_and_no_end_becomes_another(void **unused)
{
	(void)unused;
	for (unsigned s = 0; s < UPDATE_STATE_COUNT; s++) {
		for (unsigned e = 0; e < UPDATE_EVENT_COUNT; e++) {
			struct update_step step;
			enum update_state state = (enum update_state)s;
			if (!update_next(state, (enum update_event)e, &step))
				continue;
			if (update_state_is_committed(state) && e != UPDATE_EVENT_SILENCE &&
			    e != UPDATE_EVENT_VANISH && e != UPDATE_EVENT_LEAVE &&
			    e != UPDATE_EVENT_TRIAL)
				assert_int_equal(step.next, state);
			if (update_state_is_final(state) && step.next != state)
				assert_true(step.next == UPDATE_TARGETED ||
					    step.next == UPDATE_TRIAL);
			assert_int_equal(step.action == UPDATE_ACT_GRANT,
					 e == UPDATE_EVENT_TRIAL);
		}
	}
}

static void every_state_that_is_not_final_has_a_way_out(void **unused)
{
	(void)unused;
	for (unsigned s = UPDATE_TARGETED; s < UPDATE_STATE_COUNT; s++) {
		struct update_step step;
		enum update_state state = (enum update_state)s;
		if (update_state_is_final(state))
			continue;
		assert_true(update_next(state, UPDATE_EVENT_LEAVE, &step));
		assert_int_equal(step.next, UPDATE_REMOVED);
		assert_int_equal(update_next(state, UPDATE_EVENT_SILENCE, &step),
				 state != UPDATE_TARGETED);
		assert_int_equal(update_next(state, UPDATE_EVENT_VANISH, &step),
				 state != UPDATE_TARGETED);
	}
}

static void ranks_are_the_row_of_states(void **unused)
{
	static const enum update_state row[] = {
		UPDATE_NONE,	   UPDATE_TARGETED, UPDATE_OFFERED,    UPDATE_DOWNLOADING,
		UPDATE_DOWNLOADED, UPDATE_VERIFIED, UPDATE_INSTALLING, UPDATE_INSTALLED,
		UPDATE_RESTARTING, UPDATE_TRIAL,    UPDATE_SUCCEEDED,
	};

	(void)unused;
	for (unsigned i = 1; i < sizeof(row) / sizeof(*row); i++)
		assert_true(update_rank(row[i]) > update_rank(row[i - 1]));
	assert_int_equal(update_rank(UPDATE_DEFERRED), update_rank(UPDATE_DOWNLOADING));
	for (unsigned s = UPDATE_SUCCEEDED; s < UPDATE_STATE_COUNT; s++)
		assert_int_equal(update_rank((enum update_state)s),
				 update_rank(UPDATE_SUCCEEDED));
	assert_int_equal(update_rank(UPDATE_STATE_COUNT), 0);
	assert_true(update_rank(UPDATE_SUCCEEDED) < 16); /* four bits of an update's flags */
}

static void key_is_attempt_then_rank_then_seq(void **unused)
{
	static const struct update_key keys[] = {
		{1, 3, 9}, {1, 4, 1}, {1, 4, 2}, {1, 10, 1}, {2, 2, 1}, {2, 3, 1},
	};

	(void)unused;
	for (unsigned a = 0; a < 6; a++) {
		for (unsigned b = 0; b < 6; b++)
			assert_int_equal(update_key_is_greater(&keys[a], &keys[b]), a > b);
	}
}

static void classes_of_states_are_the_agreed_ones(void **unused)
{
	(void)unused;
	for (unsigned s = 0; s < UPDATE_STATE_COUNT; s++) {
		enum update_state state = (enum update_state)s;
		assert_int_equal(update_state_is_bad(state),
				 s == UPDATE_FAILED || s == UPDATE_ROLLED_BACK ||
					 s == UPDATE_REJECTED || s == UPDATE_TIMED_OUT ||
					 s == UPDATE_LOST);
		assert_int_equal(update_state_is_busy(state),
				 s != UPDATE_NONE && s != UPDATE_TARGETED &&
					 !update_state_is_final(state));
		assert_int_equal(update_state_is_committed(state),
				 s == UPDATE_INSTALLING || s == UPDATE_INSTALLED ||
					 s == UPDATE_RESTARTING || s == UPDATE_TRIAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_is_the_agreed_grid),
		cmocka_unit_test(
			nothing_that_installs_can_be_stopped_and_no_end_becomes_another),
		cmocka_unit_test(every_state_that_is_not_final_has_a_way_out),
		cmocka_unit_test(ranks_are_the_row_of_states),
		cmocka_unit_test(key_is_attempt_then_rank_then_seq),
		cmocka_unit_test(classes_of_states_are_the_agreed_ones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
