/* What happens to an update, as a table; and the order of the fold. */
#include "update.h"

struct update_row {
	enum update_state state;
	enum update_event event;
	struct update_step step;
};

/* clang-format off */
static const struct update_row rows[] = {
	/* in                       on                        go to                       and */
	{ UPDATE_TARGETED,          UPDATE_EVENT_OFFER,     { UPDATE_OFFERED,           UPDATE_ACT_OFFER  } },
	{ UPDATE_TARGETED,          UPDATE_EVENT_ALREADY,   { UPDATE_ALREADY_INSTALLED, UPDATE_ACT_NONE   } },
	{ UPDATE_TARGETED,          UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_TARGETED,          UPDATE_EVENT_CANCEL,    { UPDATE_CANCELED,          UPDATE_ACT_NONE   } },
	{ UPDATE_TARGETED,          UPDATE_EVENT_SUPERSEDE, { UPDATE_SUPERSEDED,        UPDATE_ACT_NONE   } },
	{ UPDATE_TARGETED,          UPDATE_EVENT_REMOVE,    { UPDATE_REMOVED,           UPDATE_ACT_NONE   } },
	{ UPDATE_TARGETED,         UPDATE_EVENT_LEAVE,     { UPDATE_REMOVED,           UPDATE_ACT_NONE   } },
	{ UPDATE_TARGETED,          UPDATE_EVENT_EXPIRE,    { UPDATE_EXPIRED,           UPDATE_ACT_NONE   } },

	{ UPDATE_OFFERED,           UPDATE_EVENT_OFFER,     { UPDATE_OFFERED,           UPDATE_ACT_OFFER  } },
	{ UPDATE_OFFERED,           UPDATE_EVENT_ALREADY,   { UPDATE_ALREADY_INSTALLED, UPDATE_ACT_NONE   } },
	{ UPDATE_OFFERED,           UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_OFFERED,           UPDATE_EVENT_SILENCE,   { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_OFFERED,           UPDATE_EVENT_VANISH,    { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_OFFERED,           UPDATE_EVENT_CANCEL,    { UPDATE_CANCELED,          UPDATE_ACT_TELL   } },
	{ UPDATE_OFFERED,           UPDATE_EVENT_SUPERSEDE, { UPDATE_SUPERSEDED,        UPDATE_ACT_TELL   } },
	{ UPDATE_OFFERED,           UPDATE_EVENT_REMOVE,    { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_OFFERED,          UPDATE_EVENT_LEAVE,     { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_OFFERED,           UPDATE_EVENT_EXPIRE,    { UPDATE_EXPIRED,           UPDATE_ACT_TELL   } },

	{ UPDATE_DEFERRED,          UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_DEFERRED,          UPDATE_EVENT_SILENCE,   { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_DEFERRED,          UPDATE_EVENT_VANISH,    { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_DEFERRED,          UPDATE_EVENT_CANCEL,    { UPDATE_DEFERRED,          UPDATE_ACT_ASK    } },
	{ UPDATE_DEFERRED,          UPDATE_EVENT_SUPERSEDE, { UPDATE_SUPERSEDED,        UPDATE_ACT_TELL   } },
	{ UPDATE_DEFERRED,          UPDATE_EVENT_REMOVE,    { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_DEFERRED,         UPDATE_EVENT_LEAVE,     { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_DEFERRED,          UPDATE_EVENT_EXPIRE,    { UPDATE_EXPIRED,           UPDATE_ACT_TELL   } },

	{ UPDATE_DOWNLOADING,       UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_DOWNLOADING,       UPDATE_EVENT_SILENCE,   { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_DOWNLOADING,       UPDATE_EVENT_VANISH,    { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_DOWNLOADING,       UPDATE_EVENT_CANCEL,    { UPDATE_DOWNLOADING,       UPDATE_ACT_ASK    } },
	{ UPDATE_DOWNLOADING,       UPDATE_EVENT_SUPERSEDE, { UPDATE_SUPERSEDED,        UPDATE_ACT_TELL   } },
	{ UPDATE_DOWNLOADING,       UPDATE_EVENT_REMOVE,    { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_DOWNLOADING,      UPDATE_EVENT_LEAVE,     { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_DOWNLOADING,       UPDATE_EVENT_EXPIRE,    { UPDATE_DOWNLOADING,       UPDATE_ACT_NONE   } },

	{ UPDATE_DOWNLOADED,        UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_DOWNLOADED,        UPDATE_EVENT_SILENCE,   { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_DOWNLOADED,        UPDATE_EVENT_VANISH,    { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_DOWNLOADED,        UPDATE_EVENT_CANCEL,    { UPDATE_DOWNLOADED,        UPDATE_ACT_ASK    } },
	{ UPDATE_DOWNLOADED,        UPDATE_EVENT_SUPERSEDE, { UPDATE_SUPERSEDED,        UPDATE_ACT_TELL   } },
	{ UPDATE_DOWNLOADED,        UPDATE_EVENT_REMOVE,    { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_DOWNLOADED,       UPDATE_EVENT_LEAVE,     { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_DOWNLOADED,        UPDATE_EVENT_EXPIRE,    { UPDATE_DOWNLOADED,        UPDATE_ACT_NONE   } },

	{ UPDATE_VERIFIED,          UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_VERIFIED,          UPDATE_EVENT_SILENCE,   { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_VERIFIED,          UPDATE_EVENT_VANISH,    { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_VERIFIED,          UPDATE_EVENT_CANCEL,    { UPDATE_VERIFIED,          UPDATE_ACT_ASK    } },
	{ UPDATE_VERIFIED,          UPDATE_EVENT_SUPERSEDE, { UPDATE_SUPERSEDED,        UPDATE_ACT_TELL   } },
	{ UPDATE_VERIFIED,          UPDATE_EVENT_REMOVE,    { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_VERIFIED,         UPDATE_EVENT_LEAVE,     { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_VERIFIED,          UPDATE_EVENT_EXPIRE,    { UPDATE_VERIFIED,          UPDATE_ACT_NONE   } },

	{ UPDATE_INSTALLING,        UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_INSTALLING,        UPDATE_EVENT_SILENCE,   { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_INSTALLING,        UPDATE_EVENT_VANISH,    { UPDATE_LOST,              UPDATE_ACT_NONE   } },
	{ UPDATE_INSTALLING,        UPDATE_EVENT_CANCEL,    { UPDATE_INSTALLING,        UPDATE_ACT_NONE   } },
	{ UPDATE_INSTALLING,        UPDATE_EVENT_SUPERSEDE, { UPDATE_INSTALLING,        UPDATE_ACT_NONE   } },
	{ UPDATE_INSTALLING,        UPDATE_EVENT_REMOVE,    { UPDATE_INSTALLING,        UPDATE_ACT_NONE   } },
	{ UPDATE_INSTALLING,       UPDATE_EVENT_LEAVE,     { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_INSTALLING,        UPDATE_EVENT_EXPIRE,    { UPDATE_INSTALLING,        UPDATE_ACT_NONE   } },

	{ UPDATE_INSTALLED,         UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_INSTALLED,         UPDATE_EVENT_SILENCE,   { UPDATE_TIMED_OUT,         UPDATE_ACT_NONE   } },
	{ UPDATE_INSTALLED,         UPDATE_EVENT_VANISH,    { UPDATE_LOST,              UPDATE_ACT_NONE   } },
	{ UPDATE_INSTALLED,         UPDATE_EVENT_CANCEL,    { UPDATE_INSTALLED,         UPDATE_ACT_NONE   } },
	{ UPDATE_INSTALLED,         UPDATE_EVENT_SUPERSEDE, { UPDATE_INSTALLED,         UPDATE_ACT_NONE   } },
	{ UPDATE_INSTALLED,         UPDATE_EVENT_REMOVE,    { UPDATE_INSTALLED,         UPDATE_ACT_NONE   } },
	{ UPDATE_INSTALLED,        UPDATE_EVENT_LEAVE,     { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_INSTALLED,         UPDATE_EVENT_EXPIRE,    { UPDATE_INSTALLED,         UPDATE_ACT_NONE   } },

	{ UPDATE_RESTARTING,        UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_RESTARTING,        UPDATE_EVENT_SILENCE,   { UPDATE_LOST,              UPDATE_ACT_NONE   } },
	{ UPDATE_RESTARTING,        UPDATE_EVENT_VANISH,    { UPDATE_LOST,              UPDATE_ACT_NONE   } },
	{ UPDATE_RESTARTING,        UPDATE_EVENT_CANCEL,    { UPDATE_RESTARTING,        UPDATE_ACT_NONE   } },
	{ UPDATE_RESTARTING,        UPDATE_EVENT_SUPERSEDE, { UPDATE_RESTARTING,        UPDATE_ACT_NONE   } },
	{ UPDATE_RESTARTING,        UPDATE_EVENT_REMOVE,    { UPDATE_RESTARTING,        UPDATE_ACT_NONE   } },
	{ UPDATE_RESTARTING,       UPDATE_EVENT_LEAVE,     { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_RESTARTING,        UPDATE_EVENT_EXPIRE,    { UPDATE_RESTARTING,        UPDATE_ACT_NONE   } },

	{ UPDATE_TRIAL,             UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_TRIAL,             UPDATE_EVENT_SILENCE,   { UPDATE_LOST,              UPDATE_ACT_NONE   } },
	{ UPDATE_TRIAL,             UPDATE_EVENT_VANISH,    { UPDATE_LOST,              UPDATE_ACT_NONE   } },
	{ UPDATE_TRIAL,             UPDATE_EVENT_CANCEL,    { UPDATE_TRIAL,             UPDATE_ACT_NONE   } },
	{ UPDATE_TRIAL,             UPDATE_EVENT_SUPERSEDE, { UPDATE_TRIAL,             UPDATE_ACT_NONE   } },
	{ UPDATE_TRIAL,             UPDATE_EVENT_REMOVE,    { UPDATE_TRIAL,             UPDATE_ACT_NONE   } },
	{ UPDATE_TRIAL,            UPDATE_EVENT_LEAVE,     { UPDATE_REMOVED,           UPDATE_ACT_TELL   } },
	{ UPDATE_TRIAL,             UPDATE_EVENT_EXPIRE,    { UPDATE_TRIAL,             UPDATE_ACT_NONE   } },

	{ UPDATE_SUCCEEDED,         UPDATE_EVENT_TRIAL,     { UPDATE_SUCCEEDED,         UPDATE_ACT_GRANT  } },
	{ UPDATE_SUCCEEDED,         UPDATE_EVENT_REOPEN,    { UPDATE_TARGETED,          UPDATE_ACT_AGAIN  } },
	{ UPDATE_SUCCEEDED,         UPDATE_EVENT_REVERT,    { UPDATE_SUCCEEDED,         UPDATE_ACT_REVERT } },
	{ UPDATE_ALREADY_INSTALLED, UPDATE_EVENT_REOPEN,    { UPDATE_TARGETED,          UPDATE_ACT_AGAIN  } },
	{ UPDATE_FAILED,            UPDATE_EVENT_RETRY,     { UPDATE_TARGETED,          UPDATE_ACT_AGAIN  } },
	{ UPDATE_ROLLED_BACK,       UPDATE_EVENT_RETRY,     { UPDATE_TARGETED,          UPDATE_ACT_AGAIN  } },
	{ UPDATE_REJECTED,          UPDATE_EVENT_RETRY,     { UPDATE_TARGETED,          UPDATE_ACT_AGAIN  } },
	{ UPDATE_TIMED_OUT,         UPDATE_EVENT_RETRY,     { UPDATE_TARGETED,          UPDATE_ACT_AGAIN  } },
	{ UPDATE_TIMED_OUT,         UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_LOST,              UPDATE_EVENT_RETRY,     { UPDATE_TARGETED,          UPDATE_ACT_AGAIN  } },
	{ UPDATE_LOST,              UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_CANCELED,          UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_CANCELED,          UPDATE_EVENT_REOPEN,    { UPDATE_TARGETED,          UPDATE_ACT_AGAIN  } },
	{ UPDATE_SUPERSEDED,        UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_SUPERSEDED,        UPDATE_EVENT_REOPEN,    { UPDATE_TARGETED,          UPDATE_ACT_AGAIN  } },
	{ UPDATE_REMOVED,           UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
	{ UPDATE_REMOVED,           UPDATE_EVENT_REOPEN,    { UPDATE_TARGETED,          UPDATE_ACT_AGAIN  } },
	{ UPDATE_EXPIRED,           UPDATE_EVENT_TRIAL,     { UPDATE_TRIAL,             UPDATE_ACT_GRANT  } },
};
/* clang-format on */

bool update_next(enum update_state state, enum update_event event, struct update_step *ret_step)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (rows[i].state == state && rows[i].event == event) {
			*ret_step = rows[i].step;
			return true;
		}
	}
	return false;
}

/* Offered and deferred take turns with downloading as gates open and close; after that there is
 * only forward, and no way out of a final state within its attempt. */
static const uint8_t ranks[UPDATE_STATE_COUNT] = {
	[UPDATE_NONE] = 0,
	[UPDATE_TARGETED] = 1,
	[UPDATE_OFFERED] = 2,
	[UPDATE_DEFERRED] = 3,
	[UPDATE_DOWNLOADING] = 3,
	[UPDATE_DOWNLOADED] = 4,
	[UPDATE_VERIFIED] = 5,
	[UPDATE_INSTALLING] = 6,
	[UPDATE_INSTALLED] = 7,
	[UPDATE_RESTARTING] = 8,
	[UPDATE_TRIAL] = 9,
	[UPDATE_SUCCEEDED] = 10,
	[UPDATE_ALREADY_INSTALLED] = 10,
	[UPDATE_FAILED] = 10,
	[UPDATE_ROLLED_BACK] = 10,
	[UPDATE_REJECTED] = 10,
	[UPDATE_TIMED_OUT] = 10,
	[UPDATE_CANCELED] = 10,
	[UPDATE_SUPERSEDED] = 10,
	[UPDATE_REMOVED] = 10,
	[UPDATE_EXPIRED] = 10,
	[UPDATE_LOST] = 10,
};

unsigned update_rank(enum update_state state)
{
	return (unsigned)state < UPDATE_STATE_COUNT ? ranks[state] : 0;
}

static int compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

bool update_key_is_greater(const struct update_key *a, const struct update_key *b)
{
	int order = compare(a->attempt, b->attempt);

	if (!order)
		order = compare(a->rank, b->rank);
	if (!order)
		order = compare(a->seq, b->seq);
	return order > 0;
}

bool update_state_is_bad(enum update_state state)
{
	return state == UPDATE_FAILED || state == UPDATE_ROLLED_BACK ||
	       state == UPDATE_REJECTED || state == UPDATE_TIMED_OUT || state == UPDATE_LOST;
}

bool update_state_is_busy(enum update_state state)
{
	return state >= UPDATE_OFFERED && state <= UPDATE_TRIAL;
}

bool update_state_is_committed(enum update_state state)
{
	return state >= UPDATE_INSTALLING && state <= UPDATE_TRIAL;
}
