/* The inside of the agent, shared by agent.c (events and steps), agent_act.c (actions),
 * agent_end.c (ends), agent_talk.c (messages) and agent_offer.c (offers). Nobody else includes
 * it. */
#pragma once

#include "agent.h"
#include "check.h"
#include "fetch.h"
#include "postbox.h"
#include "state.h"

#define AGENT_EVENTS_PER_STEP 16
#define AGENT_GATE_POLL_MS    1000 /* the application is asked again */
#define AGENT_REASON_MS                                                                        \
	60000 /* between two reports of a reason that only changed its words                   \
	       */
#define AGENT_GRANT_POLL_MS   20000 /* hello with `trial` is said again */
#define AGENT_RESTART_POLL_MS 60000 /* a restart that did not come is asked for again */
#define AGENT_HELLO_MS	      60000 /* a hello that was not answered is said again */
#define AGENT_RETRY_MS	      5000  /* after the disk refused */
#define AGENT_MUTE_MS	      60000 /* a link that was asked and says nothing is made anew */
#define AGENT_MUTE_MAX_MS     (3600u * 1000u) /* each time later, up to this */
#define AGENT_PROGRESS_MS     2000	      /* between two reports of progress */
#define AGENT_JOURNAL_MS      10000	      /* between two notes of progress */
#define AGENT_IGNORE_MS	      (4u * 3600000u) /* a release with bad signatures */
#define AGENT_IGNORE_AFTER    3u
#define AGENT_IGNORED_MAX     8u
#define AGENT_TRIES	      3u
#define AGENT_REVERTS_MAX     3u /* of one release: then it sits out */
#define AGENT_SIT_OUT_MS      (24u * 3600000u)
#define AGENT_RESTARTS_MAX    4u    /* asked for without the boot state moving */
#define AGENT_TRIAL_BOOTS_MAX 10u   /* of the agent within one trial */
#define AGENT_DISK_FULL_MS    2000u /* it was full for so long */
#define AGENT_TRIAL_LOOK_MS   1000u /* at the disk, while a version is on trial */

struct agent_running {
	bool known;
	enum boot_slot slot;
	char version[NAME_SIZE];
	struct digest digest;
	uint64_t size, security_version;
	unsigned part;
	bool verified; /* the slot's content is what the firmware document says */
};

struct agent_ignored {
	uint64_t number;
	unsigned failures;
	uint64_t until_ms; /* 0: not yet ignored */
};

/* A refusal that waits for the answer to a hello. */
struct agent_doubt {
	bool waits;
	uint64_t number;
	uint32_t attempt;
	struct ota_why why;
};

/* Evidence of a failed version, kept for the version that reports it. */
struct agent_evidence {
	uint64_t release;
	uint32_t attempt;
	uint32_t err, detail;
	char message[OTA_WHY_TEXT_MAX + 1];
	char *log;
};

struct agent {
	struct agent_parts parts;
	struct journal *journal;
	struct keep *keep;
	struct logbook *log;
	struct postbox postbox;
	struct consent_rules consent;
	struct agent_running running;
	uint64_t now_ms;
	uint64_t attempt_since_ms; /* what the journal's elapsed_ms does not yet hold */
	bool learned;		   /* the first RUNNER_STARTED was seen */
	bool learn_due;		   /* the newest could not be learned from: again */
	uint64_t learn_due_ms;
	bool refused; /* by the disk: what was to be noted since this was set to false */
	struct runner_event started;

	/* the update in hand */
	bool has_update;
	struct checked checked;
	struct offer offer;
	struct fetch *fetch;
	unsigned dropped_told;	 /* of the fetch's dropped packs and sources */
	const char *source_told; /* that was logged last */
	unsigned component;	 /* that is being fetched */
	uint64_t fetched_before, done_before;
	struct source mqtt;
	bool read_back; /* in this process, since the last write */
	struct ota_why failure;
	enum agent_action action; /* repeated by each step until an event changes the state */
	uint64_t action_due_ms;	  /* not before */
	bool forced;		  /* the signed release says so */
	char deferred[CONSENT_REASON_MAX + 1];
	bool is_deferred;
	uint64_t progress_ms, journal_ms, progress_done;

	/* trial */
	uint64_t trial_since_ms, started_ms, check_due_ms;
	bool version_runs; /* false between a crash and the next start */
	bool trial_begun, check_runs, outage_known, outage_elsewhere, link_fresh;
	enum trial_health health;
	struct ota_why health_why, link_why;
	unsigned link_failures;
	uint64_t grant_due_ms, evidence_ms;
	uint64_t disk_full_ms;	  /* since when it is full; 0: it is not */
	struct ota_why last_exit; /* of the application, since its last start */
	struct ota_why crash;	  /* the last one of this trial */

	/* link */
	bool online, welcomed;
	bool asked_hello, asked_chunks; /* and not answered yet */
	bool awaits;			/* an answer, since silent_ms */
	uint64_t silent_ms, mute_ms;	/* since when, and how long is too long */
	uint64_t hello_due_ms;
	uint8_t nonce[MESSAGE_NONCE_SIZE];
	bool nonce_is_trial;
	uint64_t signed_time; /* floor of time: build, persisted, signed head */
	uint64_t broker_time, broker_time_ms;
	struct consent_gates told;
	uint64_t told_ms, consent_due_ms, deferred_ms;
	char told_reason[CONSENT_REASON_MAX + 1];
	struct agent_ignored ignored[AGENT_IGNORED_MAX];
	unsigned ignored_next;
	struct agent_doubt doubt;
	uint64_t sit_out_until_ms; /* for the release that was reverted again and again */
	struct ota_why last_error;
};

/* agent.c */
enum agent_state agent_state_of(const struct agent *agent);
/* Looks up, ends or journals, then acts. False when it did not happen (not in the table, or the
 * disk refused; both are logged) and the state is as it was. */
bool agent_event(struct agent *agent, enum agent_event event);
/* The update in hand failed for this reason. */
void agent_fail(struct agent *agent, const struct ota_why *why);
/* Writes the journal with the time that passed. */
enum ota_err agent_store(struct agent *agent, struct journal_entry *entry,
			 struct ota_why *why) OTA_CHECKED;
void agent_log(struct agent *agent, enum log_level level, const struct ota_why *why,
	       const char *what);
struct check_facts agent_facts(const struct agent *agent);
/* Forgets the update in memory (not on disk). */
void agent_drop_update(struct agent *agent);

/* agent_learn.c */
/* What runs, which boot state, what the journal says: makes the one event that follows. */
void agent_learn(struct agent *agent, const struct runner_event *started);
/* Reads offer, release and firmware from the keep and checks them again. */
enum ota_err agent_reload(struct agent *agent, struct ota_why *why) OTA_CHECKED;
enum keep_item agent_firmware_item(enum boot_slot slot);
/* What the slot holds, as recorded when it was put there: from its firmware document, or the
 * factory's record; OTA_NOT_FOUND when it holds nothing that was ever verified. */
struct agent_content {
	char version[NAME_SIZE];
	struct digest digest; /* of the first component */
	uint64_t size;
};
enum ota_err agent_content_of(struct agent *agent, enum boot_slot slot,
			      struct agent_content *ret_content,
			      struct ota_why *why) OTA_CHECKED;
enum boot_slot agent_other_slot(const struct agent *agent);
enum ota_err agent_identify(struct agent *agent, struct ota_why *why) OTA_CHECKED;

/* agent_act.c */
/* Repeats the action of the state; milliseconds until it wants to be repeated. */
uint64_t agent_act(struct agent *agent);
/* Ends the fetch in hand and keeps count of what it fetched. */
void agent_stop_fetch(struct agent *agent);
bool agent_gate(struct agent *agent, enum consent_gate gate, char *ret_reason,
		uint64_t *ret_left_ms);

/* agent_end.c */
/* The action that comes after the journal says idle again is done before it. */
enum ota_err agent_end(struct agent *agent, enum agent_action action,
		       struct ota_why *why) OTA_CHECKED;

/* agent_prove.c */
/* Ends a health check that runs: it was of another start, or of another version. */
void agent_stop_check(struct agent *agent);
uint64_t agent_prove(struct agent *agent);
void agent_keep_evidence(struct agent *agent, enum ota_err err, int detail,
			 const char *message);
bool agent_read_evidence(struct agent *agent, struct agent_evidence *ret_evidence);
void agent_evidence_done(struct agent_evidence *evidence);

/* agent_offer.c */
void agent_offer(struct agent *agent, const void *payload, size_t len);
/* The answer to a hello is there: a refusal that waited for it stands, unless the root is
 * newer. */
void agent_end_doubt(struct agent *agent, bool root_is_newer);

/* agent_return.c */
/* The manager wants the previous version back. */
void agent_return(struct agent *agent, uint64_t release);
/* Puts what the journal's target slot holds in the place of the firmware in hand. */
enum ota_err agent_load_return(struct agent *agent, struct ota_why *why) OTA_CHECKED;

/* agent_talk.c */
void agent_link_event(struct agent *agent, const struct link_event *event);
void agent_say_hello(struct agent *agent);
/* Says it again when it is due and no welcome came; milliseconds until then. */
uint64_t agent_repeat_hello(struct agent *agent);
/* Makes the link anew when answers are waited for and nothing has come for long; milliseconds
 * until then. */
uint64_t agent_watch_link(struct agent *agent);
/* Says when a gate changed; milliseconds until it may have changed by itself. */
uint64_t agent_tell_consent(struct agent *agent);
enum ota_err agent_report(struct agent *agent, enum update_state state,
			  enum keep_report_kind kind, const struct ota_why *error,
			  const char *log, const char *reason, struct ota_why *why) OTA_CHECKED;
/* A report of a release that is not in hand. */
enum ota_err agent_report_other(struct agent *agent, uint64_t release, uint32_t attempt,
				enum update_state state, const struct ota_why *error,
				struct ota_why *why) OTA_CHECKED;
