#include "firmware_push.h"

#include "document.h"
#include "envelope.h"
#include "file.h"
#include "image_cache.h"
#include "own.h"
#include "pack_write.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define BASES_MAX 15 /* packs of one firmware, less the one that needs no base */

struct push {
	struct tool *tool;
	const char *path;
	char *envelope;
	struct firmware_document firmware;
	struct pack_image image;
	struct pack_index index;
	uint64_t whole_size; /* of the pack that needs no base */
	struct screen_bar bar;
};

static void push_done(struct push *push)
{
	free(push->envelope);
	firmware_done(&push->firmware);
	pack_index_done(&push->index);
	pack_image_close(&push->image);
}

/* The plugin and the devices verify the signature; this only reads what it is about, so that a
 * mistake is named before megabytes travel. */
static enum ota_err read_manifest(struct push *push, struct ota_why *why)
{
	const char *given = arguments_value(&push->tool->arguments, "manifest");
	AUTO_FREE char *usual = NULL;
	struct envelope envelope = {0};
	size_t len = 0;
	enum ota_err err;

	if (!given && asprintf(&usual, "%s.firmware.json", push->path) < 0)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
	err = file_read(given ? given : usual, ENVELOPE_SIZE_MAX, &push->envelope, &len, why);
	if (err == OTA_NOT_FOUND)
		return ota_context(why, err, "sign it first: otactl firmware sign %s",
				   push->path);
	if (!err)
		err = envelope_read(push->envelope, len, ENVELOPE_FIRMWARE, &envelope, why);
	if (!err)
		err = firmware_read(envelope.payload, envelope.payload_len, &push->firmware,
				    why);
	envelope_done(&envelope);
	return err ? ota_context(why, err, "%s", given ? given : usual) : OTA_OK;
}

static enum ota_err check_image(struct push *push, struct ota_why *why)
{
	const struct firmware_component *component = &push->firmware.components[0];
	enum ota_err err;

	if (push->firmware.component_count != 1)
		return ota_fail(why, OTA_BAD_REQUEST,
				"the manifest has %u components; push takes one image",
				push->firmware.component_count);
	err = pack_image_open(push->path, &push->image, why);
	if (!err)
		err = pack_index_make(&push->image, component->segment_size, &component->sha256,
				      &push->index, why);
	if (err)
		return err;
	if (push->image.size != component->size ||
	    !digest_equal(&push->index.digest, &component->index.sha256))
		return ota_fail(why, OTA_IMAGE_HASH_MISMATCH,
				"'%s' is not the image that was signed as version %s; sign it "
				"again",
				push->path, push->firmware.version);
	return OTA_OK;
}

/* A file without a name, gone with its descriptor. */
static enum ota_err scratch(int *ret_fd, struct ota_why *why)
{
	const char *base = getenv("TMPDIR");
	AUTO_FREE char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/otactl.XXXXXX", base && *base ? base : "/tmp") < 0)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot make '%s'", path);
	unlink(path);
	*ret_fd = fd;
	return OTA_OK;
}

static bool show_upload(void *ctx, uint64_t done)
{
	screen_bar_show(ctx, done);
	return true;
}

static enum ota_err upload(struct push *push, const char *what, int fd,
			   const struct digest *digest, uint64_t size, struct ota_why *why)
{
	const struct control_upload blob = {
		.product = push->firmware.product,
		.digest = *digest,
		.size = size,
		.fd = fd,
		.progress = show_upload,
		.ctx = &push->bar,
	};
	enum ota_err err;

	screen_bar_start(&push->bar, &push->tool->screen, what, size, true);
	err = control_upload(push->tool->client, &blob, why);
	screen_bar_end(&push->bar, err ? 0 : size);
	return err;
}

static bool show_packing(void *ctx, struct pack_stage_progress progress)
{
	struct screen_bar *bar = ctx;

	bar->total = progress.total;
	screen_bar_show(bar, progress.done);
	return true;
}

/* Packs against the base (NULL: none) and uploads; *ret_pack names it. A pack against a base
 * that saves next to nothing is not worth a place: it is left out and *ret_pack stays zero. */
static enum ota_err send_pack(struct push *push, const struct pack_image *base,
			      const char *packing, const char *uploading,
			      struct digest *ret_pack, struct ota_why *why)
{
	AUTO_CLOSE int fd = -1;
	struct pack_write_options options = {
		.segment_size = push->firmware.components[0].segment_size,
		.threads = 2,
		.image_digest = &push->index.image,
		.progress = show_packing,
		.ctx = &push->bar,
	};
	struct pack_result result = {0};
	uint64_t level = 0;
	char from[SCREEN_FIGURE_SIZE], to[SCREEN_FIGURE_SIZE];
	enum ota_err err =
		arguments_number(&push->tool->arguments, "level", 1, 22, &level, why);

	options.level = (int)level;
	if (!err)
		err = scratch(&fd, why);
	screen_bar_start(&push->bar, &push->tool->screen, packing, push->image.size, false);
	if (!err)
		err = pack_write(&push->image, base, &options, fd, &result, why);
	if (err)
		return err;
	screen_bytes(push->image.size, from);
	screen_bytes(result.size, to);
	if (push->tool->screen.terminal)
		fputs("\r\033[K", push->tool->screen.out);
	screen_line(&push->tool->screen, SCREEN_GOOD, "%s: %s became %s%s", packing, from, to,
		    base && result.size >= push->whole_size - push->whole_size / 16
			    ? ", which saves nothing and is left out"
			    : "");
	if (!base)
		push->whole_size = result.size;
	else if (result.size >= push->whole_size - push->whole_size / 16)
		return OTA_OK;
	err = upload(push, uploading, fd, &result.digest, result.size, why);
	if (!err)
		*ret_pack = result.digest;
	return err;
}

static enum ota_err send_index(struct push *push, struct ota_why *why)
{
	AUTO_CLOSE int fd = -1;
	enum ota_err err = scratch(&fd, why);

	if (!err)
		err = file_write_all(fd, push->index.bytes, push->index.size, why);
	return err ? err
		   : upload(push, "index", fd, &push->index.digest, push->index.size, why);
}

static enum ota_err register_packs(struct push *push, const char *verb,
				   const struct digest *packs, unsigned count,
				   struct view_tree **ret_result, struct ota_why *why)
{
	AUTO(tool_args_done) struct tool_args args = {0};
	char hex[BASES_MAX][TEXT_HEX32_SIZE];
	const char *names[BASES_MAX];
	unsigned i;

	for (i = 0; i < count; i++) {
		text_from_digest(hex[i], packs[i].bytes);
		names[i] = hex[i];
	}
	if (!strcmp(verb, "firmware.add")) {
		tool_args_string(&args, "firmware", push->envelope);
	} else {
		tool_args_string(&args, "product", push->firmware.product);
		tool_args_string(&args, "version", push->firmware.version);
	}
	tool_args_strings(&args, "packs", names, count);
	return tool_ask(push->tool, verb, &args, ret_result, why);
}

static bool list_has(const char *list, const char *word)
{
	size_t len = strlen(word);
	const char *at;

	for (at = list; *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ',')) {
		if (strcspn(at, ",") == len && !memcmp(at, word, len))
			return true;
	}
	return false;
}

static enum ota_err pack_from(struct push *push, const char *path, const char *name,
			      struct digest *packs, unsigned *count, struct ota_why *why)
{
	struct pack_image base = {0};
	char packing[96], uploading[96];
	enum ota_err err;

	if (*count == BASES_MAX)
		return ota_fail(why, OTA_TOO_LARGE, "more than %d bases", BASES_MAX);
	snprintf(packing, sizeof(packing), "pack from %s", name);
	snprintf(uploading, sizeof(uploading), "upload");
	err = pack_image_open(path, &base, why);
	if (!err)
		err = send_pack(push, &base, packing, uploading, &packs[*count], why);
	if (!err && !digest_is_zero(&packs[*count]))
		(*count)++;
	pack_image_close(&base);
	return err;
}

static enum ota_err pack_from_running(struct push *push, const char *wanted,
				      struct digest *packs, unsigned *count,
				      struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	AUTO(tool_args_done) struct tool_args args = {0};
	const struct view *each;
	enum ota_err err;

	tool_args_string(&args, "product", push->firmware.product);
	err = tool_ask(push->tool, "firmware.bases", &args, &tree, why);
	for (each = view_first(view_at(view_root(tree), "items"));
	     each && !err && *count < BASES_MAX; each = view_next(each)) {
		AUTO_FREE char *path = NULL;
		const char *version = view_text(view_at(each, "version"));
		struct digest base;

		if ((strcmp(wanted, "running") != 0 && !list_has(wanted, version)) ||
		    !text_to_bytes(view_text(view_at(each, "digest")), base.bytes,
				   sizeof(base.bytes)) ||
		    digest_equal(&base, &push->index.image))
			continue;
		if (image_cache_find(&base, &path, NULL))
			screen_line(
				&push->tool->screen, SCREEN_NOTE,
				"version %s runs out there, but no copy of it is here: no small "
				"pack from it (--base FILE makes one)",
				version);
		else
			err = pack_from(push, path, version, packs, count, why);
	}
	return err;
}

static enum ota_err send_deltas(struct push *push, struct ota_why *why)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	const struct arguments *arguments = &push->tool->arguments;
	const char *wanted = arguments_value(arguments, "delta-from"), *base;
	struct digest packs[BASES_MAX] = {0};
	unsigned count = 0, i;
	enum ota_err err = OTA_OK;

	for (i = 0; (base = arguments_each(arguments, "base", i)) && !err; i++)
		err = pack_from(push, base, base, packs, &count, why);
	if (!err && (!wanted || strcmp(wanted, "none") != 0))
		err = pack_from_running(push, wanted ? wanted : "running", packs, &count, why);
	if (err || !count)
		return err;
	return register_packs(push, "firmware.packs", packs, count, &tree, why);
}

enum ota_err firmware_push(struct tool *tool, struct ota_why *why)
{
	AUTO(push_done) struct push push = {.tool = tool, .path = tool->arguments.words[0]};
	AUTO(view_free_place) struct view_tree *added = NULL;
	struct ota_why kept = {0};
	struct digest pack;
	enum ota_err err = read_manifest(&push, why);

	if (!err)
		err = check_image(&push, why);
	if (!err)
		err = tool_connect(tool, why);
	if (!err)
		err = send_index(&push, why);
	if (!err)
		err = send_pack(&push, NULL, "pack", "upload", &pack, why);
	if (!err)
		err = register_packs(&push, "firmware.add", &pack, 1, &added, why);
	if (!err)
		err = send_deltas(&push, why);
	if (!err && image_cache_keep(push.path, &push.index.image, &kept))
		screen_line(&tool->screen, SCREEN_NOTE,
			    "no copy could be kept for small packs of later versions: %s",
			    kept.text);
	if (!err && !tool_json(tool, view_root(added)))
		screen_line(&tool->screen, SCREEN_GOOD,
			    "%s version %s is ready: otactl release "
			    "create %s --product %s",
			    push.firmware.product, push.firmware.version, push.firmware.version,
			    push.firmware.product);
	return err;
}
