#include "identity.h"

#include <openssl/x509.h>
#include <string.h>

static const char *const organisational_units[IDENTITY_ROLE_COUNT] = {
	[IDENTITY_DEVICE] = "ota-device",
	[IDENTITY_MANAGER] = "ota-manager",
	[IDENTITY_CONSOLE] = "ota-console",
};

/* The bytes of one entry; false when it has a NUL or does not fit. */
static bool entry_text(X509_NAME *subject, int place, char *ret_text, size_t size)
{
	const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, place);
	const ASN1_STRING *data = X509_NAME_ENTRY_get_data(entry);
	int len = ASN1_STRING_length(data);

	if (len < 0 || (size_t)len >= size)
		return false;
	memcpy(ret_text, ASN1_STRING_get0_data(data), (size_t)len);
	ret_text[len] = '\0';
	return strlen(ret_text) == (size_t)len;
}

static enum identity_role role_of(const char *unit)
{
	for (int role = IDENTITY_DEVICE; role < IDENTITY_ROLE_COUNT; role++)
		if (strcmp(unit, organisational_units[role]) == 0)
			return (enum identity_role)role;
	return IDENTITY_STRANGER;
}

static enum ota_err read_role(X509_NAME *subject, enum identity_role *ret_role,
			      struct ota_why *why)
{
	enum identity_role role = IDENTITY_STRANGER;
	int place = -1;

	while ((place = X509_NAME_get_index_by_NID(subject, NID_organizationalUnitName,
						   place)) >= 0) {
		char unit[NAME_SIZE];
		enum identity_role one = IDENTITY_STRANGER;

		if (entry_text(subject, place, unit, sizeof(unit)))
			one = role_of(unit);
		if (one == IDENTITY_STRANGER)
			continue;
		if (role != IDENTITY_STRANGER)
			return ota_fail(why, OTA_UNAUTHORIZED,
					"the certificate has two roles: one OU of ota-device, "
					"ota-manager, ota-console is allowed");
		role = one;
	}
	*ret_role = role;
	return OTA_OK;
}

enum ota_err identity_read(void *x509, struct identity *ret_identity, struct ota_why *why)
{
	struct identity identity = {.role = IDENTITY_STRANGER};
	X509_NAME *subject = x509 ? X509_get_subject_name(x509) : NULL;
	enum ota_err err;
	int place;

	if (!subject) {
		*ret_identity = identity;
		return OTA_OK;
	}
	err = read_role(subject, &identity.role, why);
	if (err)
		return err;
	if (identity.role != IDENTITY_STRANGER) {
		place = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
		if (place < 0 ||
		    !entry_text(subject, place, identity.name, sizeof(identity.name)) ||
		    !name_is_id(identity.name))
			return ota_fail(why, OTA_UNAUTHORIZED,
					"the certificate's CN is not a name: %s", NAME_ALLOWED);
	}
	*ret_identity = identity;
	return OTA_OK;
}

static bool suffix_is_valid(const char *suffix)
{
	size_t len = strspn(suffix, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789");

	return suffix[len] == '\0' && len >= 1 && len <= IDENTITY_SUFFIX_MAX;
}

bool identity_fits(const struct identity *identity, const char *client_id)
{
	size_t len = strlen(identity->name);

	if (identity->role == IDENTITY_STRANGER)
		return true;
	if (!client_id || strncmp(client_id, identity->name, len) != 0)
		return false;
	if (client_id[len] == '\0')
		return true;
	return identity->role != IDENTITY_DEVICE && client_id[len] == ':' &&
	       suffix_is_valid(client_id + len + 1);
}
