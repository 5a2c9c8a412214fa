/* A few threads for what blocks: packing an image, uploading it, asking several commands in
 * turn. */
#pragma once

#include "why.h"

#define WORK_QUEUE_MAX 64

struct work;

enum ota_err work_new(unsigned threads, struct work **ret_work,
		      struct ota_why *why) OTA_CHECKED;
/* What is running ends first; what waits is run too (its requests then fail by themselves). */
void work_free(struct work *work);
/* OTA_BUSY beyond WORK_QUEUE_MAX; `run` is then not called. */
enum ota_err work_add(struct work *work, void (*run)(void *job), void *job,
		      struct ota_why *why) OTA_CHECKED;
