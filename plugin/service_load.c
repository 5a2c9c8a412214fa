/* What the plugin knows beside the engine, from its store and the trust root's file, at start.
 */
#include "service.h"

#include "file.h"
#include "own.h"

#include <string.h>

enum ota_err service_add_root(struct service *service, uint64_t version, const char *envelope,
			      struct ota_why *why)
{
	struct service_root *more =
		realloc(service->roots, (service->root_count + 1) * sizeof(*more));

	if (!more)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a root");
	service->roots = more;
	more[service->root_count].version = version;
	more[service->root_count].envelope = strdup(envelope);
	if (!more[service->root_count].envelope)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a root");
	service->root_count++;
	return OTA_OK;
}

struct loading {
	struct service *service;
	enum ota_err err;
	struct ota_why *why;
};

/* Roots after the one in the file, one by one, each proved by the one before. */
static bool load_root(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;
	struct service *service = loading->service;
	const char *envelope = row->root.envelope ? row->root.envelope : "";

	if (row->root.version <= trust_root(service->trust)->version)
		return true;
	loading->err = trust_advance(service->trust, envelope, strlen(envelope), loading->why);
	if (!loading->err)
		loading->err =
			service_add_root(service, row->root.version, envelope, loading->why);
	return !loading->err;
}

static bool load_head(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;

	loading->service->head = row->head.envelope ? strdup(row->head.envelope) : NULL;
	return true;
}

static bool load_manager(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;

	loading->err = manager_take(&loading->service->managers, &row->manager, loading->why);
	return !loading->err;
}

static bool load_token(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;

	loading->err =
		manager_take_token(&loading->service->managers, &row->token, loading->why);
	return !loading->err;
}

static bool load_blob(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;

	loading->err = blob_add(&loading->service->blobs, &row->blob.sha256, row->blob.size,
				row->blob.created_ms, row->blob.product, NULL, loading->why);
	return !loading->err;
}

static bool load_answer(void *ctx, const struct store_row *row)
{
	struct loading *loading = ctx;

	loading->err = answer_take(loading->service->answers, &row->answer, loading->why);
	return !loading->err;
}

static enum ota_err load_kind(struct service *service, enum store_kind kind, store_row_fn each,
			      struct ota_why *why)
{
	struct loading loading = {.service = service, .why = why};
	enum ota_err err = service->store->load(service->store->ctx, kind, each, &loading, why);

	return err ? err : loading.err;
}

static enum ota_err load_trust(struct service *service, struct ota_why *why)
{
	AUTO_FREE char *envelope = NULL;
	size_t len;
	enum ota_err err = file_read(service->settings.trust_root, ENVELOPE_SIZE_MAX, &envelope,
				     &len, why);

	if (!err)
		err = trust_new(envelope, len, &service->trust, why);
	if (!err)
		err = service_add_root(service, trust_root(service->trust)->version, envelope,
				       why);
	if (err)
		return ota_context(why, err, "plugin_opt_trust_root '%s'",
				   service->settings.trust_root);
	err = load_kind(service, STORE_ROOT, load_root, why);
	return err ? ota_context(why, err, "a stored root does not follow the one before")
		   : OTA_OK;
}

/* Which blobs belong to which product follows from the firmware. */
enum ota_err service_use_blobs(struct service *service, const struct firmware *firmware,
			       struct ota_why *why)
{
	const struct digest *index = &firmware->document.components[0].index.sha256;
	struct blob *blob = blob_find(&service->blobs, index);
	enum ota_err err = blob ? blob_use(blob, firmware->product->name, why) : OTA_OK;

	for (uint32_t i = 0; i < firmware->pack_count && !err; i++) {
		blob = blob_find(&service->blobs, &firmware->packs[i].sha256);
		err = blob ? blob_use(blob, firmware->product->name, why) : OTA_OK;
	}
	return err;
}

static enum ota_err use_all_blobs(struct service *service, struct ota_why *why)
{
	const struct product *product = NULL;
	enum ota_err err;

	while ((product =
			engine_product_after(service->engine, product ? product->name : NULL)))
		for (uint32_t i = 0; i < product->firmware_count; i++) {
			err = service_use_blobs(service, product->firmwares[i], why);
			if (err)
				return err;
		}
	return OTA_OK;
}

enum ota_err service_load(struct service *service, struct ota_why *why)
{
	enum ota_err err = load_trust(service, why);

	if (!err)
		err = load_kind(service, STORE_HEAD, load_head, why);
	if (!err)
		err = load_kind(service, STORE_MANAGER, load_manager, why);
	if (!err)
		err = load_kind(service, STORE_TOKEN, load_token, why);
	if (!err)
		err = load_kind(service, STORE_BLOB, load_blob, why);
	if (!err)
		err = load_kind(service, STORE_ANSWER, load_answer, why);
	if (!err)
		err = engine_load(service->engine, why);
	if (!err)
		err = use_all_blobs(service, why);
	return err;
}
