#include "blob.h"

#include "file.h"
#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum ota_err blob_path(const char *store_dir, const struct digest *sha256, bool partial,
		       char ret_path[BLOB_PATH_SIZE], struct ota_why *why)
{
	char hex[TEXT_HEX32_SIZE];
	int len;

	text_from_digest(hex, sha256->bytes);
	len = partial ? snprintf(ret_path, BLOB_PATH_SIZE, "%s/partial/%s", store_dir, hex)
		      : snprintf(ret_path, BLOB_PATH_SIZE, "%s/blobs/%.2s/%s", store_dir, hex,
				 hex);
	if (len < 0 || len >= BLOB_PATH_SIZE)
		return ota_fail(why, OTA_IO_ERROR, "the store's directory has too long a name");
	return OTA_OK;
}

enum ota_err blob_table_init(struct blob_table *table, const char *store_dir,
			     struct ota_why *why)
{
	AUTO(text_done) struct text path = {0};
	enum ota_err err;
	size_t base;

	*table = (struct blob_table){0};
	text_printf(&path, "%s/", store_dir);
	base = path.len;
	text_put(&path, "partial");
	table->directory = strdup(store_dir);
	if (!table->directory || path.failed)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for the blob table");
	err = file_make_directory(path.data, 0750, why);
	if (err)
		return err;
	path.len = base;
	text_put(&path, "blobs");
	return file_make_directory(path.data, 0755, why);
}

void blob_table_done(struct blob_table *table)
{
	struct blob *blob, *next;

	HASH_ITER (hh, table->blobs, blob, next)
		blob_remove(table, blob);
	free(table->directory);
	*table = (struct blob_table){0};
}

struct blob *blob_find(const struct blob_table *table, const struct digest *sha256)
{
	struct blob *blob;

	HASH_FIND(hh, table->blobs, sha256, sizeof(*sha256), blob);
	return blob;
}

enum ota_err blob_add(struct blob_table *table, const struct digest *sha256, uint64_t size,
		      uint64_t created_ms, const char *product, struct blob **ret_blob,
		      struct ota_why *why)
{
	struct blob *blob = blob_find(table, sha256);

	if (!blob) {
		blob = calloc(1, sizeof(*blob));
		if (!blob)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a blob");
		blob->sha256 = *sha256;
		blob->size = size;
		blob->created_ms = created_ms;
		blob->fd = -1;
		text_copy(blob->product, sizeof(blob->product), product);
		HASH_ADD(hh, table->blobs, sha256, sizeof(blob->sha256), blob);
		table->bytes += size;
	}
	if (ret_blob)
		*ret_blob = blob;
	return OTA_OK;
}

bool blob_is_of(const struct blob *blob, const char *product)
{
	for (uint32_t i = 0; i < blob->product_count; i++)
		if (strcmp(blob->products[i], product) == 0)
			return true;
	return false;
}

enum ota_err blob_use(struct blob *blob, const char *product, struct ota_why *why)
{
	char(*more)[NAME_SIZE];

	if (blob_is_of(blob, product))
		return OTA_OK;
	more = realloc(blob->products, (blob->product_count + 1) * sizeof(*more));
	if (!more)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a blob");
	blob->products = more;
	text_copy(more[blob->product_count++], NAME_SIZE, product);
	return OTA_OK;
}

bool blob_unuse(struct blob *blob, const char *product)
{
	for (uint32_t i = 0; i < blob->product_count; i++)
		if (strcmp(blob->products[i], product) == 0) {
			memmove(blob->products[i], blob->products[i + 1],
				(blob->product_count - i - 1) * sizeof(*blob->products));
			blob->product_count--;
			break;
		}
	return blob->product_count == 0;
}

static void shut(struct blob_table *table, struct blob *blob)
{
	if (blob->fd < 0)
		return;
	close(blob->fd);
	blob->fd = -1;
	table->open--;
}

void blob_remove(struct blob_table *table, struct blob *blob)
{
	shut(table, blob);
	table->bytes -= blob->size;
	HASH_DEL(table->blobs, blob);
	free(blob->products);
	free(blob);
}

static void shut_least_used(struct blob_table *table)
{
	struct blob *least = NULL, *blob, *next;

	HASH_ITER (hh, table->blobs, blob, next)
		if (blob->fd >= 0 && (!least || blob->used < least->used))
			least = blob;
	if (least)
		shut(table, least);
}

enum ota_err blob_open(struct blob_table *table, struct blob *blob, int *ret_fd,
		       struct ota_why *why)
{
	char path[BLOB_PATH_SIZE];
	enum ota_err err;

	blob->used = ++table->clock;
	if (blob->fd < 0) {
		err = blob_path(table->directory, &blob->sha256, false, path, why);
		if (err)
			return err;
		if (table->open >= BLOB_OPEN_MAX)
			shut_least_used(table);
		blob->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (blob->fd < 0)
			return ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot open '%s'",
					      path);
		table->open++;
	}
	*ret_fd = blob->fd;
	return OTA_OK;
}
