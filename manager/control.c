#include "control.h"

#include "certificate.h"
#include "line.h"
#include "message.h"
#include "own.h"
#include "pending.h"
#include "topic.h"
#include "blob_send.h"

#include <pthread.h>
#include <string.h>

#define SUFFIX_BYTES 4 /* of randomness in the client id and in request ids */

struct watch {
	char product[NAME_SIZE]; /* "": a free place */
	char topic[TOPIC_SIZE];
	control_event event;
	void *ctx;
};

struct control_client {
	char name[NAME_SIZE];
	char *ca, *certificate, *key;
	char reply_topic[TOPIC_SIZE], upload_topic[TOPIC_SIZE];
	uint64_t timeout_ms;
	struct pending *pending;
	struct blob_send_table *uploads;
	pthread_mutex_t watch_lock; /* held while an event is told, so that unwatch can wait */
	struct watch watches[CONTROL_WATCHES_MAX];
	struct line *line;
};

static void tell_gap(struct control_client *client)
{
	unsigned i;

	pthread_mutex_lock(&client->watch_lock);
	for (i = 0; i < CONTROL_WATCHES_MAX; i++)
		if (client->watches[i].product[0])
			client->watches[i].event(client->watches[i].ctx, NULL);
	pthread_mutex_unlock(&client->watch_lock);
}

static void on_up(void *ctx, bool again)
{
	if (again)
		tell_gap(ctx);
}

static void on_down(void *ctx)
{
	struct control_client *client = ctx;

	pending_fail_all(
		client->pending, OTA_CONNECTION_LOST,
		"the connection was lost before the answer came; it may or may not have "
		"been done");
	blob_send_fail_all(client->uploads);
}

static void on_tick(void *ctx)
{
	struct control_client *client = ctx;

	pending_expire(client->pending, line_now_ms());
}

static void tell_event(struct control_client *client, const char *topic,
		       const struct view *event)
{
	unsigned i;

	pthread_mutex_lock(&client->watch_lock);
	for (i = 0; i < CONTROL_WATCHES_MAX; i++)
		if (client->watches[i].product[0] && !strcmp(client->watches[i].topic, topic))
			client->watches[i].event(client->watches[i].ctx, event);
	pthread_mutex_unlock(&client->watch_lock);
}

/* A payload that cannot be read is dropped: the request then runs into its time limit. */
static void on_message(void *ctx, const char *topic, const void *payload, size_t len)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	struct control_client *client = ctx;
	const struct view *root;

	if (view_read(payload, len, MESSAGE_REPLY_MAX, &tree, NULL))
		return;
	root = view_root(tree);
	if (strcmp(topic, client->reply_topic))
		tell_event(client, topic, root);
	else if (view_at(root, "upload") && !view_at(root, "id"))
		blob_send_answer(client->uploads, root);
	else
		pending_answer(client->pending, root);
}

static enum ota_err check_files(const struct control_options *options,
				struct certificate *ret_own, struct ota_why *why)
{
	struct certificate ca;
	enum ota_err err;

	if (!options->ca || !options->certificate || !options->key)
		return ota_fail(why, OTA_BAD_REQUEST,
				"three files are needed: ca, cert and key of this manager");
	err = certificate_read(options->ca, &ca, why);
	if (!err)
		err = certificate_read(options->certificate, ret_own, why);
	if (!err)
		err = certificate_check_key(options->certificate, options->key, why);
	if (!err && !name_is_id(ret_own->name))
		return ota_fail(why, OTA_BAD_REQUEST,
				"the certificate '%s' has the CN '%s'; allowed are %s",
				options->certificate, ret_own->name, NAME_ALLOWED);
	return err;
}

static enum ota_err copy_options(struct control_client *client,
				 const struct control_options *options, struct ota_why *why)
{
	client->ca = strdup(options->ca);
	client->certificate = strdup(options->certificate);
	client->key = strdup(options->key);
	client->timeout_ms = options->timeout_ms ? options->timeout_ms : CONTROL_TIMEOUT_MS;
	if (!client->ca || !client->certificate || !client->key)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a client");
	topic_of(TOPIC_REPLY, client->name, client->reply_topic);
	topic_of(TOPIC_UPLOAD, client->name, client->upload_topic);
	return OTA_OK;
}

enum ota_err control_split_address(const char *broker, struct control_address *ret_address,
				   struct ota_why *why)
{
	const char *host = broker, *end, *port;
	uint64_t number = 0;

	if (*broker == '[') {
		host = broker + 1;
		end = strchr(host, ']');
		port = end && end[1] == ':' ? end + 2 : end && !end[1] ? CONTROL_PORT : "";
	} else {
		end = strchr(host, ':');
		port = end ? end + 1 : CONTROL_PORT;
		end = end ? end : host + strlen(host);
	}
	if (!end || end == host || (size_t)(end - host) >= sizeof(ret_address->host) ||
	    !text_to_u64(port, 65535, &number) || !number)
		return ota_fail(why, OTA_BAD_REQUEST,
				"broker '%s': allowed are HOST, HOST:PORT and [ADDRESS]:PORT",
				broker);
	memcpy(ret_address->host, host, (size_t)(end - host));
	ret_address->host[end - host] = '\0';
	text_copy(ret_address->port, sizeof(ret_address->port), port);
	return OTA_OK;
}

static enum ota_err open_line(struct control_client *client, const char *broker,
			      struct ota_why *why)
{
	struct line_seam seam = {client, on_up, on_down, on_message, on_tick};
	struct line_options options = {
		.ca = client->ca,
		.certificate = client->certificate,
		.key = client->key,
		.reply_topic = client->reply_topic,
		.timeout_ms = client->timeout_ms,
	};
	char suffix[2 * SUFFIX_BYTES + 1];
	uint8_t random[SUFFIX_BYTES];
	struct control_address address;
	enum ota_err err = control_split_address(broker, &address, why);

	if (!err)
		err = sign_random(random, sizeof(random), why);
	if (err)
		return err;
	text_copy(options.host, sizeof(options.host), address.host);
	text_copy(options.port, sizeof(options.port), address.port);
	snprintf(suffix, sizeof(suffix), "%02x%02x%02x%02x", random[0], random[1], random[2],
		 random[3]);
	snprintf(options.client_id, sizeof(options.client_id), "%s:%s", client->name, suffix);
	err = pending_new(suffix, &client->pending, why);
	if (!err)
		err = blob_send_table_new(&client->uploads, why);
	if (!err)
		err = line_open(&options, &seam, &client->line, why);
	return err;
}

enum ota_err control_open(const struct control_options *options,
			  struct control_client **ret_client, struct ota_why *why)
{
	AUTO(control_close_place) struct control_client *client = NULL;
	struct certificate own;
	enum ota_err err = check_files(options, &own, why);

	if (err)
		return err;
	client = calloc(1, sizeof(*client));
	if (!client)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a client");
	pthread_mutex_init(&client->watch_lock, NULL);
	text_copy(client->name, sizeof(client->name), own.name);
	err = copy_options(client, options, why);
	if (!err)
		err = open_line(client, options->broker, why);
	if (!err && !options->patient)
		err = line_wait(client->line, client->timeout_ms, true, why);
	if (err)
		return err;
	*ret_client = TAKE(client);
	return OTA_OK;
}

void control_close(struct control_client *client)
{
	if (!client)
		return;
	line_close(client->line);
	if (client->pending)
		pending_fail_all(client->pending, OTA_UNREACHABLE, "the client was closed");
	pending_free(client->pending);
	blob_send_table_free(client->uploads);
	pthread_mutex_destroy(&client->watch_lock);
	free(client->ca);
	free(client->certificate);
	free(client->key);
	free(client);
}

void control_close_place(struct control_client **place)
{
	control_close(*place);
}

const char *control_name(const struct control_client *client)
{
	return client->name;
}

bool control_is_up(struct control_client *client)
{
	return line_is_up(client->line);
}

enum ota_err control_wait(struct control_client *client, struct ota_why *why)
{
	return line_wait(client->line, client->timeout_ms, false, why);
}

static enum ota_err write_command(const struct control_request *request, const char *id,
				  char **ret_text, struct ota_why *why)
{
	struct text text = {0};
	enum ota_err err;

	text_put(&text, "{\"v\":1,\"id\":");
	json_put_string(&text, id);
	text_put(&text, ",\"verb\":");
	json_put_string(&text, request->verb);
	text_printf(&text, ",\"args\":%s", request->args ? request->args : "{}");
	if (request->token) {
		text_put(&text, ",\"token\":");
		json_put_string(&text, request->token);
	}
	if (request->key) {
		text_put(&text, ",\"key\":");
		json_put_string(&text, request->key);
	}
	text_put(&text, "}");
	err = text_take(&text, ret_text, why);
	if (err)
		text_done(&text);
	return err;
}

enum ota_err control_send(struct control_client *client, const struct control_request *request,
			  control_answer answer, void *ctx, struct ota_why *why)
{
	AUTO_FREE char *text = NULL;
	char id[PENDING_ID_SIZE];
	uint64_t limit_ms = request->timeout_ms ? request->timeout_ms : client->timeout_ms;
	enum ota_err err =
		pending_add(client->pending, line_now_ms() + limit_ms, answer, ctx, id, why);

	if (err)
		return err;
	err = write_command(request, id, &text, why);
	if (!err && strlen(text) > MESSAGE_COMMAND_MAX)
		err = ota_fail(why, OTA_TOO_LARGE, "'%s' takes at most %u bytes, these are %zu",
			       request->verb, MESSAGE_COMMAND_MAX, strlen(text));
	if (!err)
		err = line_publish(client->line, TOPIC_CONTROL, text, strlen(text), why);
	/* If it was answered meanwhile (the line fell), the callback has been called. */
	if (err && !pending_drop(client->pending, id))
		return OTA_OK;
	return err;
}

struct ask {
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool done;
	enum ota_err err;
	struct ota_why *why;
	struct view_tree *tree;
};

static void ask_answer(void *ctx, enum ota_err err, const struct ota_why *why,
		       const struct view *result)
{
	struct ask *ask = ctx;

	pthread_mutex_lock(&ask->lock);
	ask->err = err;
	if (err) {
		if (ask->why)
			*ask->why = *why;
	} else {
		ask->err = view_copy(result, &ask->tree, ask->why);
	}
	ask->done = true;
	pthread_cond_signal(&ask->change);
	pthread_mutex_unlock(&ask->lock);
}

enum ota_err control_ask(struct control_client *client, const struct control_request *request,
			 struct view_tree **ret_result, struct ota_why *why)
{
	struct ask ask = {.why = why};
	enum ota_err err;

	pthread_mutex_init(&ask.lock, NULL);
	pthread_cond_init(&ask.change, NULL);
	err = control_send(client, request, ask_answer, &ask, why);
	if (!err) {
		pthread_mutex_lock(&ask.lock);
		while (!ask.done)
			pthread_cond_wait(&ask.change, &ask.lock);
		pthread_mutex_unlock(&ask.lock);
		err = ask.err;
	}
	pthread_cond_destroy(&ask.change);
	pthread_mutex_destroy(&ask.lock);
	if (!err)
		*ret_result = ask.tree;
	return err;
}

static enum ota_err upload_begin(void *ctx, const char *args, const char *token,
				 struct view_tree **ret_result, struct ota_why *why)
{
	const struct control_request request = {
		.verb = "blob.begin", .args = args, .token = token};

	return control_ask(ctx, &request, ret_result, why);
}

static enum ota_err upload_frame(void *ctx, const void *frame, size_t len, struct ota_why *why)
{
	struct control_client *client = ctx;

	return line_publish(client->line, client->upload_topic, frame, len, why);
}

static enum ota_err upload_wait(void *ctx, struct ota_why *why)
{
	struct control_client *client = ctx;

	return line_wait(client->line, 4 * client->timeout_ms, false, why);
}

enum ota_err control_upload(struct control_client *client, const struct control_upload *upload,
			    struct ota_why *why)
{
	const struct blob_send_seam seam = {client, upload_begin, upload_frame, upload_wait};

	return blob_send_run(client->uploads, &seam, upload, client->timeout_ms, why);
}

static enum ota_err add_watch(struct control_client *client, const char *product,
			      control_event event, void *ctx, struct ota_why *why)
{
	struct watch *place = NULL;
	unsigned i;

	for (i = 0; i < CONTROL_WATCHES_MAX; i++) {
		if (!strcmp(client->watches[i].product, product))
			return ota_fail(why, OTA_CONFLICT, "'%s' is watched already", product);
		if (!place && !client->watches[i].product[0])
			place = &client->watches[i];
	}
	if (!place)
		return ota_fail(why, OTA_BUSY, "more than %d products watched",
				CONTROL_WATCHES_MAX);
	text_copy(place->product, sizeof(place->product), product);
	topic_of(TOPIC_EVENTS, product, place->topic);
	place->event = event;
	place->ctx = ctx;
	return OTA_OK;
}

enum ota_err control_watch(struct control_client *client, const char *product,
			   control_event event, void *ctx, struct ota_why *why)
{
	char topic[TOPIC_SIZE];
	enum ota_err err;

	if (!name_is_product(product))
		return ota_fail(why, OTA_BAD_REQUEST, "product '%s': allowed are %s", product,
				NAME_LOWER_ALLOWED);
	pthread_mutex_lock(&client->watch_lock);
	err = add_watch(client, product, event, ctx, why);
	pthread_mutex_unlock(&client->watch_lock);
	if (err)
		return err;
	topic_of(TOPIC_EVENTS, product, topic);
	err = line_subscribe(client->line, topic, why);
	if (err)
		control_unwatch(client, product);
	return err;
}

void control_unwatch(struct control_client *client, const char *product)
{
	char topic[TOPIC_SIZE];
	unsigned i;

	topic_of(TOPIC_EVENTS, product, topic);
	line_unsubscribe(client->line, topic);
	pthread_mutex_lock(&client->watch_lock);
	for (i = 0; i < CONTROL_WATCHES_MAX; i++)
		if (!strcmp(client->watches[i].product, product))
			client->watches[i].product[0] = '\0';
	pthread_mutex_unlock(&client->watch_lock);
}

enum ota_err control_may_subscribe(struct control_client *client, const char *topic,
				   bool *ret_allowed, struct ota_why *why)
{
	enum ota_err err = line_subscribe(client->line, topic, why);

	if (err && err != OTA_FORBIDDEN)
		return err;
	if (!err)
		line_unsubscribe(client->line, topic);
	*ret_allowed = !err;
	return OTA_OK;
}
