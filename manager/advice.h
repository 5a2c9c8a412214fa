/* What an error means to whoever meets it, and what to do about it: for otactl, the console and
 * the pages under doc/errors. The one-sentence version that devices know too is
 * ota_err_sentence(). Commands stand between backquotes. */
#pragma once

#include "why.h"

/* Never NULL; "" for a number that is no error. */
const char *advice_meaning(enum ota_err err);
const char *advice_remedy(enum ota_err err);
