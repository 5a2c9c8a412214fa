#include "command.h"
#include "pack.h"
#include "show.h"
#include "version.h"

#include "file.h"
#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BASES_MAX 64

/* ---- blobs on their way in ---- */

enum ota_err command_blob_begin(struct command_call *call, struct ota_why *why)
{
	struct service *service = call->service;
	const struct command_args *args = &call->args;
	char hex[TEXT_HEX32_SIZE];
	enum ota_err err;

	text_from_digest(hex, args->sha256.bytes);
	snprintf(call->object, sizeof(call->object), "%s", hex);
	if (!engine_product(service->engine, args->product))
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'", args->product);
	if (blob_find(&service->blobs, &args->sha256)) {
		struct upload_state there = {.offset = args->size, .done = true};

		call->later = true;
		command_begun(service, call, &there);
		return OTA_OK;
	}
	err = upload_begin(service->uploads, call->identity.name, args->product, &args->sha256,
			   args->size, service->blobs.bytes, service_mono_ms(), call, why);
	call->later = !err;
	return err;
}

void command_begun(struct service *service, void *asker, const struct upload_state *state)
{
	struct command_call *call = asker;
	char id[17];

	(void)service;
	if (!state->err) {
		snprintf(id, sizeof(id), "%016" PRIx64, state->id);
		show_open(&call->result, NULL);
		show_text(&call->result, "upload", id);
		show_number(&call->result, "offset", state->offset);
		show_bool(&call->result, "done", state->done);
		show_close(&call->result, '}');
	}
	command_finish(call, state->err, state->why);
}

/* ---- looking into packs, on the worker ---- */

struct inspection {
	struct worker_job job;
	struct command_call *call;
	char *store_dir;
	struct firmware_component component;
	struct offer_pack packs[MESSAGE_PACKS_MAX];
	uint32_t count;
	/* firmware.add: what is to be added, and its exact bytes. */
	struct trusted_firmware firmware;
	bool is_new;
};

static enum ota_err inspect_pack(const struct inspection *inspection, struct offer_pack *pack,
				 struct ota_why *why)
{
	uint8_t bytes[PACK_HEADER_SIZE];
	struct pack_header header;
	char path[BLOB_PATH_SIZE];
	AUTO_CLOSE int fd = -1;
	enum ota_err err;

	err = blob_path(inspection->store_dir, &pack->sha256, false, path, why);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot open '%s'", path);
	err = file_pread_all(fd, bytes, sizeof(bytes), 0, why);
	if (!err)
		err = pack_header_read(bytes, sizeof(bytes), &header, why);
	if (err) {
		if (why)
			why->err = OTA_MANIFEST_INVALID;
		return ota_context(why, OTA_MANIFEST_INVALID, "that blob is no pack");
	}
	if (!digest_equal(&header.image, &inspection->component.sha256) ||
	    header.image_size != inspection->component.size ||
	    header.segment_size != inspection->component.segment_size)
		return ota_fail(why, OTA_MANIFEST_INVALID,
				"the pack is of another image than the manifest");
	pack->base = header.base;
	return OTA_OK;
}

static enum worker_step inspect_run(struct worker_job *job)
{
	struct inspection *inspection = (struct inspection *)job;

	for (uint32_t i = 0; i < inspection->count && !job->err; i++) {
		job->err = inspect_pack(inspection, &inspection->packs[i], &job->why);
		if (job->err)
			job->err = ota_context(&job->why, job->err, "packs[%u]", i);
	}
	return WORKER_FINISHED;
}

static const struct firmware *find_firmware(const struct command_call *call,
					    struct ota_why *why)
{
	const struct product *product =
		engine_product(call->service->engine, call->args.product);
	const struct firmware *firmware =
		product ? product_firmware(product, call->args.version) : NULL;

	if (!firmware && ota_fail(why, OTA_NOT_FOUND, "no firmware '%s' of '%s'",
				  call->args.version, call->args.product))
		return NULL;
	return firmware;
}

static enum ota_err inspected(struct inspection *inspection, struct ota_why *why)
{
	struct command_call *call = inspection->call;
	struct engine *engine = call->service->engine;
	uint64_t before = engine_ticket(engine);
	const struct firmware *firmware;
	enum ota_err err;

	err = inspection->is_new
		      ? engine_firmware_add(engine, &inspection->firmware, call->args.envelope,
					    inspection->packs, inspection->count, why)
		      : engine_firmware_packs(engine, call->args.product, call->args.version,
					      inspection->packs, inspection->count, why);
	if (err)
		return err;
	if (engine_ticket(engine) > before) {
		call->first_ticket = before + 1;
		call->ticket = engine_ticket(engine);
	}
	firmware = find_firmware(call, why);
	if (!firmware)
		return OTA_NOT_FOUND;
	err = service_use_blobs(call->service, firmware, why);
	if (!err)
		show_firmware(&call->result, call->service->engine, firmware, false);
	return err;
}

static void inspect_done(struct worker_job *job)
{
	struct inspection *inspection = (struct inspection *)job;
	struct command_call *call = inspection->call;
	struct ota_why why = job->why;
	enum ota_err err = job->err;

	if (!err && !call->service->closing)
		err = inspected(inspection, &why);
	command_finish(call, err, &why);
	firmware_done(&inspection->firmware.document);
	free(inspection->store_dir);
	free(inspection);
}

static enum ota_err find_packs(const struct command_call *call, struct inspection *inspection,
			       struct ota_why *why)
{
	for (uint32_t i = 0; i < call->args.pack_count; i++) {
		const struct blob *blob =
			blob_find(&call->service->blobs, &call->args.packs[i]);
		char hex[TEXT_HEX32_SIZE];

		text_from_digest(hex, call->args.packs[i].bytes);
		if (!blob)
			return ota_fail(why, OTA_NOT_FOUND, "packs[%u]: no blob %s", i, hex);
		inspection->packs[i].sha256 = blob->sha256;
		inspection->packs[i].size = blob->size;
	}
	inspection->count = call->args.pack_count;
	return OTA_OK;
}

static enum ota_err inspect(struct command_call *call, struct trusted_firmware *firmware,
			    const struct firmware_document *document, struct ota_why *why)
{
	struct inspection *inspection = calloc(1, sizeof(*inspection));
	enum ota_err err = OTA_OK;

	if (inspection)
		inspection->store_dir = strdup(call->service->settings.store_dir);
	if (!inspection || !inspection->store_dir)
		err = ota_fail(why, OTA_OUT_OF_MEMORY, "no memory to look into packs");
	if (!err)
		err = find_packs(call, inspection, why);
	if (err) {
		if (inspection)
			free(inspection->store_dir);
		free(inspection);
		return err;
	}
	inspection->component = document->components[0];
	if (firmware) {
		inspection->is_new = true;
		inspection->firmware = *firmware;
		*firmware = (struct trusted_firmware){0};
	}
	inspection->call = call;
	inspection->job.run = inspect_run;
	inspection->job.done = inspect_done;
	call->later = true;
	worker_push(call->service->worker, &inspection->job);
	return OTA_OK;
}

static enum ota_err check_index(const struct command_call *call,
				const struct firmware_document *document, struct ota_why *why)
{
	const struct firmware_component *component = &document->components[0];
	const struct blob *index = blob_find(&call->service->blobs, &component->index.sha256);
	char hex[TEXT_HEX32_SIZE];

	text_from_digest(hex, component->index.sha256.bytes);
	if (!index)
		return ota_fail(why, OTA_NOT_FOUND, "the index %s is not uploaded", hex);
	if (index->size != component->index.size)
		return ota_fail(why, OTA_MANIFEST_INVALID,
				"the index has %" PRIu64 " bytes, the manifest says %" PRIu64,
				index->size, component->index.size);
	if (document->component_count != 1)
		return ota_fail(why, OTA_MANIFEST_INVALID,
				"firmware of more than one component is not served yet");
	return OTA_OK;
}

enum ota_err command_firmware_add(struct command_call *call, struct ota_why *why)
{
	struct trusted_firmware firmware = {0};
	const struct firmware_document *document = &firmware.document;
	enum ota_err err = trust_firmware(call->service->trust, call->args.envelope,
					  strlen(call->args.envelope), &firmware, why);

	if (err)
		return err;
	text_copy(call->args.product, sizeof(call->args.product), document->product);
	text_copy(call->args.version, sizeof(call->args.version), document->version);
	text_copy(call->object, sizeof(call->object), document->version);
	err = command_must(call, document->product, MANAGER_DEVELOPER, why);
	if (!err && !engine_product(call->service->engine, document->product))
		err = ota_fail(why, OTA_NOT_FOUND, "no product '%s'", document->product);
	if (!err)
		err = check_index(call, document, why);
	if (!err)
		err = inspect(call, &firmware, document, why);
	firmware_done(&firmware.document);
	return err;
}

enum ota_err command_firmware_packs(struct command_call *call, struct ota_why *why)
{
	const struct firmware *firmware = find_firmware(call, why);

	text_copy(call->object, sizeof(call->object), call->args.version);
	if (!firmware)
		return OTA_NOT_FOUND;
	return inspect(call, NULL, &firmware->document, why);
}

/* ---- lists ---- */

/* In order of versions, newest first; the cursor is a version. */
static const struct firmware *firmware_below(const struct product *product, const char *after)
{
	const struct firmware *best = NULL;

	for (uint32_t i = 0; i < product->firmware_count; i++) {
		const struct firmware *one = product->firmwares[i];

		if ((!after[0] || version_compare(one->version, after) < 0) &&
		    (!best || version_compare(one->version, best->version) > 0))
			best = one;
	}
	return best;
}

enum ota_err command_firmware_list(struct command_call *call, struct ota_why *why)
{
	const struct product *product =
		engine_product(call->service->engine, call->args.product);
	const struct firmware *firmware;
	const char *last = call->args.after;
	struct command_page page;

	if (!product)
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'", call->args.product);
	command_page_open(&page, call);
	while ((firmware = firmware_below(product, last))) {
		if (!command_page_next(&page))
			break;
		show_firmware(&call->result, call->service->engine, firmware, false);
		last = firmware->version;
	}
	command_page_close(&page, page.full ? last : NULL);
	return OTA_OK;
}

enum ota_err command_firmware_show(struct command_call *call, struct ota_why *why)
{
	const struct firmware *firmware = find_firmware(call, why);

	if (!firmware)
		return OTA_NOT_FOUND;
	show_firmware(&call->result, call->service->engine, firmware, true);
	return OTA_OK;
}

/* What a pack could be made against: images that run in the field, and where whole ones are. */
static void show_base(struct text *to, const struct product *product,
		      const struct engine_version *version)
{
	show_open(to, NULL);
	show_text(to, "version", version->version);
	show_digest(to, "digest", &version->digest);
	show_number(to, "count", version->devices);
	show_array(to, "blobs");
	for (uint32_t i = 0; i < product->firmware_count; i++) {
		const struct firmware *firmware = product->firmwares[i];

		for (uint32_t p = 0; p < firmware->pack_count; p++)
			if (digest_equal(&firmware->image, &version->digest) &&
			    digest_is_zero(&firmware->packs[p].base))
				show_digest(to, NULL, &firmware->packs[p].sha256);
	}
	show_close(to, ']');
	show_close(to, '}');
}

enum ota_err command_firmware_bases(struct command_call *call, struct ota_why *why)
{
	const struct product *product =
		engine_product(call->service->engine, call->args.product);
	struct engine_version versions[BASES_MAX];
	uint32_t count;

	if (!product)
		return ota_fail(why, OTA_NOT_FOUND, "no product '%s'", call->args.product);
	count = engine_versions(call->service->engine, product->name, versions, BASES_MAX);
	show_open(&call->result, NULL);
	show_array(&call->result, "items");
	for (uint32_t i = 0; i < count; i++)
		show_base(&call->result, product, &versions[i]);
	show_close(&call->result, ']');
	show_close(&call->result, '}');
	return OTA_OK;
}

/* ---- the end of a version ---- */

struct erasure {
	struct worker_job job;
	char path[BLOB_PATH_SIZE];
};

static enum worker_step erase_run(struct worker_job *job)
{
	unlink(((struct erasure *)job)->path);
	return WORKER_FINISHED;
}

static void erase_done(struct worker_job *job)
{
	free(job);
}

static bool still_named(const struct product *product, const struct digest *sha256)
{
	for (uint32_t i = 0; i < product->firmware_count; i++) {
		const struct firmware *firmware = product->firmwares[i];

		if (digest_equal(&firmware->document.components[0].index.sha256, sha256))
			return true;
		for (uint32_t p = 0; p < firmware->pack_count; p++)
			if (digest_equal(&firmware->packs[p].sha256, sha256))
				return true;
	}
	return false;
}

/* The row first, the file after it: a file without a row is only found again by an upload. */
static void release_blob(struct command_call *call, const struct product *product,
			 const struct digest *sha256)
{
	struct blob *blob = blob_find(&call->service->blobs, sha256);
	struct store_row row = {.kind = STORE_BLOB, .gone = true};
	struct erasure *erasure;

	if (!blob || still_named(product, sha256) || !blob_unuse(blob, product->name))
		return;
	row.blob.sha256 = *sha256;
	erasure = calloc(1, sizeof(*erasure));
	if (!erasure || command_write(call, &row, 1, NULL) ||
	    blob_path(call->service->settings.store_dir, sha256, false, erasure->path, NULL)) {
		free(erasure);
		return;
	}
	erasure->job.run = erase_run;
	erasure->job.done = erase_done;
	blob_remove(&call->service->blobs, blob);
	worker_push(call->service->worker, &erasure->job);
}

enum ota_err command_firmware_delete(struct command_call *call, struct ota_why *why)
{
	const struct firmware *firmware = find_firmware(call, why);
	struct digest names[MESSAGE_PACKS_MAX + 1];
	const struct product *product;
	uint32_t count = 0;
	enum ota_err err;

	text_copy(call->object, sizeof(call->object), call->args.version);
	if (!firmware)
		return OTA_NOT_FOUND;
	product = firmware->product;
	for (uint32_t i = 0; i < product->release_count; i++)
		if (digest_equal(&product->releases[i]->document.firmware, &firmware->digest))
			return ota_fail(
				why, OTA_CONFLICT, "'%s' was released, as number %" PRIu64,
				firmware->version, product->releases[i]->document.number);
	names[count++] = firmware->document.components[0].index.sha256;
	for (uint32_t i = 0; i < firmware->pack_count && count <= MESSAGE_PACKS_MAX; i++)
		names[count++] = firmware->packs[i].sha256;
	err = engine_firmware_delete(call->service->engine, call->args.product,
				     call->args.version, why);
	for (uint32_t i = 0; i < count && !err; i++)
		release_blob(call, product, &names[i]);
	return err;
}
