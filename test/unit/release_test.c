/* The table of releases: its agreed grid and its promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "release.h"
#include "text.h"

static const char agreed[] = "unapproved approve -> scheduled nothing\n"
			     "unapproved abort -> aborted nothing\n"
			     "unapproved supersede -> superseded nothing\n"
			     "unapproved expire -> expired nothing\n"
			     "scheduled start -> running start\n"
			     "scheduled abort -> aborted nothing\n"
			     "scheduled supersede -> superseded nothing\n"
			     "scheduled expire -> expired nothing\n"
			     "running hold -> held nothing\n"
			     "running advance -> running open\n"
			     "running halt -> halted rollback\n"
			     "running retry -> running retry\n"
			     "running finish -> done yield\n"
			     "running abort -> aborted sweep\n"
			     "running supersede -> superseded sweep\n"
			     "running expire -> expired sweep\n"
			     "held resume -> running walk\n"
			     "held halt -> halted rollback\n"
			     "held retry -> held retry\n"
			     "held abort -> aborted sweep\n"
			     "held supersede -> superseded sweep\n"
			     "held expire -> expired sweep\n"
			     "halted resume -> running forgive\n"
			     "halted retry -> halted retry\n"
			     "halted abort -> aborted sweep\n"
			     "halted supersede -> superseded sweep\n"
			     "halted expire -> expired sweep\n"
			     "done retry -> running retry\n"
			     "done reopen -> running nothing\n"
			     "done abort -> aborted sweep\n"
			     "done supersede -> superseded sweep\n"
			     "done expire -> expired sweep\n";

static const char *const events[] = {"approve", "start", "hold",      "resume",
				     "advance", "halt",	 "retry",     "finish",
				     "reopen",	"abort", "supersede", "expire"};
static const char *const actions[] = {"nothing",  "start", "walk",  "forgive", "open",
				      "rollback", "retry", "yield", "sweep"};

static void table_is_the_agreed_grid(void **unused)
{
	struct text grid = {0};

	(void)unused;
	for (unsigned s = 0; s < RELEASE_STATE_COUNT; s++) {
		for (unsigned e = 0; e < RELEASE_EVENT_COUNT; e++) {
			struct release_step step;
			if (release_next((enum release_state)s, (enum release_event)e, &step))
				text_printf(&grid, "%s %s -> %s %s\n", release_state_names[s],
					    events[e], release_state_names[step.next],
					    actions[step.action]);
		}
	}
	assert_string_equal(grid.data, agreed);
	text_done(&grid);
}

static void only_an_approved_release_starts_and_what_has_ended_stays_ended(void **unused)
{
	(void)unused;
	for (unsigned s = 0; s < RELEASE_STATE_COUNT; s++) {
		for (unsigned e = 0; e < RELEASE_EVENT_COUNT; e++) {
			struct release_step step;
			if (!release_next((enum release_state)s, (enum release_event)e, &step))
				continue;
			assert_false(release_is_final((enum release_state)s));
			if (s == RELEASE_UNAPPROVED && !release_is_final(step.next))
				assert_int_equal(e, RELEASE_EVENT_APPROVE);
			if (s == RELEASE_HALTED && step.next == RELEASE_RUNNING)
				assert_int_equal(e, RELEASE_EVENT_RESUME);
		}
	}
}

static void every_release_can_be_aborted_superseded_and_expires(void **unused)
{
	(void)unused;
	for (unsigned s = 0; s < RELEASE_STATE_COUNT; s++) {
		struct release_step step;
		bool open = !release_is_final((enum release_state)s);
		assert_int_equal(
			release_next((enum release_state)s, RELEASE_EVENT_ABORT, &step), open);
		assert_int_equal(
			release_next((enum release_state)s, RELEASE_EVENT_SUPERSEDE, &step),
			open);
		assert_int_equal(
			release_next((enum release_state)s, RELEASE_EVENT_EXPIRE, &step), open);
	}
}

static void classes_of_states_are_the_agreed_ones(void **unused)
{
	(void)unused;
	for (unsigned s = 0; s < RELEASE_STATE_COUNT; s++) {
		struct release release = {.state = (enum release_state)s};
		assert_int_equal(release_is_active(&release),
				 s == RELEASE_RUNNING || s == RELEASE_HELD ||
					 s == RELEASE_HALTED || s == RELEASE_DONE);
		assert_int_equal(release_is_final(release.state),
				 s == RELEASE_ABORTED || s == RELEASE_SUPERSEDED ||
					 s == RELEASE_EXPIRED);
	}
}

/* By its bucket alone: a device is of the first wave whose share is greater. */
static void wave_begins_at_the_share_before_it(void **unused)
{
	struct device *known = calloc(1, sizeof(*known) + NAME_SIZE);
	struct release_wave waves[2] = {{.share = 1}, {.share = DOCUMENT_SHARE_FULL}};
	struct release release = {.wave_count = 2};

	(void)unused;
	assert_non_null(known);
	release.document.number = 7;
	release.document.waves = waves;
	release.document.wave_count = 2;
	text_copy(known->id, NAME_SIZE, "gw1");
	waves[0].share = name_bucket("gw1", 7);
	assert_true(waves[0].share > 0);
	assert_int_equal(release_wave_of(&release, known), 1);
	waves[0].share++;
	assert_int_equal(release_wave_of(&release, known), 0);
	free(known);
}

static void names_of_states_end_with_null(void **unused)
{
	(void)unused;
	for (unsigned s = 0; s < RELEASE_STATE_COUNT; s++)
		assert_non_null(release_state_names[s]);
	assert_null(release_state_names[RELEASE_STATE_COUNT]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_is_the_agreed_grid),
		cmocka_unit_test(
			only_an_approved_release_starts_and_what_has_ended_stays_ended),
		cmocka_unit_test(every_release_can_be_aborted_superseded_and_expires),
		cmocka_unit_test(classes_of_states_are_the_agreed_ones),
		cmocka_unit_test(wave_begins_at_the_share_before_it),
		cmocka_unit_test(names_of_states_end_with_null),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
