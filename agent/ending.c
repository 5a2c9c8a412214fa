#include "ending.h"

#include "own.h"
#include "program.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define KILLS_KEY     "oom_kill "
#define CGROUP_MOUNT  "/sys/fs/cgroup"
#define CGROUP_EVENTS "memory.events"

enum ota_err ending_name(const struct ending *ending, struct ota_why *why)
{
	const unsigned long long lived_ms = ending->lived_ms;
	const bool killed = ending->known && WIFSIGNALED(ending->status);
	enum ota_err err = lived_ms < ENDING_AT_ONCE_MS ? OTA_CRASH_LOOP : OTA_CRASHED_IN_TRIAL;
	char how[96] = "ended while it was not ours to wait for";

	if (ending->known)
		program_explain(ending->status, how, sizeof(how));
	if (killed && WTERMSIG(ending->status) == SIGKILL && ending->out_of_memory)
		err = ota_fail(why, OTA_MEMORY_EXHAUSTED,
			       "it %s for want of memory after %llu ms", how, lived_ms);
	else
		err = ota_fail(why, err, "it %s after %llu ms", how, lived_ms);
	if (why && ending->known)
		why->detail =
			killed ? 128 + WTERMSIG(ending->status) : WEXITSTATUS(ending->status);
	return err;
}

/* The number after the key at a line's start; 0 when there is none. */
static uint64_t read_count(const char *path)
{
	AUTO_FCLOSE FILE *file = fopen(path, "re");
	char line[256];

	while (file && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, KILLS_KEY, sizeof(KILLS_KEY) - 1))
			return strtoull(line + sizeof(KILLS_KEY) - 1, NULL, 10);
	}
	return 0;
}

/* Of the unified hierarchy, whose line begins with "0::". */
static uint64_t group_count(void)
{
	AUTO_FCLOSE FILE *file = fopen("/proc/self/cgroup", "re");
	char line[512], path[640];

	while (file && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(path, sizeof(path), CGROUP_MOUNT "%s/" CGROUP_EVENTS, line + 3);
		return read_count(path);
	}
	return 0;
}

uint64_t ending_memory_kills(void)
{
	/* Where /proc is hidden from services the group's own count is left. */
	return read_count("/proc/vmstat") + group_count();
}
