/* Two tables. `all` samples the base at every place, or every 2nd, 4th ... so that it holds all
 * samples: each by the hash of a few bytes there, every other one by that of more bytes too,
 * since few bytes are too frequent to lead to a long match and many are too rare to lead to a
 * short one. `close` has every place in the neighbourhood of where the image is being compared.
 * A bucket is one cache line; a sample that finds its bucket full takes the place of another,
 * so that frequent bytes keep a spread of places. */
#include "pack_match_seeds.h"

#include "own.h"
#include "pack_match.h"

#include <stdlib.h>
#include <string.h>

/* Bytes that are hashed: few and many for samples of all, and in the neighbourhood. */
#define SEED	      8u
#define LONG	      24u
#define CLOSE	      6u
#define RUN_MIN	      256u /* a shorter run of one byte is no match worth leaving for */
#define WAYS	      16u
#define BUCKETS	      (PACK_SEEDS_BYTES_MAX / (WAYS * 4))
#define CLOSE_BUCKETS (PACK_SEEDS_CLOSE_BYTES / (WAYS * 4))
#define BLOCK	      (64u << 10) /* of the base, by which a neighbourhood is learned */
#define BLOCKS	      24u	  /* that are known at a time */

/* place >> step_log, plus 1; 0: none */
struct table {
	uint32_t (*places)[WAYS];
	uint32_t buckets;
	unsigned step_log;
};

struct pack_seeds {
	const struct pack_image *base;
	struct {
		uint64_t place, len;
	} runs[256]; /* the longest of each byte */
	struct table all, close;
	uint64_t blocks[BLOCKS]; /* block plus 1, in the order in which they were learned */
	unsigned block_count;
	uint32_t random;
};

void pack_seeds_free(struct pack_seeds *seeds)
{
	if (!seeds)
		return;
	free(seeds->all.places);
	free(seeds->close.places);
	free(seeds);
}

static void free_seeds(struct pack_seeds **seeds)
{
	pack_seeds_free(*seeds);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	return x ^ x >> 27;
}

/* Of the next `len` bytes. */
static uint32_t *bucket_of(const struct table *table, const uint8_t *at, unsigned len)
{
	uint64_t hash = len;
	for (unsigned i = 0; i < len; i += 8) {
		uint64_t word = 0;
		memcpy(&word, at + i, len - i < 8 ? len - i : 8);
		hash = mix((hash ^ word) * 0x9e3779b97f4a7c15);
	}
	return table->places[(hash >> 32) * table->buckets >> 32];
}

static bool is_used(const uint8_t *used, uint64_t place)
{
	return used && used[place / PACK_SEEDS_UNIT];
}

static uint64_t unused_bytes(const struct pack_image *base, const uint8_t *used)
{
	uint64_t bytes = 0;
	for (uint64_t at = 0; at < base->size; at += PACK_SEEDS_UNIT)
		bytes += is_used(used, at) ? 0 : PACK_SEEDS_UNIT;
	return bytes;
}

static bool all_same(const uint8_t *at)
{
	return memcmp(at, at + 1, SEED - 1) == 0;
}

static void learn_runs(struct pack_seeds *seeds)
{
	const struct pack_image *base = seeds->base;
	for (uint64_t at = 0, len; at + SEED <= base->size; at += len) {
		const uint8_t *from = base->bytes + at;
		len = 1 + pack_match_equal(from, from + 1, base->size - at - 1);
		if (len > seeds->runs[*from].len) {
			seeds->runs[*from].place = at;
			seeds->runs[*from].len = len;
		}
	}
}

static void put(struct pack_seeds *seeds, const struct table *table, uint64_t at, unsigned len)
{
	uint32_t *bucket = bucket_of(table, seeds->base->bytes + at, len);
	unsigned way = 0;
	while (way < WAYS && bucket[way])
		way++;
	if (way == WAYS) {
		seeds->random = seeds->random * 1664525 + 1013904223;
		way = seeds->random >> 28;
	}
	bucket[way] = (uint32_t)(at >> table->step_log) + 1;
}

static void learn_all(struct pack_seeds *seeds, const uint8_t *used)
{
	const struct pack_image *base = seeds->base;
	unsigned step_log = seeds->all.step_log;
	for (uint64_t at = 0; at + LONG <= base->size; at += 1ull << step_log) {
		if (is_used(used, at) || all_same(base->bytes + at))
			continue;
		put(seeds, &seeds->all, at, SEED);
		if (!(at >> step_log & 1))
			put(seeds, &seeds->all, at, LONG);
	}
}

static void learn_close(struct pack_seeds *seeds, uint64_t block)
{
	uint64_t end = (block + 1) * BLOCK;
	for (unsigned i = 0; i < BLOCKS; i++)
		if (seeds->blocks[i] == block + 1)
			return;
	seeds->blocks[seeds->block_count++ % BLOCKS] = block + 1;
	for (uint64_t at = block * BLOCK; at < end && at + SEED <= seeds->base->size; at++)
		if (!all_same(seeds->base->bytes + at))
			put(seeds, &seeds->close, at, CLOSE);
}

static bool table_make(struct table *table, uint64_t samples, uint32_t buckets_max)
{
	uint64_t wanted = samples / (WAYS * 5 / 8) + 64;
	table->buckets = wanted < buckets_max ? (uint32_t)wanted : buckets_max;
	table->places = calloc(table->buckets, sizeof *table->places);
	return table->places;
}

enum ota_err pack_seeds_new(const struct pack_image *base, const uint8_t *used,
			    struct pack_seeds **ret_seeds, struct ota_why *why)
{
	AUTO(free_seeds) struct pack_seeds *seeds = calloc(1, sizeof *seeds);
	uint64_t samples = unused_bytes(base, used) * 3 / 2;
	if (!seeds)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory to search a base");
	seeds->base = base;
	while (samples >> seeds->all.step_log > (uint64_t)BUCKETS * WAYS)
		seeds->all.step_log++;
	if (!table_make(&seeds->all, samples >> seeds->all.step_log, BUCKETS) ||
	    !table_make(&seeds->close, seeds->all.step_log ? base->size : 0, CLOSE_BUCKETS))
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory to search a base");
	learn_runs(seeds);
	learn_all(seeds, used);
	*ret_seeds = TAKE(seeds);
	return OTA_OK;
}

void pack_seeds_approach(struct pack_seeds *seeds, uint64_t place)
{
	uint64_t last = (seeds->base->size - 1) / BLOCK, block = place / BLOCK;
	uint64_t half = place / (BLOCK / 2) & 1;
	/* Either all of it is known, or places do not fit the table. */
	if (!seeds->all.step_log || block > last || last >= UINT32_MAX / BLOCK)
		return;
	learn_close(seeds, block);
	if (half && block < last)
		learn_close(seeds, block + 1);
	if (!half && block)
		learn_close(seeds, block - 1);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a < b ? b - a : a - b;
}

struct search {
	const struct pack_seeds *seeds;
	const uint8_t *bytes;
	uint64_t left, near, best, source;
};

static void search(struct search *search, const struct table *table, unsigned len)
{
	const struct pack_image *base = search->seeds->base;
	if (search->left < len)
		return;
	const uint32_t *bucket = bucket_of(table, search->bytes, len);
	for (unsigned way = 0; way < WAYS && bucket[way]; way++) {
		uint64_t place = (uint64_t)(bucket[way] - 1) << table->step_log;
		uint64_t max = base->size - place;
		uint64_t same = pack_match_equal(base->bytes + place, search->bytes,
						 max < search->left ? max : search->left);
		if (same < len || same < search->best ||
		    (same == search->best &&
		     distance(place, search->near) >= distance(search->source, search->near)))
			continue;
		search->best = same;
		search->source = place;
	}
}

uint64_t pack_seeds_longest(const struct pack_seeds *seeds, const struct pack_image *image,
			    uint64_t at, uint64_t near, uint64_t *ret_source)
{
	struct search now = {.seeds = seeds,
			     .bytes = image->bytes + at,
			     .left = image->size - at,
			     .near = near};
	if (now.left < SEED)
		return 0;
	if (all_same(now.bytes)) {
		uint64_t max = seeds->runs[*now.bytes].len;
		*ret_source = seeds->runs[*now.bytes].place;
		now.best = pack_match_equal(seeds->base->bytes + *ret_source, now.bytes,
					    max < now.left ? max : now.left);
		return now.best < RUN_MIN ? 0 : now.best;
	}
	search(&now, &seeds->all, LONG);
	if (now.best < 2 * LONG) {
		search(&now, &seeds->close, CLOSE);
		search(&now, &seeds->all, SEED);
	}
	*ret_source = now.source;
	return now.best;
}
