#include "image_cache.h"

#include "file.h"
#include "own.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

static enum ota_err directory(char **ret_path, struct ota_why *why)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int len = base && *base == '/'
			  ? asprintf(ret_path, "%s/otactl/images", base)
			  : asprintf(ret_path, "%s/.cache/otactl/images", home ? home : "");

	return len < 0 ? ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path") : OTA_OK;
}

static enum ota_err place_of(const struct digest *digest, char **ret_path, struct ota_why *why)
{
	AUTO_FREE char *base = NULL;
	char hex[TEXT_HEX32_SIZE];
	enum ota_err err = directory(&base, why);

	text_from_digest(hex, digest->bytes);
	if (!err && asprintf(ret_path, "%s/%s", base, hex) < 0)
		err = ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
	return err;
}

enum ota_err image_cache_find(const struct digest *digest, char **ret_path, struct ota_why *why)
{
	AUTO_FREE char *path = NULL;
	enum ota_err err = place_of(digest, &path, why);

	if (!err && access(path, R_OK))
		err = ota_fail(why, OTA_NOT_FOUND, "no image '%s'", path);
	if (!err)
		*ret_path = TAKE(path);
	return err;
}

/* Not copy_file_range(2): that does not go from one file system to another. */
static enum ota_err copy(int from, int to, struct ota_why *why)
{
	ssize_t got;

	do {
		got = sendfile(to, from, NULL, 1u << 30);
	} while (got > 0);
	if (got < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot copy the image");
	return OTA_OK;
}

enum ota_err image_cache_keep(const char *path, const struct digest *digest,
			      struct ota_why *why)
{
	AUTO_FREE char *place = NULL, *base = NULL, *fresh = NULL;
	AUTO_CLOSE int from = -1, to = -1;
	enum ota_err err = place_of(digest, &place, why);

	if (!err && !access(place, F_OK))
		return OTA_OK;
	if (!err)
		err = directory(&base, why);
	if (!err)
		err = file_make_directory(base, 0700, why);
	if (err)
		return err;
	if (asprintf(&fresh, "%s/new.XXXXXX", base) < 0)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a path");
	from = open(path, O_RDONLY | O_CLOEXEC);
	to = from < 0 ? -1 : mkostemp(fresh, O_CLOEXEC);
	if (to < 0)
		return ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot keep '%s'", path);
	err = copy(from, to, why);
	if (!err && rename(fresh, place))
		err = ota_fail_errno(why, OTA_IO_ERROR, errno, "cannot name '%s'", place);
	if (err)
		unlink(fresh);
	return err;
}
