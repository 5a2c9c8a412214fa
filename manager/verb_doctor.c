/* `otactl doctor`: what could be wrong, looked at one by one from here to the plugin's store;
 * each finding that needs a hand ends with the command that mends it. */
#include "certificate.h"
#include "document.h"
#include "envelope.h"
#include "file.h"
#include "json.h"
#include "own.h"
#include "tool.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define DAY_S		   86400
#define EXPIRY_SOON_S	   (30 * DAY_S)
#define CA_SOON_S	   (365 * DAY_S) /* each device must have learnt the next one by then */
#define CLOCK_OFF_MAX_S	   30
#define CALLBACK_US_MAX	   20000 /* the plugin's hard budget */
#define QUOTA_FULL_PERCENT 90
#define PROBE_TIMEOUT_MS   5000

struct doctor {
	struct tool *tool;
	unsigned bad, notes;
	struct text json;
};

/* `mend` may be NULL when there is nothing to be done. */
static void find(struct doctor *doctor, enum screen_mark mark, const char *mend,
		 const char *format, ...) __attribute__((format(printf, 4, 5)));

static void find(struct doctor *doctor, enum screen_mark mark, const char *mend,
		 const char *format, ...)
{
	static const char *const words[] = {"good", "note", "bad"};
	struct text text = {0};
	va_list args;

	va_start(args, format);
	text_vprintf(&text, format, args);
	va_end(args);
	doctor->bad += mark == SCREEN_BAD;
	doctor->notes += mark == SCREEN_NOTE;
	text_put(&doctor->json, doctor->json.len ? ",\n" : "[");
	text_printf(&doctor->json, "{\"finding\":\"%s\",\"text\":", words[mark]);
	json_put_string(&doctor->json, text.data ? text.data : "");
	if (mend) {
		text_put(&doctor->json, ",\"mend\":");
		json_put_string(&doctor->json, mend);
	}
	text_put(&doctor->json, "}");
	screen_line(&doctor->tool->screen, mark, "%s", text.data ? text.data : "");
	if (mend && !doctor->tool->screen.json)
		fprintf(doctor->tool->screen.out, "    → %s\n", mend);
	text_done(&text);
}

static void check_expiry(struct doctor *doctor, const char *what, time_t not_after, time_t soon,
			 const char *mend)
{
	time_t left = not_after - time(NULL);
	char duration[SCREEN_FIGURE_SIZE];

	screen_duration((uint64_t)(left < 0 ? -left : left), duration);
	if (left < 0)
		find(doctor, SCREEN_BAD, mend, "%s expired %s ago", what, duration);
	else if (left < soon)
		find(doctor, SCREEN_NOTE, mend, "%s expires in %s", what, duration);
	else
		find(doctor, SCREEN_GOOD, NULL, "%s is good for %s", what, duration);
}

static bool is_said(const char *text)
{
	return text && *text;
}

static bool check_files(struct doctor *doctor)
{
	const struct tool_options *options = &doctor->tool->options;
	struct certificate own, ca;
	struct ota_why why = {0};

	if (!is_said(options->ca) || !is_said(options->cert) || !is_said(options->key)) {
		find(doctor, SCREEN_BAD, "otactl manual options",
		     "%s does not say ca, cert and key", doctor->tool->config);
		return false;
	}
	if (certificate_read(options->cert, &own, &why) ||
	    certificate_check_key(options->cert, options->key, &why) ||
	    certificate_read(options->ca, &ca, &why)) {
		find(doctor, SCREEN_BAD, "certs/dev-pki pki --manager NAME (or your own CA)",
		     "%s", why.text);
		return false;
	}
	if (strcmp(own.role, "ota-manager") != 0)
		find(doctor, SCREEN_BAD, "certs/dev-pki pki --manager NAME (or your own CA)",
		     "the certificate's OU is '%s', a manager's is ota-manager", own.role);
	else
		find(doctor, SCREEN_GOOD, NULL, "certificate and key belong to manager %s",
		     own.name);
	check_expiry(doctor, "this manager's certificate", own.not_after, EXPIRY_SOON_S,
		     "ask your CA for a new one");
	if (!ca.is_authority)
		find(doctor, SCREEN_NOTE, "name your CA's certificate as ca",
		     "'%s' is not a CA's certificate", options->ca);
	check_expiry(doctor, "the CA's certificate", ca.not_after, CA_SOON_S,
		     "otactl root rotate --anchors NEXT-CA.pem: devices must know the next CA "
		     "before this one ends");
	return true;
}

static void check_key_file(struct doctor *doctor, const char *what, const char *path,
			   const struct root_document *root)
{
	AUTO(tool_key_free_place) struct sign_key *key = NULL;
	AUTO_FREE char *mend = NULL;
	struct stat status;
	struct ota_why why = {0};
	uint32_t i;

	if (!is_said(path))
		return;
	if (stat(path, &status)) {
		find(doctor, SCREEN_NOTE, NULL, "%s '%s': %s (fine if it is kept elsewhere)",
		     what, path, strerror(errno));
		return;
	}
	if (status.st_mode & 077 && asprintf(&mend, "chmod 600 %s", path) >= 0)
		find(doctor, SCREEN_BAD, mend, "%s '%s' can be read by others", what, path);
	if (sign_key_load(path, getenv("OTACTL_PASSPHRASE"), &key, &why)) {
		find(doctor, SCREEN_NOTE, NULL, "%s was not looked into: %s", what, why.text);
		return;
	}
	for (i = 0; root && i < root->key_count; i++)
		if (digest_equal(&root->keys[i].id, &sign_key_public(key)->id))
			break;
	if (root && i == root->key_count)
		find(doctor, SCREEN_BAD, "otactl root show; otactl root rotate",
		     "%s is not in the trust root: nobody believes it", what);
	else
		find(doctor, SCREEN_GOOD, NULL, "%s is in the trust root", what);
}

static void check_trust(struct doctor *doctor, struct root_document *root)
{
	const struct tool_options *options = &doctor->tool->options;
	AUTO_FREE char *text = NULL;
	struct envelope envelope = {0};
	struct ota_why why = {0};
	size_t len = 0;
	bool known = false;

	if (is_said(options->root)) {
		known = !file_read(options->root, ENVELOPE_SIZE_MAX, &text, &len, &why) &&
			!envelope_read(text, len, ENVELOPE_ROOT, &envelope, &why) &&
			!root_read(envelope.payload, envelope.payload_len, root, &why);
		if (!known)
			find(doctor, SCREEN_BAD, "otactl root show --json", "the root '%s': %s",
			     options->root, why.text);
		envelope_done(&envelope);
	}
	check_key_file(doctor, "the firmware key", options->firmware_key, known ? root : NULL);
	check_key_file(doctor, "the release key", options->release_key, known ? root : NULL);
}

static bool check_tls(struct doctor *doctor)
{
	const struct tool_options *options = &doctor->tool->options;
	struct certificate broker;
	struct control_address address;
	struct ota_why why = {0};
	enum ota_err err = control_split_address(options->broker, &address, &why);

	if (!err) {
		const struct certificate_peer peer = {address.host, address.port,
						      options->ca,  options->cert,
						      options->key, PROBE_TIMEOUT_MS};

		err = certificate_probe(&peer, &broker, &why);
	}
	if (err) {
		find(doctor, SCREEN_BAD,
		     err == OTA_UNREACHABLE
			     ? "on the broker: systemctl status mosquitto; ss -ltn"
			     : "on the broker: look at cafile, certfile and keyfile of the listener",
		     "%s", why.text);
		return false;
	}
	find(doctor, SCREEN_GOOD, NULL, "%s speaks TLS, as %s", options->broker, broker.names);
	check_expiry(doctor, "the broker's certificate", broker.not_after, EXPIRY_SOON_S,
		     "renew it on the broker, then send mosquitto SIGHUP");
	return true;
}

static void check_clock(struct doctor *doctor, const struct view *whoami)
{
	uint64_t theirs = view_number(view_at(whoami, "time")), ours = (uint64_t)time(NULL);
	uint64_t off = theirs > ours ? theirs - ours : ours - theirs;

	if (off > CLOCK_OFF_MAX_S)
		find(doctor, SCREEN_BAD, "timedatectl set-ntp true (on both machines)",
		     "the broker's clock is %llu s off ours", (unsigned long long)off);
	else
		find(doctor, SCREEN_GOOD, NULL, "the broker's clock agrees with ours");
}

static bool check_whoami(struct doctor *doctor)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	struct ota_why why = {0};
	const struct view *whoami;

	if (tool_ask(doctor->tool, "whoami", NULL, &tree, &why)) {
		find(doctor, SCREEN_BAD,
		     "on the broker: journalctl -u mosquitto | grep ota (is the plugin loaded?)",
		     "%s", why.text);
		return false;
	}
	whoami = view_root(tree);
	find(doctor, SCREEN_GOOD, NULL, "the plugin (version %s, Mosquitto %s) knows us as %s",
	     view_text(view_at(whoami, "plugin")), view_text(view_at(whoami, "broker")),
	     view_text(view_at(whoami, "name")));
	if (strcmp(view_text(view_at(whoami, "plugin")), OTA_VERSION) != 0)
		find(doctor, SCREEN_NOTE, "install the same version on both sides",
		     "otactl is version %s", OTA_VERSION);
	if (!view_first(view_at(whoami, "roles")))
		find(doctor, SCREEN_BAD,
		     "an admin: otactl manager set NAME --product P --role R",
		     "we have no role for any product");
	check_clock(doctor, whoami);
	return true;
}

/* What must never be allowed: another's topics, and wildcards over ours. */
static void check_access(struct doctor *doctor)
{
	static const char *const topics[] = {"ota/#", "ota/v1/d/doctor/offer",
					     "ota/v1/m/doctor-other/reply", "$CONTROL/ota/#",
					     "$share/doctor/ota/v1/d/doctor/offer"};
	unsigned i, open = 0;
	bool allowed = false;

	for (i = 0; i < sizeof(topics) / sizeof(*topics); i++) {
		struct ota_why why = {0};

		if (control_may_subscribe(doctor->tool->client, topics[i], &allowed, &why)) {
			find(doctor, SCREEN_BAD, NULL,
			     "'%s' was neither allowed nor refused: %s", topics[i], why.text);
			return;
		}
		if (allowed)
			find(doctor, SCREEN_BAD,
			     "in mosquitto.conf: one 'plugin' line for all listeners "
			     "(per_listener_settings false)",
			     "the broker lets us subscribe to '%s'", topics[i]);
		open += allowed;
	}
	if (!open)
		find(doctor, SCREEN_GOOD, NULL, "the broker refuses what it must refuse");
}

static uint64_t slowest_callback(const struct view *status)
{
	const struct view *each;
	uint64_t max = 0;

	for (each = view_first(view_at(status, "callbacks")); each; each = view_next(each))
		if (view_number(view_at(each, "max_us")) > max)
			max = view_number(view_at(each, "max_us"));
	return max;
}

static void check_status(struct doctor *doctor)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	struct ota_why why = {0};
	const struct view *status;
	uint64_t used, quota, slowest;
	char bytes[SCREEN_FIGURE_SIZE], room[SCREEN_FIGURE_SIZE];

	if (tool_ask(doctor->tool, "status", NULL, &tree, &why)) {
		find(doctor, SCREEN_BAD, NULL, "status: %s", why.text);
		return;
	}
	status = view_root(tree);
	used = view_number(view_at(status, "blobs.bytes"));
	quota = view_number(view_at(status, "blobs.quota_bytes"));
	slowest = slowest_callback(status);
	screen_bytes(used, bytes);
	screen_bytes(view_number(view_at(status, "blobs.disk_free_bytes")), room);
	if (view_number(view_at(status, "stored.failed")))
		find(doctor, SCREEN_BAD, "on the broker: df, and journalctl -u mosquitto",
		     "%s writes to the store failed",
		     view_text(view_at(status, "stored.failed")));
	else
		find(doctor, SCREEN_GOOD, NULL, "the store writes (%s commits, none failed)",
		     view_text(view_at(status, "stored.commits")));
	if (quota && used * 100 / quota >= QUOTA_FULL_PERCENT)
		find(doctor, SCREEN_BAD,
		     "otactl firmware delete VERSION, or a greater "
		     "plugin_opt_store_quota",
		     "blobs take %s of their quota; %s of the disk are free", bytes, room);
	else
		find(doctor, SCREEN_GOOD, NULL, "blobs take %s; %s of the disk are free", bytes,
		     room);
	find(doctor, slowest > CALLBACK_US_MAX ? SCREEN_NOTE : SCREEN_GOOD,
	     slowest > CALLBACK_US_MAX ? "otactl status" : NULL,
	     "the slowest callback took %llu.%llu ms", (unsigned long long)slowest / 1000,
	     (unsigned long long)slowest % 1000 / 100);
}

static void check_root_version(struct doctor *doctor, const struct root_document *root)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	uint64_t theirs;

	if (!root->version || tool_ask(doctor->tool, "root.show", NULL, &tree, NULL))
		return;
	theirs = view_number(view_at(view_root(tree), "version"));
	if (theirs == root->version)
		find(doctor, SCREEN_GOOD, NULL, "the plugin has root version %llu, as we have",
		     (unsigned long long)theirs);
	else
		find(doctor, SCREEN_BAD,
		     theirs < root->version ? "otactl root update"
					    : "fetch the newest root.json",
		     "the plugin has root version %llu, we have %llu",
		     (unsigned long long)theirs, (unsigned long long)root->version);
}

static void check_fleet(struct doctor *doctor)
{
	AUTO(view_free_place) struct view_tree *tree = NULL;
	const struct view *each;

	if (tool_ask(doctor->tool, "product.list", NULL, &tree, NULL))
		return;
	for (each = view_first(view_at(view_root(tree), "items")); each;
	     each = view_next(each)) {
		uint64_t waiting = view_number(view_at(each, "quarantined"));
		const char *name = view_text(view_at(each, "name"));
		AUTO_FREE char *mend = NULL;

		if (waiting && asprintf(&mend,
					"otactl device list --status quarantined --product %s; "
					"otactl device approve",
					name) >= 0)
			find(doctor, SCREEN_NOTE, mend, "%llu devices of %s wait for approval",
			     (unsigned long long)waiting, name);
	}
}

static enum ota_err run_doctor(struct tool *tool, struct ota_why *why)
{
	struct doctor doctor = {.tool = tool};
	struct root_document root = {0};
	bool files = check_files(&doctor);

	check_trust(&doctor, &root);
	if (files && check_tls(&doctor) && check_whoami(&doctor)) {
		check_access(&doctor);
		check_status(&doctor);
		check_root_version(&doctor, &root);
		check_fleet(&doctor);
	}
	root_done(&root);
	if (tool->screen.json)
		fprintf(tool->screen.out, "%s]\n", doctor.json.data ? doctor.json.data : "[");
	text_done(&doctor.json);
	if (doctor.bad)
		return ota_fail(why, OTA_CONFLICT, "%u of these need a hand", doctor.bad);
	return OTA_OK;
}

const struct verb verb_doctor[] = {
	{"doctor", NULL, "", 0, 0, "look for what is wrong, from here to the plugin's store",
	 NULL, run_doctor},
	{NULL},
};
