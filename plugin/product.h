/* A product with its devices, groups, firmware and releases. */
#pragma once

#include "device.h"

struct firmware {
	struct product *product;
	char version[NAME_SIZE];
	struct digest digest; /* of the manifest's payload: what a release names */
	struct digest image;  /* of the first component: what a device says it runs */
	struct firmware_document document;
	bool development; /* signed by the development class only */
	bool proven;	  /* has succeeded on a device of the product */
	char *envelope;
	struct offer_pack *packs;
	uint32_t pack_count;
	uint64_t created_ms;
};

struct group {
	UT_hash_handle hh;
	struct product *product;
	uint32_t member_count; /* who they are, the devices know */
	uint64_t created_ms;
	char name[NAME_SIZE];
};

struct product {
	UT_hash_handle hh;
	char name[NAME_SIZE], default_hardware[NAME_SIZE];
	char *title; /* NULL: none */
	bool import_only, second_approval;
	uint64_t created_ms;
	struct device **devices; /* ordered by id */
	uint32_t device_count, device_room;
	uint32_t online_count, status_counts[DEVICE_STATUS_COUNT];
	struct group *groups;	     /* by name */
	struct firmware **firmwares; /* in order of arrival */
	uint32_t firmware_count, firmware_room;
	struct release **releases; /* ascending numbers */
	uint32_t release_count, release_room;
	struct release **actives; /* those that may be somebody's target */
	uint32_t active_count, active_room;
	uint32_t sweep_at, sweep_left; /* the sweep that recomputes targets */
};

struct group *product_group(const struct product *product, const char *name);
struct firmware *product_firmware(const struct product *product, const char *version);
struct firmware *product_firmware_by_digest(const struct product *product,
					    const struct digest *digest);
struct release *product_release(const struct product *product, uint64_t number);
uint64_t product_next_number(const struct product *product);
