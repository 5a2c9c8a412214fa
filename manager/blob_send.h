/* Uploads of blobs: contiguous frames with a bounded window, resumed where the plugin says. */
#pragma once

#include "control.h"

struct blob_send_table; /* the uploads that are under way on one client */

struct blob_send_seam {
	void *ctx;
	/* Asks `blob.begin`. */
	enum ota_err (*begin)(void *ctx, const char *args, const char *token,
			      struct view_tree **ret_result, struct ota_why *why);
	enum ota_err (*send)(void *ctx, const void *frame, size_t len, struct ota_why *why);
	/* Waits until the connection is back. */
	enum ota_err (*wait)(void *ctx, struct ota_why *why);
};

enum ota_err blob_send_table_new(struct blob_send_table **ret_table,
				 struct ota_why *why) OTA_CHECKED;
void blob_send_table_free(struct blob_send_table *table); /* NULL is fine */
/* Runs one upload to its end in the calling thread; many may run at a time. `patience_ms`: how
 * long the plugin may keep silent before the rest is sent again. */
enum ota_err blob_send_run(struct blob_send_table *table, const struct blob_send_seam *seam,
			   const struct control_upload *upload, uint64_t patience_ms,
			   struct ota_why *why) OTA_CHECKED;
/* The plugin's word on an upload, {upload, offset, done, error?}; others' are ignored. */
void blob_send_answer(struct blob_send_table *table, const struct view *answer);
/* The connection is gone: what runs begins again from where the plugin then says. */
void blob_send_fail_all(struct blob_send_table *table);
