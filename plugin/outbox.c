/* The outbox: everything that the plugin publishes. A failure to publish is not handed on: the
 * deadlines of the engine and the patience of clients repair it. */
#include "service.h"
#include "show.h"

#include "own.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PROGRESS_MS 1000u

static void publish(struct service *service, const char *topic, void *payload, size_t len,
		    unsigned qos)
{
	struct ota_why why = {0};

	if (service->closing) {
		service->broker.release(service->broker.ctx, payload);
		return;
	}
	service->published++;
	if (service->broker.publish(service->broker.ctx, topic, payload, len, qos, &why))
		service->figures.answers_lost++;
}

static void publish_text(struct service *service, const char *topic, const struct text *json,
			 unsigned qos)
{
	void *payload =
		json->failed ? NULL : service->broker.alloc(service->broker.ctx, json->len + 1);

	if (!payload) {
		service->figures.answers_lost++;
		return;
	}
	memcpy(payload, json->data, json->len);
	publish(service, topic, payload, json->len, qos);
}

void outbox_json(struct service *service, enum topic_kind kind, const char *name,
		 const struct text *json, unsigned qos)
{
	char topic[TOPIC_SIZE];

	topic_of(kind, name, topic);
	publish_text(service, topic, json, qos);
}

/* ---- chunks ---- */

void *outbox_chunk_alloc(struct service *service, const struct chunk *chunk, size_t data_len)
{
	uint8_t *frame =
		service->broker.alloc(service->broker.ctx, MESSAGE_CHUNK_HEADER + data_len);

	if (frame)
		chunk_write_header(chunk, frame);
	return frame;
}

void outbox_chunk_send(struct service *service, const char *device, void *frame,
		       size_t data_len)
{
	char topic[TOPIC_SIZE];

	topic_of(TOPIC_CHUNK, device, topic);
	publish(service, topic, frame, MESSAGE_CHUNK_HEADER + data_len, 0);
}

void outbox_chunk(struct service *service, const char *device, const struct chunk *chunk)
{
	void *frame = outbox_chunk_alloc(service, chunk, 0);

	if (frame)
		outbox_chunk_send(service, device, frame, 0);
}

/* ---- what the engine sends ---- */

static enum ota_err write_offer(const struct service *service, const struct release *release,
				uint32_t attempt, struct text *json, struct ota_why *why)
{
	struct offer_source sources[MESSAGE_SOURCES_MAX];
	struct offer offer = {.v = 1,
			      .release = release->envelope,
			      .firmware = release->firmware->envelope,
			      .attempt = attempt,
			      .packs = release->firmware->packs,
			      .pack_count = release->firmware->pack_count,
			      .sources = sources};

	for (char **url = service->settings.sources;
	     url && *url && offer.source_count < MESSAGE_SOURCES_MAX; url++)
		if (text_copy(sources[offer.source_count].url,
			      sizeof(sources[offer.source_count].url), *url))
			offer.source_count++;
	return json_write(&offer_shape, &offer, json, why);
}

/* *ret_text lives until the next call. */
static enum ota_err offer_text(struct service *service, const struct release *release,
			       uint32_t attempt, const struct text **ret_text,
			       struct ota_why *why)
{
	struct service_offer *offer = &service->offer;
	enum ota_err err;

	if (offer->number != release->document.number || offer->attempt != attempt ||
	    offer->pack_count != release->firmware->pack_count ||
	    strcmp(offer->product, release->document.product) != 0) {
		text_done(&offer->text);
		offer->text = (struct text){0};
		offer->number = 0;
		err = write_offer(service, release, attempt, &offer->text, why);
		if (err)
			return err;
		offer->number = release->document.number;
		offer->attempt = attempt;
		offer->pack_count = release->firmware->pack_count;
		text_copy(offer->product, sizeof(offer->product), release->document.product);
	}
	*ret_text = &offer->text;
	return OTA_OK;
}

static void send_offer(void *ctx, const struct device *device, const struct release *release,
		       uint32_t attempt)
{
	struct service *service = ctx;
	const struct text *json;
	struct ota_why why = {0};

	if (offer_text(service, release, attempt, &json, &why))
		service_log(service, BROKER_ERROR, "no offer to '%s': %s", device->id,
			    why.text);
	else
		outbox_json(service, TOPIC_OFFER, device->id, json, 1);
}

static void publish_control(struct service *service, const char *device,
			    const struct control *control)
{
	AUTO(text_done) struct text json = {0};
	struct ota_why why = {0};

	if (control_write(control, &json, &why))
		service_log(service, BROKER_ERROR, "no control message to '%s': %s", device,
			    why.text);
	else
		outbox_json(service, TOPIC_CONTROL_DEVICE, device, &json, 1);
}

static void flush_acks(struct service *service)
{
	struct service_acks *acks = &service->acks;
	struct control control = {
		.v = 1, .type = CONTROL_ACK, .seqs = acks->seqs, .seq_count = acks->count};

	if (acks->count)
		publish_control(service, acks->device, &control);
	acks->count = 0;
}

void outbox_acks_gather(struct service *service)
{
	service->acks.open = true;
}

void outbox_acks_send(struct service *service)
{
	service->acks.open = false;
	flush_acks(service);
}

static void send_control(void *ctx, const char *device, const struct control *control)
{
	struct service *service = ctx;
	struct service_acks *acks = &service->acks;

	if (control->type != CONTROL_ACK || control->seq_count != 1 || !acks->open) {
		publish_control(service, device, control);
		return;
	}
	if (acks->count == MESSAGE_ACKS_MAX ||
	    (acks->count && strcmp(acks->device, device) != 0))
		flush_acks(service);
	text_copy(acks->device, sizeof(acks->device), device);
	acks->seqs[acks->count++] = control->seqs[0];
}

static void send_welcome(void *ctx, const struct device *device, const struct hello *hello)
{
	struct service *service = ctx;
	struct name_text groups[MESSAGE_GROUPS_MAX];
	struct root_text roots[MESSAGE_ROOTS_MAX];
	struct control welcome = {
		.v = 1,
		.type = CONTROL_WELCOME,
		.time = service_now_ms() / 1000,
		.status = (enum device_status)device->status,
		.groups = groups,
		.shards = (uint32_t)service->settings.shards,
		.roots = roots,
		.head = service->head,
	};

	memcpy(welcome.nonce, hello->nonce, sizeof(welcome.nonce));
	text_copy(welcome.product, sizeof(welcome.product), device->product->name);
	for (uint32_t i = 0; i < device->group_count && i < MESSAGE_GROUPS_MAX; i++)
		text_copy(groups[welcome.group_count++].text, NAME_SIZE,
			  device->groups[i]->name);
	for (uint32_t i = 0; i < service->root_count; i++)
		if (service->roots[i].version > hello->root &&
		    welcome.root_count < MESSAGE_ROOTS_MAX)
			roots[welcome.root_count++].envelope = service->roots[i].envelope;
	send_control(service, device->id, &welcome);
}

static void remember_fan(struct service *service, const struct release *release,
			 const struct text *json)
{
	struct service_fan *fan = NULL;

	for (uint32_t i = 0; i < SERVICE_FANS_MAX; i++)
		if (service->fans[i].number == release->document.number &&
		    strcmp(service->fans[i].product, release->document.product) == 0)
			fan = &service->fans[i];
	if (!fan)
		fan = &service->fans[service->fan_next++ % SERVICE_FANS_MAX];
	fan->number = release->document.number;
	text_copy(fan->product, sizeof(fan->product), release->document.product);
	fan->len = json->len;
	fan->prefix_len = json->len < SERVICE_FAN_PREFIX ? json->len : SERVICE_FAN_PREFIX;
	memcpy(fan->prefix, json->data, fan->prefix_len);
}

static void fan_out(void *ctx, const struct release *release, uint32_t shard)
{
	struct service *service = ctx;
	const struct text *json;
	struct topic topic = {.kind = release->group ? TOPIC_RELEASE_GROUP : TOPIC_RELEASE,
			      .shard = shard};
	char text[TOPIC_SIZE];
	struct ota_why why = {0};

	if (offer_text(service, release, 1, &json, &why)) {
		service_log(service, BROKER_ERROR, "release %" PRIu64 " of '%s' not told: %s",
			    release->document.number, release->document.product, why.text);
		return;
	}
	remember_fan(service, release, json);
	text_copy(topic.name, sizeof(topic.name), release->document.product);
	if (release->group)
		text_copy(topic.group, sizeof(topic.group), release->group->name);
	topic_format(&topic, text);
	publish_text(service, text, json, 1);
	service->fanned++;
}

/* True when the event is only a little more progress of a device that spoke a moment ago. */
static bool is_chatter(struct service *service, const struct store_report *event)
{
	uint64_t now_ms = service_mono_ms(), *last;

	if (event->event != STORE_EVENT_UPDATE || event->state != UPDATE_DOWNLOADING ||
	    event->error)
		return false;
	last = &service->progress[name_shard(event->device, SERVICE_PROGRESS_SLOTS)];
	if (now_ms - *last < PROGRESS_MS)
		return true;
	*last = now_ms;
	return false;
}

/* True when too many devices have something to say at once. A gap tells watchers of the product
 * that they must ask; there is one product of which that is still to be said, at most. */
static bool is_crowd(struct service *service, const struct store_report *event)
{
	struct service_pace *pace = &service->pace;
	uint64_t now_ms = service_mono_ms();

	if (event->event != STORE_EVENT_UPDATE && event->event != STORE_EVENT_DEVICE)
		return false;
	if (now_ms - pace->since_ms >= SERVICE_TICK_MS) {
		outbox_gap(service, now_ms);
		pace->since_ms = now_ms;
		pace->count = 0;
	}
	if (pace->count++ < SERVICE_EVENTS_MAX)
		return false;
	if (pace->left_out && strcmp(pace->product, event->product) != 0) {
		pace->count--;
		return false;
	}
	pace->left_out = event->sequence;
	text_copy(pace->product, sizeof(pace->product), event->product);
	return true;
}

static void send_event(void *ctx, const struct store_report *event)
{
	struct service *service = ctx;
	AUTO(text_done) struct text json = {0};

	if (is_chatter(service, event) || is_crowd(service, event)) {
		service->figures.events_left_out++;
		return;
	}
	show_event(&json, event);
	outbox_json(service, TOPIC_EVENTS, event->product, &json, 0);
}

void outbox_gap(struct service *service, uint64_t now_ms)
{
	struct service_pace *pace = &service->pace;
	AUTO(text_done) struct text json = {0};

	if (!pace->left_out || now_ms - pace->since_ms < SERVICE_TICK_MS)
		return;
	show_gap(&json, pace->left_out, service_now_ms(), pace->product);
	outbox_json(service, TOPIC_EVENTS, pace->product, &json, 0);
	pace->left_out = 0;
}

static void disconnect(void *ctx, const char *device)
{
	service_kick(ctx, IDENTITY_DEVICE, device);
}

static uint64_t io_now_ms(void *ctx)
{
	(void)ctx;
	return service_now_ms();
}

static uint64_t io_mono_ms(void *ctx)
{
	(void)ctx;
	return service_mono_ms();
}

static uint32_t io_random(void *ctx)
{
	uint32_t number = 0;

	(void)ctx;
	if (sign_random(&number, sizeof(number), NULL))
		number = (uint32_t)service_mono_us();
	return number;
}

void outbox_engine_io(struct service *service, struct engine_io *io)
{
	*io = (struct engine_io){
		.ctx = service,
		.now_ms = io_now_ms,
		.mono_ms = io_mono_ms,
		.random = io_random,
		.store = service->store,
		.send_offer = send_offer,
		.send_control = send_control,
		.send_welcome = send_welcome,
		.fan_out = fan_out,
		.event = send_event,
		.disconnect = disconnect,
	};
}

/* ---- uploads ---- */

void outbox_upload_news(struct service *service, const struct upload_state *state)
{
	AUTO(text_done) struct text json = {0};
	char id[17];

	snprintf(id, sizeof(id), "%016" PRIx64, state->id);
	show_open(&json, NULL);
	show_text(&json, "upload", id);
	show_number(&json, "offset", state->offset);
	show_bool(&json, "done", state->done);
	if (state->err) {
		show_open(&json, "error");
		show_text(&json, "name", ota_err_name(state->err));
		show_number(&json, "number", state->err);
		show_text(&json, "message", state->why ? state->why->text : "");
		show_close(&json, '}');
	}
	show_close(&json, '}');
	outbox_json(service, TOPIC_REPLY, state->manager, &json, 1);
}
