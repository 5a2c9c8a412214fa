#include "state.h"

const char *const agent_state_names[] = {
	"idle",	      "offered",    "preparing", "downloading", "downloaded",
	"verified",   "installing", "installed", "restarting",	"trial",
	"confirming", "reverting",  NULL,
};

const char *const agent_event_names[] = {
	"offer",    "allowed",	  "prepared", "complete",  "read_back", "armed",
	"new_runs", "old_runs",	  "granted",  "confirmed", "unfit",	"failed",
	"canceled", "superseded", "resumed",  "return",	   NULL,
};

const char *const agent_action_names[] = {
	"none",
	"ask_download",
	"prepare",
	"fetch",
	"read_back",
	"ask_install",
	"arm",
	"ask_restart",
	"restart",
	"prove",
	"confirm",
	"revert",
	"end_succeeded",
	"end_failed",
	"end_canceled",
	"end_superseded",
	"end_rolled_back",
	NULL,
};

/* clang-format off */
static const struct {
	enum agent_state state;
	enum agent_event event;
	struct agent_step step;
} table[] = {
	/* in                on                  go to                and                    */
	{ AGENT_IDLE,        EVENT_OFFER,      { AGENT_OFFERED,     ACTION_ASK_DOWNLOAD    } },
	{ AGENT_IDLE,        EVENT_RESUMED,    { AGENT_IDLE,        ACTION_NONE            } },
	{ AGENT_IDLE,        EVENT_RETURN,     { AGENT_VERIFIED,    ACTION_READ_BACK       } },

	{ AGENT_OFFERED,     EVENT_ALLOWED,    { AGENT_PREPARING,   ACTION_PREPARE         } },
	{ AGENT_OFFERED,     EVENT_RESUMED,    { AGENT_OFFERED,     ACTION_ASK_DOWNLOAD    } },
	{ AGENT_OFFERED,     EVENT_FAILED,     { AGENT_IDLE,        ACTION_END_FAILED      } },
	{ AGENT_OFFERED,     EVENT_CANCELED,   { AGENT_IDLE,        ACTION_END_CANCELED    } },
	{ AGENT_OFFERED,     EVENT_SUPERSEDED, { AGENT_IDLE,        ACTION_END_SUPERSEDED  } },

	{ AGENT_PREPARING,   EVENT_PREPARED,   { AGENT_DOWNLOADING, ACTION_FETCH           } },
	{ AGENT_PREPARING,   EVENT_RESUMED,    { AGENT_PREPARING,   ACTION_PREPARE         } },
	{ AGENT_PREPARING,   EVENT_FAILED,     { AGENT_IDLE,        ACTION_END_FAILED      } },
	{ AGENT_PREPARING,   EVENT_CANCELED,   { AGENT_IDLE,        ACTION_END_CANCELED    } },
	{ AGENT_PREPARING,   EVENT_SUPERSEDED, { AGENT_IDLE,        ACTION_END_SUPERSEDED  } },

	{ AGENT_DOWNLOADING, EVENT_COMPLETE,   { AGENT_DOWNLOADED,  ACTION_READ_BACK       } },
	{ AGENT_DOWNLOADING, EVENT_RESUMED,    { AGENT_PREPARING,   ACTION_PREPARE         } },
	{ AGENT_DOWNLOADING, EVENT_FAILED,     { AGENT_IDLE,        ACTION_END_FAILED      } },
	{ AGENT_DOWNLOADING, EVENT_CANCELED,   { AGENT_IDLE,        ACTION_END_CANCELED    } },
	{ AGENT_DOWNLOADING, EVENT_SUPERSEDED, { AGENT_IDLE,        ACTION_END_SUPERSEDED  } },

	{ AGENT_DOWNLOADED,  EVENT_READ_BACK,  { AGENT_VERIFIED,    ACTION_ASK_INSTALL     } },
	{ AGENT_DOWNLOADED,  EVENT_RESUMED,    { AGENT_DOWNLOADED,  ACTION_READ_BACK       } },
	{ AGENT_DOWNLOADED,  EVENT_FAILED,     { AGENT_IDLE,        ACTION_END_FAILED      } },
	{ AGENT_DOWNLOADED,  EVENT_CANCELED,   { AGENT_IDLE,        ACTION_END_CANCELED    } },
	{ AGENT_DOWNLOADED,  EVENT_SUPERSEDED, { AGENT_IDLE,        ACTION_END_SUPERSEDED  } },

	{ AGENT_VERIFIED,    EVENT_ALLOWED,    { AGENT_INSTALLING,  ACTION_ARM             } },
	{ AGENT_VERIFIED,    EVENT_READ_BACK,  { AGENT_VERIFIED,    ACTION_ASK_INSTALL     } },
	{ AGENT_VERIFIED,    EVENT_RESUMED,    { AGENT_VERIFIED,    ACTION_READ_BACK       } },
	{ AGENT_VERIFIED,    EVENT_FAILED,     { AGENT_IDLE,        ACTION_END_FAILED      } },
	{ AGENT_VERIFIED,    EVENT_CANCELED,   { AGENT_IDLE,        ACTION_END_CANCELED    } },
	{ AGENT_VERIFIED,    EVENT_SUPERSEDED, { AGENT_IDLE,        ACTION_END_SUPERSEDED  } },

	{ AGENT_INSTALLING,  EVENT_ARMED,      { AGENT_INSTALLED,   ACTION_ASK_RESTART     } },
	{ AGENT_INSTALLING,  EVENT_RESUMED,    { AGENT_VERIFIED,    ACTION_READ_BACK       } },
	{ AGENT_INSTALLING,  EVENT_NEW_RUNS,   { AGENT_TRIAL,       ACTION_PROVE           } },
	{ AGENT_INSTALLING,  EVENT_OLD_RUNS,   { AGENT_IDLE,        ACTION_END_ROLLED_BACK } },
	{ AGENT_INSTALLING,  EVENT_FAILED,     { AGENT_IDLE,        ACTION_END_FAILED      } },

	{ AGENT_INSTALLED,   EVENT_ALLOWED,    { AGENT_RESTARTING,  ACTION_RESTART         } },
	{ AGENT_INSTALLED,   EVENT_RESUMED,    { AGENT_INSTALLED,   ACTION_ASK_RESTART     } },
	{ AGENT_INSTALLED,   EVENT_NEW_RUNS,   { AGENT_TRIAL,       ACTION_PROVE           } },
	{ AGENT_INSTALLED,   EVENT_OLD_RUNS,   { AGENT_IDLE,        ACTION_END_ROLLED_BACK } },

	{ AGENT_RESTARTING,  EVENT_NEW_RUNS,   { AGENT_TRIAL,       ACTION_PROVE           } },
	{ AGENT_RESTARTING,  EVENT_OLD_RUNS,   { AGENT_IDLE,        ACTION_END_ROLLED_BACK } },
	{ AGENT_RESTARTING,  EVENT_RESUMED,    { AGENT_RESTARTING,  ACTION_RESTART         } },
	{ AGENT_RESTARTING,  EVENT_UNFIT,      { AGENT_REVERTING,   ACTION_REVERT          } },

	{ AGENT_TRIAL,       EVENT_GRANTED,    { AGENT_CONFIRMING,  ACTION_CONFIRM         } },
	{ AGENT_TRIAL,       EVENT_UNFIT,      { AGENT_REVERTING,   ACTION_REVERT          } },
	{ AGENT_TRIAL,       EVENT_NEW_RUNS,   { AGENT_TRIAL,       ACTION_PROVE           } },
	{ AGENT_TRIAL,       EVENT_OLD_RUNS,   { AGENT_IDLE,        ACTION_END_ROLLED_BACK } },

	{ AGENT_CONFIRMING,  EVENT_CONFIRMED,  { AGENT_IDLE,        ACTION_END_SUCCEEDED   } },
	{ AGENT_CONFIRMING,  EVENT_NEW_RUNS,   { AGENT_CONFIRMING,  ACTION_CONFIRM         } },
	{ AGENT_CONFIRMING,  EVENT_OLD_RUNS,   { AGENT_IDLE,        ACTION_END_ROLLED_BACK } },

	{ AGENT_REVERTING,   EVENT_OLD_RUNS,   { AGENT_IDLE,        ACTION_END_ROLLED_BACK } },
	{ AGENT_REVERTING,   EVENT_NEW_RUNS,   { AGENT_REVERTING,   ACTION_REVERT          } },
	{ AGENT_REVERTING,   EVENT_RESUMED,    { AGENT_REVERTING,   ACTION_REVERT          } },
};
/* clang-format on */

static const struct agent_step *find(enum agent_state state, enum agent_event event)
{
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].state == state && table[i].event == event)
			return &table[i].step;
	}
	return NULL;
}

enum ota_err agent_next(enum agent_state state, enum agent_event event,
			struct agent_step *ret_step, struct ota_why *why)
{
	const struct agent_step *step = find(state, event);

	if (!step)
		return ota_fail(why, OTA_INTERNAL, "'%s' cannot happen while '%s'",
				agent_event_names[event], agent_state_names[state]);
	*ret_step = *step;
	return OTA_OK;
}

bool agent_next_is_known(enum agent_state state, enum agent_event event)
{
	return find(state, event) != NULL;
}

enum update_state agent_reported(enum agent_state state)
{
	static const enum update_state reported[AGENT_STATE_COUNT] = {
		[AGENT_IDLE] = UPDATE_NONE,
		[AGENT_OFFERED] = UPDATE_OFFERED,
		[AGENT_PREPARING] = UPDATE_DOWNLOADING,
		[AGENT_DOWNLOADING] = UPDATE_DOWNLOADING,
		[AGENT_DOWNLOADED] = UPDATE_DOWNLOADED,
		[AGENT_VERIFIED] = UPDATE_VERIFIED,
		[AGENT_INSTALLING] = UPDATE_INSTALLING,
		[AGENT_INSTALLED] = UPDATE_INSTALLED,
		[AGENT_RESTARTING] = UPDATE_RESTARTING,
		[AGENT_TRIAL] = UPDATE_TRIAL,
		[AGENT_CONFIRMING] = UPDATE_TRIAL,
		[AGENT_REVERTING] = UPDATE_TRIAL,
	};

	return reported[state];
}

bool agent_state_is_committed(enum agent_state state)
{
	return state >= AGENT_INSTALLING;
}
