#include "null_io.h"

#include <stdlib.h>

/* Stores nothing: it is the engine's memory that is measured. */
static uint64_t tickets;

static enum ota_err write_nothing(void *ctx, const struct store_row *rows, size_t count,
				  uint64_t *ret_ticket, struct ota_why *why)
{
	(void)ctx;
	(void)rows;
	(void)count;
	(void)why;
	*ret_ticket = ++tickets;
	return OTA_OK;
}

static size_t room_enough(void *ctx)
{
	(void)ctx;
	return 65536;
}

static enum ota_err load_nothing(void *ctx, enum store_kind kind, store_row_fn each,
				 void *each_ctx, struct ota_why *why)
{
	(void)ctx;
	(void)kind;
	(void)each;
	(void)each_ctx;
	(void)why;
	return OTA_OK;
}

static enum ota_err no_sequence(void *ctx, uint64_t *ret_sequence, struct ota_why *why)
{
	(void)ctx;
	(void)why;
	*ret_sequence = 0;
	return OTA_OK;
}

static uint64_t wall(void *ctx)
{
	(void)ctx;
	return UINT64_C(1700000000000);
}

static uint32_t no_random(void *ctx)
{
	(void)ctx;
	return 4;
}

static void no_offer(void *ctx, const struct device *device, const struct release *release,
		     uint32_t attempt)
{
	(void)device;
	(void)release;
	(void)attempt;
	++*(unsigned *)ctx;
}

static void no_control(void *ctx, const char *device, const struct control *control)
{
	(void)ctx;
	(void)device;
	(void)control;
}

static void no_welcome(void *ctx, const struct device *device, const struct hello *hello)
{
	(void)ctx;
	(void)device;
	(void)hello;
}

static void no_fan(void *ctx, const struct release *release, uint32_t shard)
{
	(void)ctx;
	(void)release;
	(void)shard;
}

static void no_event(void *ctx, const struct store_report *event)
{
	(void)ctx;
	(void)event;
}

static void no_disconnect(void *ctx, const char *device)
{
	(void)ctx;
	(void)device;
}

struct engine *null_engine(unsigned *offers)
{
	static struct store store = {.write = write_nothing,
				     .room = room_enough,
				     .load = load_nothing,
				     .last_sequence = no_sequence};
	struct engine_io io = {.ctx = offers,
			       .now_ms = wall,
			       .mono_ms = wall,
			       .random = no_random,
			       .store = &store,
			       .send_offer = no_offer,
			       .send_control = no_control,
			       .send_welcome = no_welcome,
			       .fan_out = no_fan,
			       .event = no_event,
			       .disconnect = no_disconnect};
	struct engine_limits limits;
	struct engine *engine = NULL;
	struct ota_why why;

	engine_limits_default(&limits);
	if (engine_new(&io, &limits, &engine, &why) || engine_load(engine, &why))
		abort();
	return engine;
}

void null_saved(struct engine *engine)
{
	engine_saved(engine, tickets, OTA_OK);
}

static bool add_firmware(struct engine *engine, struct name_text *hardware,
			 struct firmware_component *component, struct ota_why *why)
{
	struct trusted_firmware firmware = {.document = {.product = "lamp",
							 .version = "2.0.0",
							 .security_version = 1,
							 .hardware = hardware,
							 .hardware_count = 1,
							 .components = component,
							 .component_count = 1}};

	firmware.digest.bytes[0] = 99;
	text_copy(hardware->text, NAME_SIZE, "a");
	component->size = 1u << 20;
	component->sha256.bytes[0] = 200;
	if (engine_firmware_add(engine, &firmware, "{}", NULL, 0, why) == OTA_OK)
		return true;
	firmware_done(&firmware.document);
	return false;
}

bool null_firmware(struct engine *engine, struct trusted_release *ret_release,
		   struct ota_why *why)
{
	struct name_text *hardware = calloc(1, sizeof(*hardware));
	struct firmware_component *component = calloc(1, sizeof(*component));

	*ret_release = (struct trusted_release){
		.document = {.product = "lamp", .number = 1, .not_after = UINT64_C(1) << 40}};
	ret_release->document.firmware.bytes[0] = 99;
	if (hardware && component)
		return add_firmware(engine, hardware, component, why);
	free(hardware);
	free(component);
	return false;
}
