#include "metrics.h"

#include <inttypes.h>

static const struct {
	const char *name, *type, *path, *help;
} rows[] = {
	{"ota_devices", "gauge", "devices", "Devices that the plugin knows"},
	{"ota_devices_online", "gauge", "online", "Devices connected now"},
	{"ota_products", "gauge", "products", "Products"},
	{"ota_chunks_served_total", "counter", "served.chunks", "Chunks sent to devices"},
	{"ota_bytes_served_total", "counter", "served.bytes",
	 "Bytes of chunks sent to devices"},
	{"ota_waits_total", "counter", "served.waits", "Requests answered with wait"},
	{"ota_chunks_refused_total", "counter", "served.refused", "Chunk requests refused"},
	{"ota_chunks_outstanding", "gauge", "served.outstanding", "Chunks on their way"},
	{"ota_reports_total", "counter", "stored.reports", "Reports stored"},
	{"ota_commits_total", "counter", "stored.commits", "Transactions of the store"},
	{"ota_store_queue", "gauge", "stored.queue", "Records waiting for the store"},
	{"ota_store_failures_total", "counter", "stored.failed", "Transactions that failed"},
	{"ota_store_sequence", "counter", "stored.seq", "The store's sequence number"},
	{"ota_blobs_bytes", "gauge", "blobs.bytes", "Bytes of stored blobs"},
	{"ota_disk_free_bytes", "gauge", "blobs.disk_free_bytes",
	 "Free bytes beside the blobs"},
	{"ota_malformed_total", "counter", "refused.malformed",
	 "Messages that could not be read"},
	{"ota_forbidden_total", "counter", "refused.forbidden", "Actions without the right"},
	{"ota_rate_limited_total", "counter", "refused.rate_limited", "Messages over a limit"},
	{"ota_plugin_memory_bytes", "gauge", "memory_bytes",
	 "Memory of the plugin's own state"},
	{"ota_plugin_start_ms", "gauge", "start_ms", "Time that loading the store took"},
};

static void put_callbacks(const struct view *callbacks, struct text *to)
{
	static const char *const what[] = {"p50_us", "p99_us", "max_us"};
	static const char *const quantile[] = {"0.5", "0.99", "1"};

	text_put(to, "# HELP ota_callback_us Time that the plugin took from the broker\n"
		     "# TYPE ota_callback_us summary\n");
	for (const struct view *row = view_first(callbacks); row; row = view_next(row)) {
		for (size_t i = 0; i < 3; i++)
			text_printf(to,
				    "ota_callback_us{callback=\"%s\",quantile=\"%s\"} %" PRIu64
				    "\n",
				    view_name(row), quantile[i],
				    view_number(view_at(row, what[i])));
		text_printf(to, "ota_callback_us_count{callback=\"%s\"} %" PRIu64 "\n",
			    view_name(row), view_number(view_at(row, "count")));
	}
}

void metrics_answer(struct exchange *exchange, const struct view *status)
{
	struct text body = {0};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		text_printf(&body, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64 "\n", rows[i].name,
			    rows[i].help, rows[i].name, rows[i].type, rows[i].name,
			    view_number(view_at(status, rows[i].path)));
	put_callbacks(view_at(status, "callbacks"), &body);
	http_set_header(exchange->http, "Cache-Control", "no-store");
	http_answer(exchange->http, 200, "text/plain; version=0.0.4",
		    body.data ? body.data : "", body.len);
	text_done(&body);
}
