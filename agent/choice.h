/* Which packs of an offer a device can apply, and in which order it tries them: those against
 * the image that it runs before those that need none, the smaller before the larger. */
#pragma once

#include "message.h"

/* `base`: the verified image that runs; NULL: there is none. Fills ret_order with places in
 * `packs` (of which the first MESSAGE_PACKS_MAX count) and returns their number. */
unsigned choice_of_packs(const struct offer_pack *packs, unsigned count,
			 const struct digest *base, unsigned ret_order[MESSAGE_PACKS_MAX]);
