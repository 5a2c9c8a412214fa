/* Requests that wait for their answer: ids are given out here and found again here. Safe from
 * any thread; an answer is called without the lock and exactly once. */
#pragma once

#include "control.h"

#define PENDING_ID_SIZE 40

struct pending;

/* `prefix` makes the ids this client's own among all that share the reply topic. */
enum ota_err pending_new(const char *prefix, struct pending **ret_pending,
			 struct ota_why *why) OTA_CHECKED;
void pending_free(struct pending *pending); /* NULL is fine; nothing may be waiting */
/* OTA_BUSY beyond CONTROL_PENDING_MAX. deadline_ms is of line_now_ms(). */
enum ota_err pending_add(struct pending *pending, uint64_t deadline_ms, control_answer answer,
			 void *ctx, char ret_id[PENDING_ID_SIZE],
			 struct ota_why *why) OTA_CHECKED;
/* Forgets it unanswered; false when it has been answered or is being answered. */
bool pending_drop(struct pending *pending, const char *id);
/* Answers the request whose id the reply holds; replies to others are ignored. */
void pending_answer(struct pending *pending, const struct view *reply);
void pending_expire(struct pending *pending, uint64_t now_ms);
void pending_fail_all(struct pending *pending, enum ota_err err, const char *text);
/* What an error object {name, number, message} says. */
enum ota_err pending_error(const struct view *error, struct ota_why *why);
