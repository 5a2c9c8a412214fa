/* A configuration of any bytes is read or refused with a sentence that names the line, and
 * never leaks; every value is within its range. */
#include "fuzz.h"

#include "option.h"
#include "own.h"

#include <sys/mman.h>
#include <unistd.h>

struct options {
	char *broker, *state;
	char **hosts;
	uint64_t window, quota, timeout;
	bool keep;
	int slot;
};

static const char *const slot_names[] = {"file", "block", NULL};

static const struct option_row rows[] = {
	{"broker", OPTION_STRING, offsetof(struct options, broker), .help = "The broker."},
	{"state", OPTION_PATH, offsetof(struct options, state), .fallback = "/x", .help = "."},
	{"host", OPTION_LIST, offsetof(struct options, hosts), .fallback = "", .help = "."},
	{"window", OPTION_NUMBER, offsetof(struct options, window), 1, 8, "4", .help = "."},
	{"quota", OPTION_NUMBER, offsetof(struct options, quota), 0, UINT64_C(1) << 40, "20G",
	 .help = ".", .bytes = true},
	{"timeout", OPTION_DURATION, offsetof(struct options, timeout), 1000, 3600000, "5m",
	 .help = "."},
	{"keep", OPTION_BOOL, offsetof(struct options, keep), .fallback = "false", .help = "."},
	{"slot", OPTION_CHOICE, offsetof(struct options, slot), .fallback = "file",
	 .names = slot_names, .help = "."},
	{0},
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct options zero;
	struct options options = {0};
	struct ota_why why = {0};
	char path[32];
	AUTO_CLOSE int fd = memfd_create("options", 0);

	MUST(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	MUST(option_defaults(rows, &options, NULL) == OTA_OK);
	if (option_read_file(rows, &options, path, &why))
		MUST(why.text[0]);
	MUST(options.window >= 1 && options.window <= 8);
	MUST(options.quota <= UINT64_C(1) << 40);
	MUST(options.timeout >= 1000 && options.timeout <= 3600000);
	MUST(options.slot == 0 || options.slot == 1);
	MUST(options.state[0] == '/');
	option_done(rows, &options);
	MUST(memcmp(&options, &zero, sizeof(zero)) == 0);
	return 0;
}
