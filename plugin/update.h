/* An update: one device's passage through one release. Its state is a fold of the device's
 * reports by (attempt, seq), overlaid by what the plugin alone can know (PROTOCOL.md, States).
 */
#pragma once

#include "message.h"

struct device;
struct release;

/* The evidence of the last failure; kept in memory so that errors can be grouped. */
struct update_error {
	enum ota_err err;
	enum update_state state; /* in which it happened */
	uint32_t detail;
	char message[];
};

enum update_flag {
	UPDATE_TOLD = 1,       /* its moment has come by the mode table: it may start */
	UPDATE_PLACE = 2,      /* holds one of the release's places (max_concurrent) */
	UPDATE_PENALTY = 4,    /* three failures: sits out until due_ms */
	UPDATE_WAITING = 8,    /* to be tried again at due_ms */
	UPDATE_RECEIVED = 16,  /* the device has shown that it knows this attempt */
	UPDATE_REVERTING = 32, /* told to go back to the previous slot */
	UPDATE_GRANTED = 64,   /* its trial has been stored and granted */
};

struct update {
	struct device *device;
	struct release *release;
	struct update *older;
	struct update_error *error; /* NULL: none */
	uint64_t seq;
	uint64_t created_ms, changed_ms;
	uint64_t due_ms; /* when silence, a retry or the penalty ends; 0: never */
	uint64_t done, total;
	uint32_t timer; /* place in the heap of timers, from 1; 0: none */
	uint32_t attempt;
	uint8_t state; /* enum update_state */
	uint8_t wave, failures, round;
	uint8_t flags;
};
