/* Gives every file of the named directories to a fuzz target, then each of them again cut
 * short, with bytes changed and with pieces doubled (always the same ones). Without libFuzzer,
 * so that every build runs it. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>

enum { INPUT_MAX = 1 << 20, CHANGES = 200 };

static unsigned long replayed;

/* The bytes are in an allocation of their own size: a sanitizer sees reading beyond. */
static void give(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	memcpy(copy, bytes, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	replayed++;
}

static uint32_t next_number(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void change_and_give(uint8_t *bytes, size_t len)
{
	uint32_t state = 2463534242u;

	for (size_t cut = 0; cut < len; cut += len / 50 + 1)
		give(bytes, cut);
	for (int i = 0; len && i < CHANGES; i++) {
		size_t at = next_number(&state) % len;
		uint8_t kept = bytes[at];

		bytes[at] = (uint8_t)(i % 2 ? next_number(&state)
					    : kept ^ (1u << next_number(&state) % 8));
		give(bytes, len);
		bytes[at] = kept;
	}
}

static void replay_file(const char *path)
{
	uint8_t *bytes = malloc(INPUT_MAX);
	FILE *file = fopen(path, "rb");

	if (!file || !bytes) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	size_t len = fread(bytes, 1, INPUT_MAX, file);

	fclose(file);
	give(bytes, len);
	change_and_give(bytes, len);
	free(bytes);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct dirent **names = NULL;
		int count = scandir(argv[i], &names, NULL, alphasort);

		if (count < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
			return 1;
		}
		for (int k = 0; k < count; k++) {
			char path[4096];

			snprintf(path, sizeof(path), "%s/%s", argv[i], names[k]->d_name);
			if (names[k]->d_name[0] != '.')
				replay_file(path);
			free(names[k]);
		}
		free(names);
	}
	printf("%lu inputs replayed\n", replayed);
	return replayed ? 0 : 1;
}
