/* A directory of its own for a test that touches files; include after unit.h. */
#pragma once

#include <ftw.h>
#include <unistd.h>

struct place {
	char directory[128];
};

static inline int place_make(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	const char *base = getenv("TMPDIR");

	snprintf(place->directory, sizeof(place->directory), "%.90s/ota_test.XXXXXX",
		 base ? base : "/tmp");
	if (!mkdtemp(place->directory))
		return -1;
	*state = place;
	return 0;
}

static inline int place_remove_one(const char *path, const struct stat *st, int kind,
				   struct FTW *walk)
{
	(void)st;
	(void)kind;
	(void)walk;
	return remove(path);
}

static inline int place_remove(void **state)
{
	struct place *place = *state;
	int failed = nftw(place->directory, place_remove_one, 16, FTW_DEPTH | FTW_PHYS);

	free(place);
	return failed;
}

/* "<directory>/<name>", in one of four buffers that are used in turn. */
static inline const char *place_path(const struct place *place, const char *name)
{
	static char paths[4][256];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", place->directory, name);
	return path;
}

static inline void place_write(const struct place *place, const char *name, const void *bytes,
			       size_t len)
{
	FILE *file = fopen(place_path(place, name), "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}
