/* Audit: who asked for what, and what was answered. Each row carries the hash of the one before
 * (PROTOCOL.md section 4, Objects), so that an edited, deleted or moved row is seen. */
#pragma once

#include "store.h"

/* The row's hash from its members and `previous`. */
enum ota_err audit_hash(const struct store_audit *row, struct digest *ret_hash,
			struct ota_why *why) OTA_CHECKED;

/* A check that walks the rows in order. */
struct audit_check {
	uint64_t entries, first_bad; /* first_bad: a sequence, 0: none */
	struct digest tip;
	/* What an earlier answer said; entries_then 0: nothing to compare. */
	uint64_t entries_then;
	struct digest tip_then;
	bool then_seen;
};
enum ota_err audit_check_row(struct audit_check *check, const struct store_audit *row,
			     struct ota_why *why) OTA_CHECKED;
/* NULL when the chain is intact, else what is wrong with it. `entries` and `tip` are what the
 * store noted beside the rows: a chain that was cut short at its end is found by them. */
const char *audit_check_end(const struct audit_check *check, uint64_t entries,
			    const struct digest *tip);
