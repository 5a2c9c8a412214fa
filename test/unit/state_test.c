#include "unit.h"

#include "state.h"

/* The table once more, as text: a row that is changed by mistake must be changed here, too. */
static const char grid[] = "idle offer offered ask_download\n"
			   "idle resumed idle none\n"
			   "idle return verified read_back\n"
			   "offered allowed preparing prepare\n"
			   "offered failed idle end_failed\n"
			   "offered canceled idle end_canceled\n"
			   "offered superseded idle end_superseded\n"
			   "offered resumed offered ask_download\n"
			   "preparing prepared downloading fetch\n"
			   "preparing failed idle end_failed\n"
			   "preparing canceled idle end_canceled\n"
			   "preparing superseded idle end_superseded\n"
			   "preparing resumed preparing prepare\n"
			   "downloading complete downloaded read_back\n"
			   "downloading failed idle end_failed\n"
			   "downloading canceled idle end_canceled\n"
			   "downloading superseded idle end_superseded\n"
			   "downloading resumed preparing prepare\n"
			   "downloaded read_back verified ask_install\n"
			   "downloaded failed idle end_failed\n"
			   "downloaded canceled idle end_canceled\n"
			   "downloaded superseded idle end_superseded\n"
			   "downloaded resumed downloaded read_back\n"
			   "verified allowed installing arm\n"
			   "verified read_back verified ask_install\n"
			   "verified failed idle end_failed\n"
			   "verified canceled idle end_canceled\n"
			   "verified superseded idle end_superseded\n"
			   "verified resumed verified read_back\n"
			   "installing armed installed ask_restart\n"
			   "installing new_runs trial prove\n"
			   "installing old_runs idle end_rolled_back\n"
			   "installing failed idle end_failed\n"
			   "installing resumed verified read_back\n"
			   "installed allowed restarting restart\n"
			   "installed new_runs trial prove\n"
			   "installed old_runs idle end_rolled_back\n"
			   "installed resumed installed ask_restart\n"
			   "restarting new_runs trial prove\n"
			   "restarting old_runs idle end_rolled_back\n"
			   "restarting unfit reverting revert\n"
			   "restarting resumed restarting restart\n"
			   "trial new_runs trial prove\n"
			   "trial old_runs idle end_rolled_back\n"
			   "trial granted confirming confirm\n"
			   "trial unfit reverting revert\n"
			   "confirming new_runs confirming confirm\n"
			   "confirming old_runs idle end_rolled_back\n"
			   "confirming confirmed idle end_succeeded\n"
			   "reverting new_runs reverting revert\n"
			   "reverting old_runs idle end_rolled_back\n"
			   "reverting resumed reverting revert\n";

static void the_table_is_the_agreed_one(void **state)
{
	(void)state;
	struct text text = {0};

	for (int from = 0; from < AGENT_STATE_COUNT; from++) {
		for (int event = 0; event < AGENT_EVENT_COUNT; event++) {
			struct agent_step step;

			if (agent_next((enum agent_state)from, (enum agent_event)event, &step,
				       NULL))
				continue;
			text_printf(&text, "%s %s %s %s\n", agent_state_names[from],
				    agent_event_names[event], agent_state_names[step.next],
				    agent_action_names[step.action]);
		}
	}
	assert_string_equal(text.data, grid);
	text_done(&text);
}

static void an_unknown_pair_is_an_error_that_names_both(void **state)
{
	(void)state;
	struct agent_step step = {AGENT_TRIAL, ACTION_PROVE};
	struct ota_why why;

	assert_int_equal(agent_next(AGENT_IDLE, EVENT_GRANTED, &step, &why), OTA_INTERNAL);
	assert_string_equal(why.text, "'granted' cannot happen while 'idle'");
	assert_int_equal(step.next, AGENT_TRIAL);
}

/* Every way to an action goes through this event. */
static void only_by(enum agent_action action, enum agent_event only, enum agent_state also_from)
{
	for (int from = 0; from < AGENT_STATE_COUNT; from++) {
		for (int event = 0; event < AGENT_EVENT_COUNT; event++) {
			struct agent_step step;

			if (agent_next((enum agent_state)from, (enum agent_event)event, &step,
				       NULL) ||
			    step.action != action)
				continue;
			if (event != (int)only && from != (int)also_from)
				fail_msg("%s comes from '%s' by '%s'",
					 agent_action_names[action], agent_state_names[from],
					 agent_event_names[event]);
		}
	}
}

static void nothing_is_made_permanent_without_a_grant(void **state)
{
	(void)state;
	only_by(ACTION_CONFIRM, EVENT_GRANTED, AGENT_CONFIRMING);
	only_by(ACTION_END_SUCCEEDED, EVENT_CONFIRMED, AGENT_STATE_COUNT);
}

static void nothing_is_armed_that_was_not_read_back(void **state)
{
	(void)state;
	struct agent_step step;

	/* ARM comes from VERIFIED by ALLOWED only, and VERIFIED is entered by READ_BACK, or
	 * with the read-back as its action. */
	only_by(ACTION_ARM, EVENT_ALLOWED, AGENT_STATE_COUNT);
	for (int from = 0; from < AGENT_STATE_COUNT; from++) {
		for (int event = 0; event < AGENT_EVENT_COUNT; event++) {
			if (agent_next((enum agent_state)from, (enum agent_event)event, &step,
				       NULL) ||
			    step.next != AGENT_VERIFIED)
				continue;
			assert_true(event == EVENT_READ_BACK ||
				    step.action == ACTION_READ_BACK);
		}
	}
}

static void an_update_that_is_being_installed_cannot_be_canceled(void **state)
{
	(void)state;
	for (int from = 0; from < AGENT_STATE_COUNT; from++) {
		const enum agent_state at = (enum agent_state)from;

		if (!agent_state_is_committed(at))
			continue;
		assert_false(agent_next_is_known(at, EVENT_CANCELED));
		assert_false(agent_next_is_known(at, EVENT_SUPERSEDED));
	}
}

static void there_is_no_dead_end(void **state)
{
	(void)state;
	for (int from = 1; from < AGENT_STATE_COUNT; from++) {
		bool reached[AGENT_STATE_COUNT] = {false};

		reached[from] = true;
		for (int round = 0; round < AGENT_STATE_COUNT; round++) {
			for (int at = 0; at < AGENT_STATE_COUNT; at++) {
				for (int event = 0; reached[at] && event < AGENT_EVENT_COUNT;
				     event++) {
					struct agent_step step;

					if (!agent_next((enum agent_state)at,
							(enum agent_event)event, &step, NULL))
						reached[step.next] = true;
				}
			}
		}
		assert_true(reached[AGENT_IDLE]);
	}
}

static void every_state_knows_what_to_do_after_a_cut(void **state)
{
	(void)state;
	for (int from = 0; from < AGENT_STATE_COUNT; from++) {
		const enum agent_state at = (enum agent_state)from;

		if (agent_state_is_committed(at)) {
			assert_true(agent_next_is_known(at, EVENT_NEW_RUNS));
			assert_true(agent_next_is_known(at, EVENT_OLD_RUNS));
		} else {
			assert_true(agent_next_is_known(at, EVENT_RESUMED));
		}
	}
}

static void what_is_reported_only_goes_forward_to_the_end(void **state)
{
	(void)state;
	for (int from = 1; from + 1 < AGENT_REVERTING; from++)
		assert_true(agent_reported((enum agent_state)from) <=
			    agent_reported((enum agent_state)(from + 1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_the_agreed_one),
		cmocka_unit_test(an_unknown_pair_is_an_error_that_names_both),
		cmocka_unit_test(nothing_is_made_permanent_without_a_grant),
		cmocka_unit_test(nothing_is_armed_that_was_not_read_back),
		cmocka_unit_test(an_update_that_is_being_installed_cannot_be_canceled),
		cmocka_unit_test(there_is_no_dead_end),
		cmocka_unit_test(every_state_knows_what_to_do_after_a_cut),
		cmocka_unit_test(what_is_reported_only_goes_forward_to_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
