/* A store in memory, for tests: the same contract as the real one, with verbs to fail and to
 * lose power. What has not been committed by store_memory_commit() is lost by
 * store_memory_crash(). */
#pragma once

#include "store.h"

struct store_memory; /* opaque */

enum ota_err store_memory_new(struct store_memory **ret_memory,
			      struct ota_why *why) OTA_CHECKED;
void store_memory_free(struct store_memory *memory);
/* The seam; lives as long as the memory. */
struct store *store_memory_store(struct store_memory *memory);
/* How many rows may wait; more is OTA_BUSY. */
void store_memory_set_room(struct store_memory *memory, size_t rows);
/* While not OTA_OK every commit fails with it. */
void store_memory_set_error(struct store_memory *memory, enum ota_err err);
/* Commits what is queued (all of it); poll() then reports it. */
void store_memory_commit(struct store_memory *memory);
/* The broker dies: everything that is not committed is forgotten, and so are the tickets. */
void store_memory_crash(struct store_memory *memory);
size_t store_memory_count(const struct store_memory *memory, enum store_kind kind);
