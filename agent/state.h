/* The agent's state table (AGENT.md): where an update stands, and what each event makes of it.
 *
 * Pure. The runner (agent.c) writes the next state to the journal first and then acts; every
 * action may be repeated, because after a power cut it is. */
#pragma once

#include "message.h"

/* The numbers are in the journal: append, never renumber. */
enum agent_state {
	AGENT_IDLE = 0,
	AGENT_OFFERED,	   /* checked; the download gate may postpone it */
	AGENT_PREPARING,   /* the target slot is being marked unbootable */
	AGENT_DOWNLOADING, /* segments go into the slot */
	AGENT_DOWNLOADED,  /* all are there; the image is being read back from the medium */
	AGENT_VERIFIED,	   /* read back; the install gate may postpone it */
	AGENT_INSTALLING,  /* the slot is being armed */
	AGENT_INSTALLED,   /* armed; the restart gate may postpone it */
	AGENT_RESTARTING,  /* on the way into the new version */
	AGENT_TRIAL,	   /* the new version runs and must prove itself */
	AGENT_CONFIRMING,  /* granted; the slot is being made permanent */
	AGENT_REVERTING,   /* on the way back into the old version */
	AGENT_STATE_COUNT,
};
extern const char *const agent_state_names[];

enum agent_event {
	EVENT_OFFER = 0, /* a checked offer */
	EVENT_ALLOWED,	 /* the gate that is waited for is open */
	EVENT_PREPARED,
	EVENT_COMPLETE,	 /* every segment is in the slot */
	EVENT_READ_BACK, /* the whole image came back from the medium with its digest */
	EVENT_ARMED,
	EVENT_NEW_RUNS,	 /* the boot state says that the trial version was started */
	EVENT_OLD_RUNS,	 /* it says that the old version runs again */
	EVENT_GRANTED,	 /* the plugin stored the trial's success */
	EVENT_CONFIRMED, /* the boot state says that the new version is permanent */
	EVENT_UNFIT,	 /* the trial failed */
	EVENT_FAILED,
	EVENT_CANCELED,
	EVENT_SUPERSEDED,
	EVENT_RESUMED, /* the agent started again and nothing else had happened */
	EVENT_RETURN,  /* a manager wants the previous version back */
	AGENT_EVENT_COUNT,
};
extern const char *const agent_event_names[];

enum agent_action {
	ACTION_NONE = 0,
	ACTION_ASK_DOWNLOAD,
	ACTION_PREPARE,
	ACTION_FETCH,
	ACTION_READ_BACK,
	ACTION_ASK_INSTALL,
	ACTION_ARM,
	ACTION_ASK_RESTART,
	ACTION_RESTART,
	ACTION_PROVE,
	ACTION_CONFIRM,
	ACTION_REVERT,
	ACTION_END_SUCCEEDED,
	ACTION_END_FAILED,
	ACTION_END_CANCELED,
	ACTION_END_SUPERSEDED,
	ACTION_END_ROLLED_BACK,
	AGENT_ACTION_COUNT,
};
extern const char *const agent_action_names[];

struct agent_step {
	enum agent_state next;
	enum agent_action action;
};

/* OTA_INTERNAL for a pair that is not in the table, naming both; nothing may happen then. */
enum ota_err agent_next(enum agent_state state, enum agent_event event,
			struct agent_step *ret_step, struct ota_why *why) OTA_CHECKED;
bool agent_next_is_known(enum agent_state state, enum agent_event event);
/* What is reported on entering the state; UPDATE_NONE for idle. */
enum update_state agent_reported(enum agent_state state);
/* From here on an update is finished whatever comes: no cancel, no newer one. */
bool agent_state_is_committed(enum agent_state state);
