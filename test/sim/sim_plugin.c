#include "sim_plugin.h"

#include "own.h"
#include "pack_write.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SEGMENT	   65536u
#define FAR_AWAY   UINT64_C(4000000000)
#define CREATED	   UINT64_C(1700000000)
#define GONE_TICKS 20

/* A message on its way to the device. */
struct sim_mail {
	struct sim_mail *next;
	enum link_event_kind kind;
	struct topic topic;
	size_t len;
	uint8_t payload[];
};

/* What a real manager would have made beforehand. */
struct sim_goods {
	uint8_t *image;
	size_t size;
	struct digest digest;
	struct pack_index index;
	uint8_t *pack;
	struct pack_result packed;
	char *firmware, *release[SIM_ORDERS]; /* envelopes */
};

static struct sim_goods goods[SIM_IMAGES];
static struct sign_key *root_key, *firmware_key, *release_key;
static char *root_envelope;

static void must(enum ota_err err, const struct ota_why *why)
{
	if (!err)
		return;
	fprintf(stderr, "simulation: %s\n", why->text);
	abort();
}

static char *sealed(enum envelope_type type, const struct json_shape *shape, const void *from,
		    const struct sign_key *key, struct digest *ret_digest)
{
	struct text json = {0};
	struct ota_why why;
	char *envelope;

	must(json_write(shape, from, &json, &why), &why);
	must(envelope_make(type, json.data, json.len, &key, 1, &envelope, &why), &why);
	if (ret_digest)
		must(digest_of(json.data, json.len, ret_digest, &why), &why);
	text_done(&json);
	return envelope;
}

static void fill_key(struct root_key *to, const struct sign_key *key, const char *name)
{
	const struct sign_public *public = sign_key_public(key);
	struct ota_why why;

	to->id = public->id;
	to->algorithm = public->algorithm;
	must(text_base64(public->der, public->der_len, &to->public_base64, &why), &why);
	text_copy(to->name, sizeof(to->name), name);
}

static void make_root(void)
{
	struct root_key keys[3];
	struct name_text all = {"*"};
	enum root_action actions[] = {ROOT_ACTION_RELEASE, ROOT_ACTION_DOWNGRADE};
	struct ota_why why;

	must(sign_key_generate(SIGN_ED25519, &root_key, &why), &why);
	must(sign_key_generate(SIGN_ED25519, &firmware_key, &why), &why);
	must(sign_key_generate(SIGN_ED25519, &release_key, &why), &why);
	memset(keys, 0, sizeof(keys));
	fill_key(&keys[0], root_key, "root");
	fill_key(&keys[1], firmware_key, "firmware");
	fill_key(&keys[2], release_key, "release");
	struct root_releaser releaser = {.key = keys[2].id,
					 .manager = "ann",
					 .products = &all,
					 .product_count = 1,
					 .groups = &all,
					 .group_count = 1,
					 .actions = actions,
					 .action_count = 2,
					 .not_after = FAR_AWAY};
	const struct root_document root = {
		.version = 1,
		.created = CREATED,
		.keys = keys,
		.key_count = 3,
		.root = {.threshold = 1, .keys = &keys[0].id, .key_count = 1},
		.firmware = {.threshold = 1, .keys = &keys[1].id, .key_count = 1},
		.releasers = &releaser,
		.releaser_count = 1,
	};
	root_envelope = sealed(ENVELOPE_ROOT, &root_shape, &root, root_key, NULL);
	for (unsigned i = 0; i < 3; i++)
		free(keys[i].public_base64);
}

static void make_image(struct sim_goods *of, unsigned image)
{
	static const size_t sizes[SIM_IMAGES] = {0, 150000, 170000, 140000};
	struct sim_random random = {image * 104729};
	const struct pack_write_options options = {.segment_size = SEGMENT, .level = 1};
	struct ota_why why;

	of->size = sizes[image];
	of->image = malloc(of->size + 8);
	if (!of->image)
		abort();
	for (size_t i = 0; i < of->size; i += 8) {
		uint64_t word = sim_random_next(&random);
		memcpy(of->image + i, &word, 8);
	}
	const struct pack_image bytes = {of->image, of->size};
	must(pack_index_make(&bytes, SEGMENT, NULL, &of->index, &why), &why);
	of->digest = of->index.image;
	AUTO_CLOSE int file = memfd_create("pack", MFD_CLOEXEC);
	must(pack_write(&bytes, NULL, &options, file, &of->packed, &why), &why);
	of->pack = malloc(of->packed.size);
	if (!of->pack || pread(file, of->pack, of->packed.size, 0) != (ssize_t)of->packed.size)
		abort();
}

static void make_documents(struct sim_goods *of, unsigned image)
{
	struct name_text hardware = {SIM_HARDWARE};
	struct firmware_component component = {.name = "app",
					       .slot_class = "app",
					       .size = of->size,
					       .sha256 = of->digest,
					       .segment_size = SEGMENT};
	struct digest manifest;

	component.index.sha256 = of->index.digest;
	component.index.size = of->index.size;
	struct firmware_document firmware = {.product = SIM_PRODUCT,
					     .security_version = 1,
					     .raise_floor_to = 1,
					     .hardware = &hardware,
					     .hardware_count = 1,
					     .components = &component,
					     .component_count = 1,
					     .created = CREATED};
	snprintf(firmware.version, sizeof(firmware.version), "%u.0", image);
	of->firmware =
		sealed(ENVELOPE_FIRMWARE, &firmware_shape, &firmware, firmware_key, &manifest);
	for (unsigned number = 1; number <= SIM_ORDERS; number++) {
		struct release_document release = {
			.product = SIM_PRODUCT,
			.number = number,
			.firmware = manifest,
			.mode = RELEASE_FAST,
			.target = {.kind = RELEASE_TO_PRODUCT, .name = SIM_PRODUCT},
			.allow_downgrade = true,
			.not_after = FAR_AWAY,
			.created = CREATED};
		of->release[number - 1] =
			sealed(ENVELOPE_RELEASE, &release_shape, &release, release_key, NULL);
	}
}

static void make_goods(void)
{
	if (root_envelope)
		return;
	make_root();
	for (unsigned image = 1; image < SIM_IMAGES; image++) {
		make_image(&goods[image], image);
		make_documents(&goods[image], image);
	}
}

const char *sim_plugin_root(void)
{
	make_goods();
	return root_envelope;
}

const uint8_t *sim_image(unsigned image, size_t *ret_size)
{
	make_goods();
	*ret_size = goods[image].size;
	return goods[image].image;
}

const struct digest *sim_image_digest(unsigned image)
{
	make_goods();
	return &goods[image].digest;
}

uint64_t sim_pack_size(unsigned image)
{
	make_goods();
	return goods[image].packed.size;
}

static void broken(struct sim_plugin *plugin, const char *what, uint64_t number)
{
	if (!plugin->broken[0])
		snprintf(plugin->broken, sizeof(plugin->broken), "%s (%llu)", what,
			 (unsigned long long)number);
}

/* --- the link --- */

static void post(struct sim_plugin *plugin, enum link_event_kind kind, enum topic_kind topic,
		 const void *payload, size_t len)
{
	struct sim_mail *mail = malloc(sizeof(*mail) + len);

	if (!mail)
		abort();
	memset(mail, 0, sizeof(*mail));
	mail->kind = kind;
	mail->topic.kind = topic;
	mail->len = len;
	if (len)
		memcpy(mail->payload, payload, len);
	*plugin->last = mail;
	plugin->last = &mail->next;
}

static void link_start(void *ctx)
{
	struct sim_plugin *plugin = ctx;

	plugin->started = true;
}

static void link_stop(void *ctx)
{
	struct sim_plugin *plugin = ctx;

	plugin->started = plugin->up = false;
}

static void link_renew(void *ctx)
{
	struct sim_plugin *plugin = ctx;

	plugin->up = plugin->mute = false;
}

static bool link_next(void *ctx, struct link_event *ret_event)
{
	struct sim_plugin *plugin = ctx;
	struct sim_mail *mail = plugin->first;

	if (!mail)
		return false;
	plugin->first = mail->next;
	if (!plugin->first)
		plugin->last = &plugin->first;
	memset(ret_event, 0, sizeof(*ret_event));
	ret_event->kind = mail->kind;
	ret_event->topic = mail->topic;
	ret_event->payload = mail->payload;
	ret_event->len = mail->len;
	ret_event->hold = mail;
	if (mail->kind == LINK_DOWN || mail->kind == LINK_FAILED) {
		enum ota_err err = ota_fail(&ret_event->why, OTA_CONNECTION_LOST,
					    "the broker is out of reach");
		(void)err;
	}
	return true;
}

static void link_done(void *ctx, struct link_event *event)
{
	(void)ctx;
	free(event->hold);
}

static uint64_t link_tick(void *ctx, uint64_t now_ms)
{
	struct sim_plugin *plugin = ctx;

	(void)now_ms;
	if (plugin->gone_for > 0)
		plugin->gone_for--;
	bool reachable = plugin->reachable && plugin->gone_for == 0;
	sim_memory_is_ours++;
	if (plugin->started && plugin->up && !reachable) {
		plugin->up = false;
		post(plugin, LINK_DOWN, TOPIC_OTHER, NULL, 0);
	} else if (plugin->started && !plugin->up) {
		plugin->up = reachable;
		post(plugin, reachable ? LINK_UP : LINK_FAILED, TOPIC_OTHER, NULL, 0);
	}
	sim_memory_is_ours--;
	return plugin->up ? UINT64_MAX : 1000;
}

static int link_fd(void *ctx)
{
	(void)ctx;
	return -1;
}

static enum ota_err link_subscribe(void *ctx, const char *topic, struct ota_why *why)
{
	(void)ctx;
	(void)topic;
	(void)why;
	return OTA_OK;
}

/* --- what the plugin says --- */

static void say(struct sim_plugin *plugin, const struct control *control)
{
	struct text json = {0};
	struct ota_why why;

	must(control_write(control, &json, &why), &why);
	post(plugin, LINK_MESSAGE, TOPIC_CONTROL_DEVICE, json.data, json.len);
	text_done(&json);
}

unsigned sim_plugin_wants(const struct sim_plugin *plugin)
{
	for (unsigned i = 0; i < SIM_ORDERS && plugin->orders[i].image; i++)
		if (!plugin->final[i])
			return i + 1;
	return 0;
}

static void offer_next(struct sim_plugin *plugin, unsigned number)
{
	if (number == 0 || number > SIM_ORDERS || !plugin->orders[number - 1].image)
		return;
	const struct sim_goods *of = &goods[plugin->orders[number - 1].image];
	struct offer_pack pack = {.sha256 = of->packed.digest, .size = of->packed.size};
	const struct offer offer = {.v = 1,
				    .release = of->release[number - 1],
				    .firmware = of->firmware,
				    .attempt = 1,
				    .packs = &pack,
				    .pack_count = 1};
	struct text json = {0};
	struct ota_why why;

	must(json_write(&offer_shape, &offer, &json, &why), &why);
	post(plugin, LINK_MESSAGE, TOPIC_OFFER, json.data, json.len);
	text_done(&json);
	plugin->chunks = 0;
}

/* --- what the device says --- */

static void take_hello(struct sim_plugin *plugin, const void *payload, size_t len)
{
	struct control welcome = {.v = 1,
				  .type = CONTROL_WELCOME,
				  .time = CREATED + 1000,
				  .status = DEVICE_APPROVED,
				  .shards = 1};
	struct control grant = {.v = 1, .type = CONTROL_GRANT};
	struct hello hello;
	struct ota_why why;

	if (hello_read(payload, len, &hello, &why)) {
		broken(plugin, why.text, 0);
		return;
	}
	if (hello.has_trial && !plugin->was_mute &&
	    plugin->orders[hello.trial.release - 1].event == SIM_ORDER_MUTE) {
		plugin->mute = plugin->was_mute = true;
		json_done(&hello_shape, &hello);
		return;
	}
	text_copy(welcome.product, sizeof(welcome.product), SIM_PRODUCT);
	memcpy(welcome.nonce, hello.nonce, sizeof(welcome.nonce));
	say(plugin, &welcome);
	unsigned wants = sim_plugin_wants(plugin);
	if (hello.has_trial) {
		const struct sim_order *order = &plugin->orders[hello.trial.release - 1];
		if (!digest_equal(&hello.digest, &goods[order->image].digest)) {
			broken(plugin, "a trial with another image", hello.trial.release);
			return;
		}
		plugin->granted[hello.trial.release - 1] = true;
		memcpy(grant.nonce, hello.nonce, sizeof(grant.nonce));
		grant.release = hello.trial.release;
		grant.attempt = hello.trial.attempt;
		say(plugin, &grant);
	} else if (!hello.has_update || hello.update.release != wants) {
		offer_next(plugin, wants);
	}
	json_done(&hello_shape, &hello);
}

static void take_final(struct sim_plugin *plugin, const struct report *report)
{
	unsigned i = (unsigned)report->release - 1;

	if (plugin->final[i] && plugin->final[i] != report->state)
		broken(plugin, "a release ended in two ways", report->release);
	plugin->final[i] = report->state;
	plugin->finals[i]++;
	if (report->state == UPDATE_SUCCEEDED && !plugin->granted[i])
		broken(plugin, "a success that was not granted", report->release);
	offer_next(plugin, sim_plugin_wants(plugin));
}

static void take_report(struct sim_plugin *plugin, const void *payload, size_t len)
{
	struct control ack = {.v = 1, .type = CONTROL_ACK, .seq_count = 1};
	struct report report;
	struct digest digest;
	struct ota_why why;

	if (report_read(payload, len, &report, &why) || report.seq >= SIM_SEQS_MAX ||
	    report.release < 1 || report.release > SIM_ORDERS) {
		broken(plugin, "a report that cannot be read", 0);
		return;
	}
	must(digest_of(payload, len, &digest, &why), &why);
	uint8_t bit = (uint8_t)(1 << (report.seq % 8));
	bool known = plugin->received[report.seq / 8] & bit;
	if (known && !digest_equal(&digest, &plugin->content[report.seq]))
		broken(plugin, "a report number with two contents", report.seq);
	plugin->received[report.seq / 8] |= bit;
	plugin->content[report.seq] = digest;
	ack.seqs = &report.seq;
	say(plugin, &ack);
	if (!known && update_state_is_final(report.state))
		take_final(plugin, &report);
	json_done(&report_shape, &report);
}

static void send_chunk(struct sim_plugin *plugin, uint32_t transfer, uint32_t number,
		       const uint8_t *blob, size_t size)
{
	static uint8_t frame[MESSAGE_CHUNK_HEADER + MESSAGE_CHUNK_SIZE];
	size_t at = (size_t)number * MESSAGE_CHUNK_SIZE;
	struct chunk chunk = {.kind = CHUNK_DATA, .transfer = transfer, .number = number};

	if (at >= size) {
		broken(plugin, "a chunk behind the end was asked for", number);
		return;
	}
	size_t len = size - at < MESSAGE_CHUNK_SIZE ? size - at : MESSAGE_CHUNK_SIZE;
	chunk_write_header(&chunk, frame);
	memcpy(frame + MESSAGE_CHUNK_HEADER, blob + at, len);
	post(plugin, LINK_MESSAGE, TOPIC_CHUNK, frame, MESSAGE_CHUNK_HEADER + len);
	plugin->fetched += len;
}

/* What happens to the order while it downloads. */
static void disturb(struct sim_plugin *plugin)
{
	unsigned number = sim_plugin_wants(plugin);
	struct control cancel = {.v = 1, .type = CONTROL_CANCEL, .release = number};

	if (number == 0 || ++plugin->chunks < 2)
		return;
	const struct sim_order *order = &plugin->orders[number - 1];
	if (order->event == SIM_ORDER_BROKER_GONE && plugin->chunks == 2)
		plugin->gone_for = GONE_TICKS;
	if (order->event != SIM_ORDER_SUPERSEDED && order->event != SIM_ORDER_CANCELED)
		return;
	plugin->stopped[number - 1] = true;
	cancel.reason =
		order->event == SIM_ORDER_SUPERSEDED ? CANCEL_SUPERSEDED : CANCEL_ABORTED;
	say(plugin, &cancel);
}

static void take_get(struct sim_plugin *plugin, const void *payload, size_t len)
{
	struct get get;
	struct ota_why why;

	if (get_read(payload, len, &get, &why)) {
		broken(plugin, why.text, 0);
		return;
	}
	for (unsigned image = 1; image < SIM_IMAGES; image++) {
		const struct sim_goods *of = &goods[image];
		bool index = digest_equal(&get.blob, &of->index.digest);
		if (!index && !digest_equal(&get.blob, &of->packed.digest))
			continue;
		for (uint32_t i = 0; i < get.range_count; i++)
			for (uint32_t n = 0; n < get.ranges[i].count; n++)
				send_chunk(plugin, get.transfer, get.ranges[i].first + n,
					   index ? of->index.bytes : of->pack,
					   index ? of->index.size : of->packed.size);
		disturb(plugin);
		return;
	}
	broken(plugin, "a blob that is none was asked for", 0);
}

static enum ota_err link_publish(void *ctx, const char *topic, const void *payload, size_t len,
				 int qos, struct ota_why *why)
{
	struct sim_plugin *plugin = ctx;
	struct topic parsed;

	(void)qos;
	if (!plugin->up)
		return ota_fail(why, OTA_CONNECTION_LOST, "not connected");
	if (plugin->mute)
		return OTA_OK;
	topic_parse(topic, &parsed);
	sim_memory_is_ours++;
	if (parsed.kind == TOPIC_HELLO)
		take_hello(plugin, payload, len);
	else if (parsed.kind == TOPIC_REPORT)
		take_report(plugin, payload, len);
	else if (parsed.kind == TOPIC_GET)
		take_get(plugin, payload, len);
	else if (parsed.kind != TOPIC_CONSENT)
		broken(plugin, "a topic that is not the device's", parsed.kind);
	sim_memory_is_ours--;
	return OTA_OK;
}

void sim_plugin_init(struct sim_plugin *plugin, const struct sim_order *orders,
		     struct sim_random *random)
{
	make_goods();
	memset(plugin, 0, sizeof(*plugin));
	plugin->orders = orders;
	plugin->random = random;
	plugin->last = &plugin->first;
	plugin->reachable = true;
	plugin->link = (struct link){
		.ctx = plugin,
		.start = link_start,
		.stop = link_stop,
		.renew = link_renew,
		.next = link_next,
		.done = link_done,
		.publish = link_publish,
		.subscribe = link_subscribe,
		.tick = link_tick,
		.fd = link_fd,
	};
}

void sim_plugin_forget(struct sim_plugin *plugin)
{
	while (plugin->first) {
		struct sim_mail *mail = plugin->first;
		plugin->first = mail->next;
		free(mail);
	}
	plugin->last = &plugin->first;
	plugin->started = plugin->up = plugin->mute = false;
}

void sim_plugin_done(struct sim_plugin *plugin)
{
	sim_plugin_forget(plugin);
}
