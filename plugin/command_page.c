#include "command.h"
#include "show.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void command_page_open(struct command_page *page, struct command_call *call)
{
	*page = (struct command_page){.call = call,
				      .limit = call->args.limit ? call->args.limit : 100};
	show_open(&call->result, NULL);
	show_array(&call->result, "items");
}

bool command_page_next(struct command_page *page)
{
	if (page->count == page->limit || page->call->result.len > COMMAND_PAGE_BYTES) {
		page->full = true;
		return false;
	}
	page->count++;
	return true;
}

void command_page_close(struct command_page *page, const char *next)
{
	show_close(&page->call->result, ']');
	if (next)
		show_text(&page->call->result, "next", next);
	show_close(&page->call->result, '}');
}

enum ota_err command_after(const struct command_call *call, uint64_t *ret_after,
			   struct ota_why *why)
{
	*ret_after = 0;
	if (call->args.after[0] && !text_to_u64(call->args.after, JSON_INT_MAX, ret_after))
		return ota_fail(why, OTA_BAD_REQUEST, "after is a number");
	return OTA_OK;
}

struct row_list {
	void (*show)(struct text *to, const struct store_row *row);
};

static void rows_answered(struct command_call *call, const struct store_page *stored)
{
	const struct row_list *list = call->more;
	struct command_page page;
	char next[24] = "";

	command_page_open(&page, call);
	for (uint32_t i = 0; i < stored->count; i++) {
		const struct store_row *row = &stored->rows[i];

		if (!command_page_next(&page))
			break;
		list->show(&call->result, row);
		snprintf(next, sizeof(next), "%" PRIu64,
			 row->kind == STORE_AUDIT ? row->audit.sequence : row->report.sequence);
	}
	command_page_close(&page, page.full || stored->more ? next : NULL);
}

enum ota_err command_list_rows(struct command_call *call, struct store_query *query,
			       void (*show)(struct text *to, const struct store_row *row),
			       struct ota_why *why)
{
	struct row_list *list;
	enum ota_err err = command_after(call, &query->after, why);

	if (!err)
		err = command_keep(call, sizeof(*list), free, why);
	if (err)
		return err;
	list = call->more;
	list->show = show;
	query->limit = call->args.limit ? call->args.limit : 100;
	return command_ask(call, query, rows_answered, why);
}

struct listing {
	struct command_page page;
	struct device_filter filter;
	void (*show)(struct command_call *call, const struct device_filter *filter,
		     const struct device *device);
	char after[NAME_SIZE]; /* the last that was looked at */
	char next[NAME_SIZE];  /* the last that needs not be looked at again */
};

static enum ota_err list_step(struct command_call *call, bool *ret_more, struct ota_why *why)
{
	struct listing *listing = call->more;
	struct command_page *page = &listing->page;
	const struct device *devices[STORE_PAGE_MAX];
	uint32_t count;
	bool more;

	(void)why;
	count = engine_devices(call->service->engine, &listing->filter, listing->after, devices,
			       page->limit - page->count, &more);
	for (uint32_t i = 0; i < count; i++) {
		if (command_may(call, devices[i]->product->name, MANAGER_VIEWER)) {
			if (!command_page_next(page))
				break;
			listing->show(call, &listing->filter, devices[i]);
		}
		text_copy(listing->next, NAME_SIZE, devices[i]->id);
	}
	if (!page->full)
		text_copy(listing->next, NAME_SIZE, listing->after);
	page->full = page->full || (more && page->count == page->limit);
	*ret_more = more && !page->full;
	if (!*ret_more)
		command_page_close(page, page->full ? listing->next : NULL);
	return OTA_OK;
}

enum ota_err command_list_devices(struct command_call *call, const struct device_filter *filter,
				  void (*show)(struct command_call *call,
					       const struct device_filter *filter,
					       const struct device *device),
				  struct ota_why *why)
{
	struct listing *listing;
	enum ota_err err = command_keep(call, sizeof(*listing), free, why);

	if (err)
		return err;
	listing = call->more;
	listing->filter = *filter;
	listing->show = show;
	text_copy(listing->after, NAME_SIZE, call->args.after);
	command_page_open(&listing->page, call);
	command_work(call, list_step);
	return OTA_OK;
}
