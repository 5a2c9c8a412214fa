#include "choice.h"

static bool comes_before(const struct offer_pack *a, const struct offer_pack *b)
{
	const bool a_delta = !digest_is_zero(&a->base), b_delta = !digest_is_zero(&b->base);

	return a_delta != b_delta ? a_delta : a->size < b->size;
}

unsigned choice_of_packs(const struct offer_pack *packs, unsigned count,
			 const struct digest *base, unsigned ret_order[MESSAGE_PACKS_MAX])
{
	unsigned found = 0;

	for (unsigned i = 0; i < count && i < MESSAGE_PACKS_MAX; i++) {
		const struct offer_pack *pack = &packs[i];
		unsigned at = found;

		if (!pack->size)
			continue;
		if (!digest_is_zero(&pack->base) && (!base || !digest_equal(&pack->base, base)))
			continue;
		while (at > 0 && comes_before(pack, &packs[ret_order[at - 1]])) {
			ret_order[at] = ret_order[at - 1];
			at--;
		}
		ret_order[at] = i;
		found++;
	}
	return found;
}
