/* What happened (audit, events) and how the plugin is. */
#include "command.h"
#include "show.h"

#include <string.h>
#include <sys/statvfs.h>

static void show_audit_row(struct text *to, const struct store_row *row)
{
	show_audit(to, &row->audit);
}

enum ota_err command_audit_list(struct command_call *call, struct ota_why *why)
{
	struct store_query query = {.kind = STORE_AUDIT, .newest_first = true};

	return command_list_rows(call, &query, show_audit_row, why);
}

static void verified(void *ctx, const struct store_audit_state *state, enum ota_err err,
		     const struct ota_why *why)
{
	struct command_call *call = ctx;

	if (!err) {
		show_open(&call->result, NULL);
		show_number(&call->result, "entries", state->entries);
		show_bool(&call->result, "intact", !state->fault);
		if (state->first_bad)
			show_number(&call->result, "first_bad", state->first_bad);
		show_digest(&call->result, "tip", &state->tip);
		if (state->fault)
			show_text(&call->result, "why", state->fault);
		show_close(&call->result, '}');
	}
	command_finish(call, err, why);
}

enum ota_err command_audit_verify(struct command_call *call, struct ota_why *why)
{
	const struct command_args *args = &call->args;
	enum ota_err err;

	if (args->has_tip != (args->entries != 0))
		return ota_fail(why, OTA_BAD_REQUEST, "entries and tip belong together");
	err = store_sqlite_verify(call->service->sqlite, args->entries,
				  args->has_tip ? &args->tip : NULL, verified, call, why);
	call->later = !err;
	return err;
}

static void show_event_row(struct text *to, const struct store_row *row)
{
	show_event(to, &row->report);
}

enum ota_err command_event_list(struct command_call *call, struct ota_why *why)
{
	struct store_query query = {.kind = STORE_REPORT};

	text_copy(query.product, sizeof(query.product), call->args.product);
	return command_list_rows(call, &query, show_event_row, why);
}

/* ---- status ---- */

static void show_callbacks(struct text *to, const struct service *service)
{
	show_open(to, "callbacks");
	for (int kind = 0; kind < METRIC_KIND_COUNT; kind++) {
		const struct metric *metric = &service->metrics[kind];

		show_open(to, metric_kind_names[kind]);
		show_number(to, "count", metric->count);
		show_number(to, "total_us", metric->total_us);
		show_number(to, "p50_us", metric_quantile(metric, 500));
		show_number(to, "p99_us", metric_quantile(metric, 990));
		show_number(to, "max_us", metric->max_us);
		show_number(to, "p99_cpu_us", metric_cpu_quantile(metric, 990));
		show_number(to, "max_cpu_us", metric->max_cpu_us);
		show_close(to, '}');
	}
	show_close(to, '}');
}

static void show_stored(struct text *to, struct service *service)
{
	struct worker_figures worker;

	worker_figures(service->worker, &worker);
	show_open(to, "stored");
	show_number(to, "seq", engine_last_sequence(service->engine));
	show_number(to, "reports", service->figures.reports);
	show_number(to, "commits", worker.commits.count);
	show_number(to, "commit_p50_us", metric_quantile(&worker.commits, 500));
	show_number(to, "commit_p99_us", metric_quantile(&worker.commits, 990));
	show_number(to, "queue", store_sqlite_queued(service->sqlite));
	show_number(to, "queue_max", STORE_SQLITE_ROWS_MAX);
	show_number(to, "failed", service->figures.failed_writes);
	show_close(to, '}');
}

static void show_blobs(struct text *to, const struct service *service)
{
	struct statvfs disk;
	bool known = statvfs(service->settings.store_dir, &disk) == 0;

	show_open(to, "blobs");
	show_number(to, "count", HASH_COUNT(service->blobs.blobs));
	show_number(to, "bytes", service->blobs.bytes);
	show_number(to, "quota_bytes", service->settings.store_quota);
	show_number(to, "disk_free_bytes", known ? (uint64_t)disk.f_bavail * disk.f_frsize : 0);
	show_number(to, "uploads", upload_count(service->uploads));
	show_close(to, '}');
}

static void show_served(struct text *to, const struct service *service)
{
	show_open(to, "served");
	show_number(to, "chunks", service->figures.chunks);
	show_number(to, "bytes", service->figures.bytes);
	show_number(to, "waits", service->figures.waits);
	show_number(to, "refused", service->figures.refused_chunks);
	show_number(to, "outstanding", service->delivery.all);
	show_close(to, '}');
	show_open(to, "refused");
	show_number(to, "malformed", service->figures.malformed);
	show_number(to, "rate_limited", service->figures.rate_limited);
	show_number(to, "forbidden", service->figures.forbidden);
	show_number(to, "connects", service->figures.connects_refused);
	show_close(to, '}');
}

static void show_limits(struct text *to, const struct settings *settings)
{
	show_open(to, "limits");
	show_number(to, "shards", settings->shards);
	show_number(to, "chunk_budget", settings->chunk_budget);
	show_number(to, "chunk_memory", settings->chunk_memory);
	show_number(to, "messages_per_second", settings->messages_per_s);
	show_number(to, "messages_burst", settings->messages_burst);
	show_number(to, "connects_per_minute", settings->connects_per_min);
	show_number(to, "errors_per_minute", settings->errors_per_min);
	show_number(to, "store_reserve", settings->store_reserve);
	show_number(to, "history_ms", settings->history_ms);
	show_number(to, "evidence_ms", settings->evidence_ms);
	show_number(to, "max_concurrent", settings->max_concurrent);
	show_number(to, "rate", settings->rate);
	show_close(to, '}');
}

enum ota_err command_status(struct command_call *call, struct ota_why *why)
{
	struct service *service = call->service;
	struct text *to = &call->result;
	struct engine_totals totals;

	(void)why;
	engine_totals(service->engine, &totals);
	show_open(to, NULL);
	show_text(to, "plugin", OTA_VERSION);
	show_text(to, "broker", service->is_21 ? "2.1" : "2.0");
	show_number(to, "started", service->started_ms / 1000);
	show_number(to, "time", service_now_ms() / 1000);
	show_number(to, "devices", totals.devices);
	show_number(to, "online", totals.online);
	show_number(to, "products", totals.products);
	show_number(to, "releases", totals.releases);
	show_number(to, "updates", totals.updates);
	show_number(to, "sessions", service->sessions.count);
	show_callbacks(to, service);
	show_served(to, service);
	show_stored(to, service);
	show_blobs(to, service);
	show_number(to, "memory_bytes", totals.memory_bytes);
	show_number(to, "start_ms", service->start_took_ms);
	show_limits(to, &service->settings);
	show_close(to, '}');
	return OTA_OK;
}
