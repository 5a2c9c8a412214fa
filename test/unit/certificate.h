/* Certificates for unit tests: a subject, and nothing else that matters. */
#pragma once

#include <openssl/x509.h>

static inline X509 *certificate_of(const char *name, int name_len, const char *unit,
				   const char *other_unit)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);

	if (name)
		X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
					   (const unsigned char *)name, name_len, -1, 0);
	if (unit)
		X509_NAME_add_entry_by_txt(subject, "OU", MBSTRING_UTF8,
					   (const unsigned char *)unit, -1, -1, 0);
	if (other_unit)
		X509_NAME_add_entry_by_txt(subject, "OU", MBSTRING_UTF8,
					   (const unsigned char *)other_unit, -1, -1, 0);
	return certificate;
}
