/* Beside <product>.<digest>.part, the received bytes, there are .index and .pack once they are
 * made; both are renamed into place whole. What is being packed, and how far, is in memory
 * only: after a restart the state is told from the files, and a complete .part is packed again
 * when asked for. */
#include "spool.h"

#include "document.h"
#include "envelope.h"
#include "file.h"
#include "json.h"
#include "own.h"
#include "pack_write.h"
#include "problem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <uthash.h>

#define PATH_SIZE     512
#define KEEP_S	      (24 * 3600)
#define CONTENT_RANGE "bytes "

struct packing {
	char name[NAME_SIZE + TEXT_HEX32_SIZE];
	struct spool *spool;
	struct digest expected;
	unsigned percent;
	bool failed;
	struct ota_why why;
	UT_hash_handle hh;
};

struct spool {
	char *directory;
	uint64_t max_bytes;
	struct work *work;
	pthread_mutex_t lock;
	struct packing *packings;
};

enum ota_err spool_new(const char *directory, uint64_t max_bytes, struct work *work,
		       struct spool **ret_spool, struct ota_why *why)
{
	struct spool *spool = calloc(1, sizeof *spool);
	enum ota_err err;

	if (!spool)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the spool");
	pthread_mutex_init(&spool->lock, NULL);
	spool->directory = strdup(directory);
	spool->max_bytes = max_bytes;
	spool->work = work;
	err = spool->directory ? file_make_directory(directory, 0700, why)
			       : ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the spool");
	if (err) {
		spool_free(spool);
		return err;
	}
	*ret_spool = spool;
	return OTA_OK;
}

void spool_free(struct spool *spool)
{
	struct packing *packing, *next;

	if (!spool)
		return;
	HASH_ITER (hh, spool->packings, packing, next) {
		HASH_DEL(spool->packings, packing);
		free(packing);
	}
	pthread_mutex_destroy(&spool->lock);
	free(spool->directory);
	free(spool);
}

static void path_of(const struct spool *spool, const char *name, const char *kind,
		    char to[PATH_SIZE])
{
	snprintf(to, PATH_SIZE, "%s/%s.%s", spool->directory, name, kind);
}

static void name_of(const char *product, const char *hex, char *to, size_t size)
{
	snprintf(to, size, "%s.%s", product, hex);
}

static bool size_of(const struct spool *spool, const char *name, const char *kind,
		    uint64_t *ret_size)
{
	char path[PATH_SIZE];
	struct stat st;

	path_of(spool, name, kind, path);
	if (stat(path, &st))
		return false;
	*ret_size = (uint64_t)st.st_size;
	return true;
}

/* Bytes in the spool; removes what nobody touched for a day. */
static uint64_t sweep(const struct spool *spool)
{
	DIR *dir = opendir(spool->directory);
	uint64_t total = 0;
	struct stat st;

	if (!dir)
		return 0;
	for (struct dirent *e; (e = readdir(dir));) {
		if (e->d_name[0] == '.' || fstatat(dirfd(dir), e->d_name, &st, 0) ||
		    !S_ISREG(st.st_mode))
			continue;
		if (st.st_mtime + KEEP_S < time(NULL))
			unlinkat(dirfd(dir), e->d_name, 0);
		else
			total += (uint64_t)st.st_size;
	}
	closedir(dir);
	return total;
}

static bool pack_progress(void *ctx, struct pack_stage_progress progress)
{
	struct packing *packing = ctx;

	pthread_mutex_lock(&packing->spool->lock);
	packing->percent =
		progress.total ? (unsigned)(progress.done * 100 / progress.total) : 100;
	pthread_mutex_unlock(&packing->spool->lock);
	return true;
}

static enum ota_err write_pack(struct packing *packing, const struct pack_image *image,
			       struct ota_why *why)
{
	char partial[PATH_SIZE], path[PATH_SIZE];
	struct pack_write_options options = {
		.level = 9, .progress = pack_progress, .ctx = packing};
	struct pack_result result;
	enum ota_err err;

	path_of(packing->spool, packing->name, "pack.new", partial);
	path_of(packing->spool, packing->name, "pack", path);
	AUTO_CLOSE int fd = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "'%s'", partial);
	err = pack_write(image, NULL, &options, fd, &result, why);
	if (err)
		return err;
	if (rename(partial, path))
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "'%s'", path);
	return OTA_OK;
}

static enum ota_err pack_image(struct packing *packing, struct ota_why *why)
{
	char part[PATH_SIZE], path[PATH_SIZE];
	AUTO(pack_image_close) struct pack_image image = {0};
	AUTO(pack_index_done) struct pack_index index = {0};
	enum ota_err err;

	path_of(packing->spool, packing->name, "part", part);
	path_of(packing->spool, packing->name, "index", path);
	err = pack_image_open(part, &image, why);
	if (!err)
		err = pack_index_make(&image, 0, NULL, &index, why);
	if (!err && !digest_equal(&index.image, &packing->expected)) {
		unlink(part);
		err = ota_fail(why, OTA_IMAGE_HASH_MISMATCH,
			       "the bytes received do not have the digest in the path");
	}
	if (!err)
		err = write_pack(packing, &image, why);
	if (!err)
		err = file_replace(path, index.bytes, index.size, 0600, why);
	return err;
}

static void job_pack(void *arg)
{
	struct packing *packing = arg;
	struct spool *spool = packing->spool;
	struct ota_why why = {0};
	enum ota_err err = pack_image(packing, &why);

	pthread_mutex_lock(&spool->lock);
	if (err) {
		packing->failed = true;
		packing->why = why;
	} else {
		HASH_DEL(spool->packings, packing);
		free(packing);
	}
	pthread_mutex_unlock(&spool->lock);
}

static enum ota_err start_packing(struct spool *spool, const char *name, const char *hex,
				  struct ota_why *why)
{
	struct packing *packing;
	enum ota_err err = OTA_OK;

	pthread_mutex_lock(&spool->lock);
	HASH_FIND_STR(spool->packings, name, packing);
	if (packing && packing->failed) {
		HASH_DEL(spool->packings, packing);
		free(packing);
		packing = NULL;
	}
	if (!packing) {
		packing = calloc(1, sizeof *packing);
		if (!packing) {
			err = ota_fail(why, OTA_OUT_OF_MEMORY, "no memory to pack");
		} else {
			text_copy(packing->name, sizeof packing->name, name);
			packing->spool = spool;
			(void)text_to_bytes(hex, packing->expected.bytes, DIGEST_SIZE);
			err = work_add(spool->work, job_pack, packing, why);
			if (err)
				free(packing);
			else
				HASH_ADD_STR(spool->packings, name, packing);
		}
	}
	pthread_mutex_unlock(&spool->lock);
	return err;
}

/* The members that a manifest's component must have, from the index and the image. */
static void put_component(const struct spool *spool, const char *name, const char *hex,
			  struct text *to)
{
	AUTO_FREE char *index = NULL;
	char path[PATH_SIZE], index_hex[TEXT_HEX32_SIZE];
	size_t len = 0;
	uint64_t image = 0, pack = 0;
	struct digest digest;

	path_of(spool, name, "index", path);
	if (file_read(path, (size_t)PACK_SEGMENTS_MAX * DIGEST_SIZE, &index, &len, NULL) ||
	    digest_of(index, len, &digest, NULL) || !size_of(spool, name, "part", &image) ||
	    !size_of(spool, name, "pack", &pack))
		return;
	text_from_digest(index_hex, digest.bytes);
	text_printf(to,
		    ",\"component\":{\"size\":%" PRIu64
		    ",\"sha256\":\"%s\",\"segment_size\":262144,"
		    "\"index\":{\"sha256\":\"%s\",\"size\":%zu}},\"pack\":{\"size\":%" PRIu64
		    "}",
		    image, hex, index_hex, len, pack);
}

static void answer_state(struct exchange *exchange, const char *name, const char *hex,
			 unsigned status)
{
	struct spool *spool = exchange->server->spool;
	struct text body = {0};
	uint64_t offset = 0, unused;
	const char *state = "absent";
	unsigned percent = 0;
	struct packing *packing;
	struct ota_why why = {0};

	if (size_of(spool, name, "part", &offset))
		state = "receiving";
	if (size_of(spool, name, "index", &unused) && size_of(spool, name, "pack", &unused))
		state = "ready";
	pthread_mutex_lock(&spool->lock);
	HASH_FIND_STR(spool->packings, name, packing);
	if (packing) {
		state = packing->failed ? "failed" : "packing";
		percent = packing->percent;
		why = packing->why;
	}
	pthread_mutex_unlock(&spool->lock);
	text_printf(&body, "{\"state\":\"%s\",\"offset\":%" PRIu64 ",\"progress\":%u", state,
		    offset, percent);
	if (!strcmp(state, "ready"))
		put_component(spool, name, hex, &body);
	if (why.err) {
		text_printf(&body, ",\"error\":{\"name\":\"%s\",\"number\":%d,\"message\":",
			    ota_err_name(why.err), (int)why.err);
		json_put_string(&body, why.text);
		text_put(&body, "}");
	}
	text_put(&body, "}");
	http_set_header(exchange->http, "Cache-Control", "no-store");
	http_answer(exchange->http, status, "application/json", body.data ? body.data : "",
		    body.len);
	text_done(&body);
}

/* "bytes FIRST-LAST/TOTAL" that fits the body. */
static enum ota_err read_range(const struct exchange *exchange, size_t len, uint64_t *ret_first,
			       uint64_t *ret_total, struct ota_why *why)
{
	const char *header = http_header(exchange->http, "Content-Range");
	char first[24] = "", last[24] = "", total[24] = "";
	uint64_t last_byte;
	const char *dash, *slash;

	if (header && !strncmp(header, CONTENT_RANGE, strlen(CONTENT_RANGE))) {
		header += strlen(CONTENT_RANGE);
		dash = strchr(header, '-');
		slash = dash ? strchr(dash, '/') : NULL;
		if (slash && dash - header < 24 && slash - dash < 24 && strlen(slash) < 24) {
			memcpy(first, header, (size_t)(dash - header));
			memcpy(last, dash + 1, (size_t)(slash - dash - 1));
			text_copy(total, sizeof total, slash + 1);
		}
	}
	if (!len || !text_to_u64(first, JSON_INT_MAX, ret_first) ||
	    !text_to_u64(last, JSON_INT_MAX, &last_byte) ||
	    !text_to_u64(total, JSON_INT_MAX, ret_total) || last_byte < *ret_first ||
	    last_byte - *ret_first + 1 != len || last_byte >= *ret_total)
		return ota_fail(
			why, OTA_BAD_REQUEST,
			"a 'Content-Range: bytes FIRST-LAST/TOTAL' that fits the body of "
			"%zu bytes is needed",
			len);
	return OTA_OK;
}

static enum ota_err store_piece(const struct spool *spool, const char *name, const char *bytes,
				size_t len, uint64_t first, uint64_t total, struct ota_why *why)
{
	char path[PATH_SIZE];
	struct stat st;

	if (!pack_sizes_are_valid(total, 262144))
		return ota_fail(why, OTA_TOO_LARGE, "an image may have 1 byte to 16 GiB");
	if (sweep(spool) + total - first > spool->max_bytes)
		return ota_fail(why, OTA_QUOTA_EXCEEDED,
				"the console keeps at most %" PRIu64
				" bytes of images on their way",
				spool->max_bytes);
	path_of(spool, name, "part", path);
	AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st))
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "'%s'", path);
	if (first > (uint64_t)st.st_size)
		return ota_fail(why, OTA_CONFLICT, "go on at offset %" PRIu64,
				(uint64_t)st.st_size);
	return file_pwrite_all(fd, bytes, len, first, why);
}

void spool_put(void *ctx)
{
	struct exchange *exchange = ctx;
	const char *hex = route_param(&exchange->params, "sha256");
	char name[NAME_SIZE + TEXT_HEX32_SIZE];
	struct ota_why why = {0};
	uint64_t first = 0, total = 0;
	size_t len;
	const char *bytes = http_body(exchange->http, &len);
	enum ota_err err;

	name_of(route_param(&exchange->params, "product"), hex, name, sizeof name);
	err = server_check_developer(exchange, &why);
	if (!err)
		err = read_range(exchange, len, &first, &total, &why);
	if (!err)
		err = store_piece(exchange->server->spool, name, bytes, len, first, total,
				  &why);
	if (!err && first + len == total)
		err = start_packing(exchange->server->spool, name, hex, &why);
	if (err)
		server_refuse(exchange, &why);
	else
		answer_state(exchange, name, hex, 202);
}

void spool_get(void *ctx)
{
	struct exchange *exchange = ctx;
	const char *hex = route_param(&exchange->params, "sha256");
	char name[NAME_SIZE + TEXT_HEX32_SIZE];
	struct ota_why why = {0};

	name_of(route_param(&exchange->params, "product"), hex, name, sizeof name);
	if (server_check_developer(exchange, &why))
		server_refuse(exchange, &why);
	else
		answer_state(exchange, name, hex, 200);
}

static enum ota_err upload_blob(struct exchange *exchange, const char *name, const char *kind,
				struct digest *ret_digest, struct ota_why *why)
{
	char path[PATH_SIZE];
	struct control_upload upload = {
		.product = route_param(&exchange->params, "product"),
		.token = exchange->token,
	};

	path_of(exchange->server->spool, name, kind, path);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return ota_fail_errno(why, OTA_NOT_FOUND, errno,
				      "the image is not here: send it to …/images/ first");
	enum ota_err err = digest_of_fd(fd, &upload.digest, &upload.size, why);
	upload.fd = fd;
	if (!err)
		err = control_upload(exchange->server->control, &upload, why);
	if (!err)
		*ret_digest = upload.digest;
	return err;
}

/* The digest of the image that the envelope's manifest names; nothing is verified here. */
static enum ota_err image_of(const char *envelope, char ret_hex[TEXT_HEX32_SIZE],
			     struct ota_why *why)
{
	AUTO(envelope_done) struct envelope read = {0};
	AUTO(firmware_done) struct firmware_document firmware = {0};
	enum ota_err err =
		envelope_read(envelope, strlen(envelope), ENVELOPE_FIRMWARE, &read, why);

	if (!err)
		err = firmware_read(read.payload, read.payload_len, &firmware, why);
	if (!err)
		text_from_digest(ret_hex, firmware.components[0].sha256.bytes);
	return err;
}

static enum ota_err add_from_spool(struct exchange *exchange, const char *envelope,
				   struct text *args, struct ota_why *why)
{
	char hex[TEXT_HEX32_SIZE], name[NAME_SIZE + TEXT_HEX32_SIZE];
	struct digest index, pack;
	enum ota_err err = image_of(envelope, hex, why);

	if (err)
		return err;
	name_of(route_param(&exchange->params, "product"), hex, name, sizeof name);
	err = upload_blob(exchange, name, "index", &index, why);
	if (!err)
		err = upload_blob(exchange, name, "pack", &pack, why);
	if (err)
		return err;
	text_from_digest(hex, pack.bytes);
	text_put(args, "{\"firmware\":");
	json_put_string(args, envelope);
	text_printf(args, ",\"packs\":[\"%s\"]}", hex);
	return OTA_OK;
}

void spool_add_firmware(void *ctx)
{
	struct exchange *exchange = ctx;
	AUTO(view_free_place) struct view_tree *tree = NULL;
	struct ota_why why = {0};
	struct text args = {0};
	size_t len;
	const char *body = http_body(exchange->http, &len);
	enum ota_err err = server_check_developer(exchange, &why);

	if (!err)
		err = view_read(body, len, HTTP_BODY_MAX, &tree, &why);
	if (!err && !*view_text(view_at(view_root(tree), "firmware")))
		err = ota_fail(&why, OTA_BAD_REQUEST,
			       "body: 'firmware', the signed manifest's envelope, is missing");
	if (!err && view_at(view_root(tree), "packs"))
		text_add(&args, body, len);
	else if (!err)
		err = add_from_spool(exchange, view_text(view_at(view_root(tree), "firmware")),
				     &args, &why);
	if (err)
		server_refuse(exchange, &why);
	else
		server_command(exchange, "firmware.add", args.data);
	text_done(&args);
}
