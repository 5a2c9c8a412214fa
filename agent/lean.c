#include "lean.h"

#include "own.h"

#include <malloc.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

void lean_begin(void)
{
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
#endif
}

/* "55d0c0a00000-55d0c0a21000 r-xp 00001000 fe:00 131 /usr/bin/x"; the path begins with '/' */
static bool is_read_only_file(char *line, uintptr_t *ret_first, uintptr_t *ret_end)
{
	char *rest = line;
	const char *range = strsep(&rest, " "), *rights = strsep(&rest, " ");
	char *dash;

	if (!rights || !rest || strlen(rights) != 4 || rights[1] != '-' || !strchr(rest, '/'))
		return false;
	*ret_first = (uintptr_t)strtoull(range, &dash, 16);
	if (*dash != '-')
		return false;
	*ret_end = (uintptr_t)strtoull(dash + 1, NULL, 16);
	return *ret_end > *ret_first;
}

static bool is_zero(const char *line, const char *key)
{
	size_t len = strlen(key);

	return !strncmp(line, key, len) && strtoull(line + len, NULL, 10) == 0;
}

/* What was never written in this process holds nothing but what its file holds; what the loader
 * relocated does not, be it in memory or swapped out. */
static void give_back_files(void)
{
	AUTO_FCLOSE FILE *maps = fopen("/proc/self/smaps", "re");
	AUTO_FREE char *line = NULL;
	uintptr_t first = 0, end = 0;
	bool is_file = false, is_clean = false;
	size_t room = 0;

	while (maps && getline(&line, &room, maps) > 0) {
		if (line[0] < 'A' || line[0] > 'Z') {
			is_file = is_read_only_file(line, &first, &end);
			is_clean = false;
		} else if (is_zero(line, "Anonymous:")) {
			is_clean = true;
		} else if (is_file && is_clean && is_zero(line, "Swap:") &&
			   madvise((void *)first, end - first, MADV_DONTNEED) < 0) {
			/* then it stays */
		}
	}
}

void lean_give_back(void)
{
	give_back_files();
#ifdef __GLIBC__
	malloc_trim(0);
#endif
}
