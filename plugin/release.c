/* A release's life, as a table, and the questions that its document answers. */
#include "release.h"

#include <string.h>

const char *const release_state_names[] = {
	"unapproved", "scheduled", "running",	 "held",    "halted",
	"done",	      "aborted",   "superseded", "expired", NULL,
};

struct release_row {
	enum release_state state;
	enum release_event event;
	struct release_step step;
};

/* clang-format off */
static const struct release_row rows[] = {
	/* in                  on                         go to                  and */
	{ RELEASE_UNAPPROVED, RELEASE_EVENT_APPROVE,   { RELEASE_SCHEDULED,  RELEASE_DO_NOTHING  } },
	{ RELEASE_UNAPPROVED, RELEASE_EVENT_ABORT,     { RELEASE_ABORTED,    RELEASE_DO_NOTHING  } },
	{ RELEASE_UNAPPROVED, RELEASE_EVENT_SUPERSEDE, { RELEASE_SUPERSEDED, RELEASE_DO_NOTHING  } },
	{ RELEASE_UNAPPROVED, RELEASE_EVENT_EXPIRE,    { RELEASE_EXPIRED,    RELEASE_DO_NOTHING  } },
	{ RELEASE_SCHEDULED,  RELEASE_EVENT_START,     { RELEASE_RUNNING,    RELEASE_DO_START    } },
	{ RELEASE_SCHEDULED,  RELEASE_EVENT_ABORT,     { RELEASE_ABORTED,    RELEASE_DO_NOTHING  } },
	{ RELEASE_SCHEDULED,  RELEASE_EVENT_SUPERSEDE, { RELEASE_SUPERSEDED, RELEASE_DO_NOTHING  } },
	{ RELEASE_SCHEDULED,  RELEASE_EVENT_EXPIRE,    { RELEASE_EXPIRED,    RELEASE_DO_NOTHING  } },
	{ RELEASE_RUNNING,    RELEASE_EVENT_HOLD,      { RELEASE_HELD,       RELEASE_DO_NOTHING  } },
	{ RELEASE_RUNNING,    RELEASE_EVENT_ADVANCE,   { RELEASE_RUNNING,    RELEASE_DO_OPEN     } },
	{ RELEASE_RUNNING,    RELEASE_EVENT_HALT,      { RELEASE_HALTED,     RELEASE_DO_ROLLBACK } },
	{ RELEASE_RUNNING,    RELEASE_EVENT_RETRY,     { RELEASE_RUNNING,    RELEASE_DO_RETRY    } },
	{ RELEASE_RUNNING,    RELEASE_EVENT_FINISH,    { RELEASE_DONE,       RELEASE_DO_YIELD    } },
	{ RELEASE_RUNNING,    RELEASE_EVENT_ABORT,     { RELEASE_ABORTED,    RELEASE_DO_SWEEP    } },
	{ RELEASE_RUNNING,    RELEASE_EVENT_SUPERSEDE, { RELEASE_SUPERSEDED, RELEASE_DO_SWEEP    } },
	{ RELEASE_RUNNING,    RELEASE_EVENT_EXPIRE,    { RELEASE_EXPIRED,    RELEASE_DO_SWEEP    } },
	{ RELEASE_HELD,       RELEASE_EVENT_RESUME,    { RELEASE_RUNNING,    RELEASE_DO_WALK     } },
	{ RELEASE_HELD,       RELEASE_EVENT_HALT,      { RELEASE_HALTED,     RELEASE_DO_ROLLBACK } },
	{ RELEASE_HELD,       RELEASE_EVENT_RETRY,     { RELEASE_HELD,       RELEASE_DO_RETRY    } },
	{ RELEASE_HELD,       RELEASE_EVENT_ABORT,     { RELEASE_ABORTED,    RELEASE_DO_SWEEP    } },
	{ RELEASE_HELD,       RELEASE_EVENT_SUPERSEDE, { RELEASE_SUPERSEDED, RELEASE_DO_SWEEP    } },
	{ RELEASE_HELD,       RELEASE_EVENT_EXPIRE,    { RELEASE_EXPIRED,    RELEASE_DO_SWEEP    } },
	{ RELEASE_HALTED,     RELEASE_EVENT_RESUME,    { RELEASE_RUNNING,    RELEASE_DO_FORGIVE  } },
	{ RELEASE_HALTED,     RELEASE_EVENT_RETRY,     { RELEASE_HALTED,     RELEASE_DO_RETRY    } },
	{ RELEASE_HALTED,     RELEASE_EVENT_ABORT,     { RELEASE_ABORTED,    RELEASE_DO_SWEEP    } },
	{ RELEASE_HALTED,     RELEASE_EVENT_SUPERSEDE, { RELEASE_SUPERSEDED, RELEASE_DO_SWEEP    } },
	{ RELEASE_HALTED,     RELEASE_EVENT_EXPIRE,    { RELEASE_EXPIRED,    RELEASE_DO_SWEEP    } },
	{ RELEASE_DONE,       RELEASE_EVENT_REOPEN,    { RELEASE_RUNNING,    RELEASE_DO_NOTHING  } },
	{ RELEASE_DONE,       RELEASE_EVENT_RETRY,     { RELEASE_RUNNING,    RELEASE_DO_RETRY    } },
	{ RELEASE_DONE,       RELEASE_EVENT_ABORT,     { RELEASE_ABORTED,    RELEASE_DO_SWEEP    } },
	{ RELEASE_DONE,       RELEASE_EVENT_SUPERSEDE, { RELEASE_SUPERSEDED, RELEASE_DO_SWEEP    } },
	{ RELEASE_DONE,       RELEASE_EVENT_EXPIRE,    { RELEASE_EXPIRED,    RELEASE_DO_SWEEP    } },
};
/* clang-format on */

bool release_next(enum release_state state, enum release_event event,
		  struct release_step *ret_step)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (rows[i].state == state && rows[i].event == event) {
			*ret_step = rows[i].step;
			return true;
		}
	}
	return false;
}

bool release_is_active(const struct release *release)
{
	return release->state == RELEASE_RUNNING || release->state == RELEASE_HELD ||
	       release->state == RELEASE_HALTED || release->state == RELEASE_DONE;
}

bool release_is_final(enum release_state state)
{
	return state == RELEASE_ABORTED || state == RELEASE_SUPERSEDED ||
	       state == RELEASE_EXPIRED;
}

bool release_is_fast(const struct release *release)
{
	return release->document.mode == RELEASE_FAST || release->fast_now;
}

bool release_reaches(const struct release *release, const struct device *device)
{
	if (release->product != device->product)
		return false;
	switch (release->document.target.kind) {
	case RELEASE_TO_PRODUCT:
		return true;
	case RELEASE_TO_GROUP:
		return release->group && device_is_member(device, release->group);
	case RELEASE_TO_DEVICE:
		return strcmp(release->document.target.name, device->id) == 0;
	default:
		return false;
	}
}

uint32_t release_wave_of(const struct release *release, const struct device *device)
{
	const struct release_document *document = &release->document;
	uint32_t bucket = DOCUMENT_SHARE_FULL;

	if (!document->wave_count)
		return 0;
	for (uint32_t i = 0; i < document->wave_count; i++) {
		const struct release_wave *wave = &document->waves[i];
		if (wave->share == 0) {
			const struct group *group = product_group(device->product, wave->group);
			if (group && device_is_member(device, group))
				return i;
			continue;
		}
		if (bucket == DOCUMENT_SHARE_FULL)
			bucket = name_bucket(device->id, document->number);
		if (bucket < wave->share)
			return i;
	}
	return release->wave_count - 1; /* no document says so: its last wave has everyone */
}

bool release_same_target(const struct release *a, const struct release *b)
{
	return a->product == b->product && a->document.target.kind == b->document.target.kind &&
	       (a->document.target.kind == RELEASE_TO_PRODUCT ||
		strcmp(a->document.target.name, b->document.target.name) == 0);
}

uint32_t release_total(const struct release *release)
{
	uint32_t total = 0;

	for (unsigned i = 0; i < UPDATE_STATE_COUNT; i++)
		total += release->counts[i];
	return total;
}

uint32_t release_open(const struct release *release)
{
	uint32_t open = 0;

	for (unsigned i = UPDATE_TARGETED; i <= UPDATE_TRIAL; i++)
		open += release->counts[i];
	return open;
}
