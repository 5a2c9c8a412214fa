/* Uploads: blobs on their way in. Frames are checked here, written and hashed by the worker,
 * and answered when they are in the file. The file grows in `partial/` under the digest it must
 * have, so that the same blob goes on where it stopped, also after a restart and from another
 * manager; it gets its name under `blobs/` once it is whole, right and synced. */
#pragma once

#include "blob.h"
#include "message.h"
#include "worker.h"

#define UPLOAD_MAX	  16u		      /* at a time */
#define UPLOAD_SIZE_MAX	  (UINT64_C(1) << 34) /* of a blob */
#define UPLOAD_ANSWER_MAX (1u << 20)	      /* unanswered bytes, at most */
#define UPLOAD_KEPT_S	  (7 * 86400)	      /* what nobody goes on with is deleted then */
#define UPLOAD_IDLE_MS	  600000u	      /* then its place is given up; the file stays */

struct upload;	     /* opaque */
struct upload_table; /* opaque */

struct upload_state {
	uint64_t id, offset; /* all bytes before offset are in the file */
	bool done;	     /* whole, hashed, synced, named */
	enum ota_err err;
	const struct ota_why *why;
	/* The blob, when done. */
	struct digest sha256;
	uint64_t size;
	const char *product, *manager;
};

struct upload_limits {
	uint64_t quota_bytes, reserve_percent;
};

struct upload_seam {
	void *ctx;
	/* News of an upload; called from worker_poll(). */
	void (*news)(void *ctx, const struct upload_state *state);
	/* The answer to upload_begin(), once. */
	void (*begun)(void *ctx, void *asker, const struct upload_state *state);
};

enum ota_err upload_table_new(const char *store_dir, struct worker *worker,
			      const struct upload_limits *limits,
			      const struct upload_seam *seam, struct upload_table **ret_table,
			      struct ota_why *why) OTA_CHECKED;
/* After worker_free(): the worker still holds jobs of the uploads. NULL is fine. */
void upload_table_free(struct upload_table *table);

/* Begins, or goes on with, a blob that is not there yet; `stored_bytes` is what the others
 * take. The answer comes by `begun` with `asker`. OTA_QUOTA_EXCEEDED, OTA_BUSY (too many at a
 * time), OTA_TOO_LARGE; by `begun` also OTA_INSUFFICIENT_STORAGE. */
enum ota_err upload_begin(struct upload_table *table, const char *manager, const char *product,
			  const struct digest *sha256, uint64_t size, uint64_t stored_bytes,
			  uint64_t now_ms, void *asker, struct ota_why *why) OTA_CHECKED;
/* One frame of the manager's. OTA_NOT_FOUND: no such upload of his; OTA_RESUME_MISMATCH: not
 * where the frame before ended (*ret_offset says where); OTA_BUSY: more than
 * MESSAGE_UPLOAD_WINDOW unanswered. A frame that is there already changes nothing
 * (*ret_repeated): its sender wants to know how far we are. */
enum ota_err upload_frame(struct upload_table *table, const char *manager,
			  const struct upload_frame *frame, uint64_t now_ms,
			  uint64_t *ret_offset, bool *ret_repeated,
			  struct ota_why *why) OTA_CHECKED;
/* Deletes what lies unfinished in `partial/` since UPLOAD_KEPT_S. */
void upload_prune(struct upload_table *table);
/* Gives up what has been idle. */
void upload_sweep(struct upload_table *table, uint64_t now_ms);
uint32_t upload_count(const struct upload_table *table);
