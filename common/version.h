/* Order of firmware versions (PROTOCOL.md section 6; SemVer 2.0 precedence, liberal in form).
 */
#pragma once

/* Less than, equal to or greater than 0. Both must satisfy name_is_version(). */
int version_compare(const char *a, const char *b);
