/* Blobs: the files of the content-addressed directory, `<store_dir>/blobs/<2 digits>/<64
 * digits>`, and which products' firmware they belong to. The same tree can be served by any web
 * server (PROTOCOL.md, offer `sources`). A file appears under its name only when it is whole,
 * hashed and synced. */
#pragma once

#include "digest.h"
#include "name.h"

#include <uthash.h>

#define BLOB_OPEN_MAX 64 /* files kept open */

struct blob {
	UT_hash_handle hh;
	struct digest sha256;
	uint64_t size, created_ms;
	uint64_t used;		     /* the table's clock at the last use of the file */
	int fd;			     /* -1: not open */
	char product[NAME_SIZE];     /* who brought it */
	char (*products)[NAME_SIZE]; /* whose firmware names it */
	uint32_t product_count;
};

struct blob_table {
	struct blob *blobs;
	char *directory;
	uint64_t bytes, clock;
	uint32_t open;
};

enum ota_err blob_table_init(struct blob_table *table, const char *store_dir,
			     struct ota_why *why) OTA_CHECKED;
void blob_table_done(struct blob_table *table);
struct blob *blob_find(const struct blob_table *table, const struct digest *sha256);
/* Adds one that is on disk; the same again changes nothing. */
enum ota_err blob_add(struct blob_table *table, const struct digest *sha256, uint64_t size,
		      uint64_t created_ms, const char *product, struct blob **ret_blob,
		      struct ota_why *why) OTA_CHECKED;
/* Firmware of the product names it. */
enum ota_err blob_use(struct blob *blob, const char *product, struct ota_why *why) OTA_CHECKED;
bool blob_is_of(const struct blob *blob, const char *product);
/* No firmware of the product names it any more; true when now none at all does. */
bool blob_unuse(struct blob *blob, const char *product);
void blob_remove(struct blob_table *table,
		 struct blob *blob); /* from the table, not the disk */
/* The file, opened for reading and kept open (the least used are closed). */
enum ota_err blob_open(struct blob_table *table, struct blob *blob, int *ret_fd,
		       struct ota_why *why) OTA_CHECKED;

#define BLOB_PATH_SIZE 4352
/* `blobs/ab/ab…` or, until it is whole, `partial/ab…` under the store's directory. */
enum ota_err blob_path(const char *store_dir, const struct digest *sha256, bool partial,
		       char ret_path[BLOB_PATH_SIZE], struct ota_why *why) OTA_CHECKED;
