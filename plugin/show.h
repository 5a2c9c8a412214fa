/* Showing: the objects of PROTOCOL.md section 4 as JSON, from what the engine and the store
 * hold. */
#pragma once

#include "engine.h"
#include "manager.h"

/* Members: a comma is put before all but the first of an object. */
void show_open(struct text *to, const char *name);  /* "name":{ ; NULL: only { */
void show_array(struct text *to, const char *name); /* "name":[ */
void show_close(struct text *to, char bracket);
void show_text(struct text *to, const char *name, const char *value); /* NULL: "" */
void show_number(struct text *to, const char *name, uint64_t value);
void show_bool(struct text *to, const char *name, bool value);
void show_digest(struct text *to, const char *name, const struct digest *digest); /* zero: "" */

void show_product(struct text *to, const struct product *product);
void show_product_more(struct text *to, const struct engine *engine,
		       const struct product *product);
void show_device(struct text *to, const struct device *device);
void show_update(struct text *to, const struct update *update);
void show_firmware(struct text *to, const struct engine *engine,
		   const struct firmware *firmware, bool envelope);
void show_release(struct text *to, const struct release *release, bool envelope);
void show_plan(struct text *to, const struct plan *plan, const struct trusted_release *release,
	       const struct firmware *firmware);
void show_report(struct text *to, const struct store_report *report);
void show_event(struct text *to, const struct store_report *event);
/* Events up to this sequence were left out. */
void show_gap(struct text *to, uint64_t sequence, uint64_t time_ms, const char *product);
void show_audit(struct text *to, const struct store_audit *row);
void show_manager(struct text *to, const struct store_manager *row);
void show_token(struct text *to, const struct store_token *row, const char *secret);
