/* An engine whose store keeps nothing and that talks to nobody: for what is about the engine's
 * own memory and time. */
#pragma once

#include "engine.h"

/* With no product yet; *offers counts what is offered. Made while nothing fails. */
struct engine *null_engine(unsigned *offers);
/* All that it wrote so far is stored. */
void null_saved(struct engine *engine);
/* Puts version 2.0.0 on the shelf of "lamp" and prepares release 1 of it to all; false when
 * there was no memory for it. */
bool null_firmware(struct engine *engine, struct trusted_release *ret_release,
		   struct ota_why *why);
