#include "unit.h"

#include "check.h"

/* The vectors: a root of version 2, a firmware of product 'lamp' and a release of it. */
struct fixture {
	char *firmware, *release;
	struct trust *trust;
	struct slots slots;
	uint64_t capacity;
	bool has_slot;
	struct check_facts facts;
};

static bool find(void *ctx, const char *slot_class, unsigned *ret_part)
{
	const struct fixture *fixture = ctx;

	*ret_part = 0;
	return fixture->has_slot && !strcmp(slot_class, "app");
}

static enum ota_err capacity(void *ctx, unsigned part, uint64_t *ret_bytes, struct ota_why *why)
{
	const struct fixture *fixture = ctx;

	(void)part;
	(void)why;
	*ret_bytes = fixture->capacity;
	return OTA_OK;
}

static char *vector(const char *name)
{
	char path[256];
	size_t len;
	char *text, *copy;

	snprintf(path, sizeof(path), VECTORS "/%s", name);
	text = unit_read(path, &len);
	copy = strdup(text);
	test_free(text);
	return copy;
}

static int make(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char *root = vector("root.envelope.json"), *next = vector("root2.envelope.json");
	struct ota_why why;

	fixture->firmware = vector("firmware.envelope.json");
	fixture->release = vector("release.envelope.json");
	if (trust_new(root, strlen(root), &fixture->trust, &why) ||
	    trust_advance(fixture->trust, next, strlen(next), &why))
		return -1;
	free(root);
	free(next);
	fixture->slots = (struct slots){.ctx = fixture, .find = find, .capacity = capacity};
	fixture->capacity = 1 << 20;
	fixture->has_slot = true;
	fixture->facts = (struct check_facts){
		.trust = fixture->trust,
		.slots = &fixture->slots,
		.device = "lamp-0001",
		.product = "lamp",
		.hardware = "lamp-a",
		.version = "1.3.0",
		.security_version = 3,
		.time = 1,
	};
	*state = fixture;
	return 0;
}

static int end(void **state)
{
	struct fixture *fixture = *state;

	trust_free(fixture->trust);
	free(fixture->firmware);
	free(fixture->release);
	free(fixture);
	return 0;
}

static enum ota_err check(struct fixture *fixture, struct ota_why *why)
{
	struct checked checked = {0};
	uint64_t number = 0;
	enum ota_err err = check_offer(&fixture->facts, fixture->release, fixture->firmware,
				       &checked, &number, why);

	if (!err)
		assert_int_equal(number, checked.release.document.number);
	check_done(&checked);
	return err;
}

static void a_good_offer_passes(void **state)
{
	struct ota_why why;

	assert_ok(check(*state, &why), why);
}

static void a_changed_byte_of_either_envelope_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;

	for (int which = 0; which < 2; which++) {
		char *text = which ? fixture->release : fixture->firmware;
		char *payload = strstr(text, "\"payload\":\"") + 40;
		const char kept = *payload;

		*payload = kept == 'A' ? 'B' : 'A';
		assert_int_equal(check(fixture, &why), OTA_SIGNATURE_INVALID);
		*payload = kept;
	}
	assert_ok(check(fixture, &why), why);
}

static void one_document_cannot_pass_for_the_other(void **state)
{
	struct fixture *fixture = *state;
	struct checked checked;
	uint64_t number;
	struct ota_why why;

	assert_int_not_equal(check_offer(&fixture->facts, fixture->firmware, fixture->release,
					 &checked, &number, &why),
			     OTA_OK);
	assert_int_not_equal(check_offer(&fixture->facts, fixture->firmware, fixture->firmware,
					 &checked, &number, &why),
			     OTA_OK);
}

static void another_product_or_hardware_is_refused_by_name(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;

	fixture->facts.product = "pump";
	assert_int_equal(check(fixture, &why), OTA_WRONG_PRODUCT);
	assert_contains(why.text, "lamp");
	fixture->facts.product = "lamp";
	fixture->facts.hardware = "lamp-z";
	assert_int_equal(check(fixture, &why), OTA_INCOMPATIBLE_HARDWARE);
	assert_contains(why.text, "lamp-z");
}

static void a_release_for_a_group_that_the_device_does_not_name_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;

	fixture->facts.groups = "stable";
	assert_int_equal(check(fixture, &why), OTA_WRONG_PRODUCT);
	assert_contains(why.text, "'beta'");
	fixture->facts.groups = "bet beta2";
	assert_int_equal(check(fixture, &why), OTA_WRONG_PRODUCT);
	fixture->facts.groups = " stable  beta ";
	assert_int_equal(check(fixture, &why), OTA_OK);
	fixture->facts.groups = "";
	assert_int_equal(check(fixture, &why), OTA_OK);
}

static void an_older_release_is_stale_and_the_same_one_is_not(void **state)
{
	struct fixture *fixture = *state;
	struct checked checked;
	uint64_t number;
	struct ota_why why;

	assert_ok(check_offer(&fixture->facts, fixture->release, fixture->firmware, &checked,
			      &number, &why),
		  why);
	check_done(&checked);
	fixture->facts.number = number;
	assert_ok(check(fixture, &why), why);
	fixture->facts.number = number + 1;
	assert_int_equal(check(fixture, &why), OTA_RELEASE_STALE);
}

static void a_downgrade_needs_a_release_that_allows_it(void **state)
{
	struct fixture *fixture = *state;
	char *allowed = fixture->release;
	struct ota_why why;

	fixture->facts.version = "1.4.1";
	assert_ok(check(fixture, &why), why);
	fixture->release = vector("release2.envelope.json");
	const enum ota_err err = check(fixture, &why);
	free(fixture->release);
	fixture->release = allowed;
	assert_int_equal(err, OTA_VERSION_NOT_ALLOWED);
	assert_contains(why.text, "1.4.1");
}

static void an_allowed_downgrade_never_falls_below_the_floor(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;

	fixture->facts.floor = 5; /* the firmware has 4 */
	assert_int_equal(check(fixture, &why), OTA_VERSION_NOT_ALLOWED);
	fixture->facts.floor = 4;
	assert_ok(check(fixture, &why), why);
	fixture->facts.security_version = 5;
	assert_int_equal(check(fixture, &why), OTA_VERSION_NOT_ALLOWED);
}

static void a_version_that_is_too_old_to_install_it_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;

	fixture->facts.version = "1.1.9"; /* the firmware requires 1.2.0 */
	assert_int_equal(check(fixture, &why), OTA_VERSION_NOT_ALLOWED);
	assert_contains(why.text, "1.2.0");
}

static void what_has_expired_by_a_signed_time_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;

	fixture->facts.time = UINT64_C(1) << 50;
	assert_int_equal(check(fixture, &why), OTA_RELEASE_EXPIRED);
}

static void what_does_not_fit_says_how_much_is_missing(void **state)
{
	struct fixture *fixture = *state;
	struct ota_why why;

	fixture->capacity = 999999;
	assert_int_equal(check(fixture, &why), OTA_INSUFFICIENT_STORAGE);
	assert_contains(why.text, "1 are missing");
	fixture->capacity = 1000000;
	assert_ok(check(fixture, &why), why);
	fixture->has_slot = false;
	assert_int_equal(check(fixture, &why), OTA_SLOT_ERROR);
	assert_contains(why.text, "'app'");
}

static void after_a_restart_number_and_expiry_are_not_asked_again(void **state)
{
	struct fixture *fixture = *state;
	struct checked checked;
	struct ota_why why;

	fixture->facts.time = UINT64_C(1) << 50;
	fixture->facts.number = UINT64_C(1) << 40;
	fixture->facts.version = "1.4.0";
	assert_ok(check_again(&fixture->facts, fixture->release, fixture->firmware, &checked,
			      &why),
		  why);
	check_done(&checked);
	fixture->facts.hardware = "lamp-z";
	assert_int_equal(check_again(&fixture->facts, fixture->release, fixture->firmware,
				     &checked, &why),
			 OTA_INCOMPATIBLE_HARDWARE);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, make, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FRESH(a_good_offer_passes),
		FRESH(a_changed_byte_of_either_envelope_is_refused),
		FRESH(one_document_cannot_pass_for_the_other),
		FRESH(another_product_or_hardware_is_refused_by_name),
		FRESH(a_release_for_a_group_that_the_device_does_not_name_is_refused),
		FRESH(an_older_release_is_stale_and_the_same_one_is_not),
		FRESH(a_downgrade_needs_a_release_that_allows_it),
		FRESH(an_allowed_downgrade_never_falls_below_the_floor),
		FRESH(a_version_that_is_too_old_to_install_it_is_refused),
		FRESH(what_has_expired_by_a_signed_time_is_refused),
		FRESH(what_does_not_fit_says_how_much_is_missing),
		FRESH(after_a_restart_number_and_expiry_are_not_asked_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
