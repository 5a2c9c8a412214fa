/* Offers as the fleet reads them: each distinct payload is read, and verified against the root
 * when there is one, once for all devices. */
#pragma once

#include "message.h"
#include "trust.h"

struct offering {
	struct offering *next;
	struct digest payload;
	struct offer offer;
	uint64_t number;
	bool rollback_on_halt;
	char product[NAME_SIZE], version[NAME_SIZE];
	uint64_t security_version, size;
	struct digest image, index;
	uint64_t index_size;
	struct name_text hardware[DOCUMENT_HARDWARE_MAX];
	uint32_t hardware_count;
};

struct offering_book {
	struct offering *first;
	const struct trust *trust; /* NULL: signatures are not looked at */
};

void offering_book_done(struct offering_book *book);
enum ota_err offering_read(struct offering_book *book, const void *payload, size_t len,
			   const struct offering **ret_offering,
			   struct ota_why *why) OTA_CHECKED;
/* The smallest pack that a device which runs `base` can use; NULL: none. */
const struct offer_pack *offering_pack(const struct offering *offering,
				       const struct digest *base);
bool offering_fits(const struct offering *offering, const char *product, const char *hardware);
