/* otactl's verbs: one table that is the dispatch, the help, the manual's list and the shell's
 * completion. A family of verbs is a file verb_<noun>.c with one array. */
#pragma once

#include "text.h"

#include <stdio.h>

struct tool;

/* An option of a verb. `value` is what --help shows: NULL for a flag, "A|B|C" for a choice
 * (checked before the verb runs), anything else for free text. */
struct verb_option {
	const char *name; /* without the dashes; NULL ends the list */
	const char *value;
	const char *help;
	bool many; /* may be given several times */
	bool required;
};

struct verb {
	const char *noun, *action; /* action NULL: the noun alone is the verb */
	const char *words; /* "DEVICE…": what is expected besides options; "" nothing */
	unsigned word_min, word_max;
	const char *help; /* one sentence, without a full stop */
	const struct verb_option *options;
	enum ota_err (*run)(struct tool *tool, struct ota_why *why);
};

#define VERB_WORDS_ANY 1000u /* as many ids as one command may carry */

/* Families, each ended by an entry whose noun is NULL; the list ends with NULL. */
extern const struct verb *const verb_families[];
extern const struct verb verb_init[], verb_product[], verb_device[], verb_group[],
	verb_firmware[], verb_release[], verb_manager[], verb_root[], verb_audit[],
	verb_status[], verb_doctor[];
/* Options that every verb takes. */
extern const struct verb_option verb_global_options[];

/* The verb that the words begin with, and how many of them are its name (1 or 2); NULL when
 * there is none: then `why` says what is allowed there. */
const struct verb *verb_find(const char *const *words, unsigned count, unsigned *ret_used,
			     struct ota_why *why);
void verb_print_all(FILE *to);
void verb_print_noun(const char *noun, FILE *to);
void verb_print_one(const struct verb *verb, FILE *to);
/* A bash completion script; the manual's sections on verbs in mdoc(7). */
void verb_print_completion(FILE *to);
void verb_print_manual(FILE *to);
