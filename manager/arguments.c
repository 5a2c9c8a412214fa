#include "arguments.h"

#include "option.h"

#include <ctype.h>
#include <string.h>

static const struct verb_option *find_in(const struct verb_option *options, const char *name,
					 size_t len)
{
	for (; options && options->name; options++)
		if (strlen(options->name) == len && !memcmp(options->name, name, len))
			return options;
	return NULL;
}

static const struct verb_option *find_option(const struct verb *verb, const char *name,
					     size_t len)
{
	const struct verb_option *own = verb ? find_in(verb->options, name, len) : NULL;

	return own ? own : find_in(verb_global_options, name, len);
}

/* Of any verb: whether the option takes a value, so that words can be told from values before
 * the verb is known. */
static const struct verb_option *find_anywhere(const char *name, size_t len)
{
	const struct verb_option *found = find_in(verb_global_options, name, len);
	unsigned i;

	for (i = 0; verb_families[i] && !found; i++)
		for (const struct verb *verb = verb_families[i]; verb->noun && !found; verb++)
			found = find_in(verb->options, name, len);
	return found;
}

static void list_options(const struct verb_option *options, struct text *to)
{
	for (; options && options->name; options++)
		text_printf(to, "%s--%s", to->len ? " " : "", options->name);
}

static enum ota_err refuse_option(const struct verb *verb, const char *given,
				  struct ota_why *why)
{
	struct text allowed = {0};
	enum ota_err err;

	list_options(verb->options, &allowed);
	list_options(verb_global_options, &allowed);
	err = ota_fail(why, OTA_BAD_REQUEST,
		       "'%s' is not an option of '%s%s%s'; allowed are %s", given, verb->noun,
		       verb->action ? " " : "", verb->action ? verb->action : "",
		       allowed.data ? allowed.data : "none");
	text_done(&allowed);
	return err;
}

/* A choice in capitals (VERSION) stands for any value. */
static bool choice_has(const char *choices, const char *value)
{
	size_t len = strlen(value);

	for (;;) {
		size_t each = strcspn(choices, "|");

		if (each == len && !memcmp(choices, value, len))
			return true;
		if (len && isupper((unsigned char)*choices))
			return true;
		if (!choices[each])
			return false;
		choices += each + 1;
	}
}

static enum ota_err check_value(const struct verb_option *option, const char *value,
				struct ota_why *why)
{
	if (option->value && !value)
		return ota_fail(why, OTA_BAD_REQUEST, "--%s wants a value: %s", option->name,
				option->value);
	if (!option->value && value)
		return ota_fail(why, OTA_BAD_REQUEST, "--%s takes no value", option->name);
	if (option->value && strchr(option->value, '|') && !choice_has(option->value, value))
		return ota_fail(why, OTA_BAD_REQUEST, "--%s '%s': allowed are %s", option->name,
				value, option->value);
	return OTA_OK;
}

static enum ota_err take_option(struct arguments *arguments, const char *given,
				const char *value, struct ota_why *why)
{
	size_t len = strcspn(given + 2, "=");
	const struct verb_option *option = find_option(arguments->verb, given + 2, len);
	enum ota_err err;

	if (!option)
		return refuse_option(arguments->verb, given, why);
	err = check_value(option, value, why);
	if (err)
		return err;
	if (!option->many && arguments_has(arguments, option->name))
		return ota_fail(why, OTA_BAD_REQUEST, "--%s is given twice", option->name);
	arguments->given[arguments->given_count].option = option;
	arguments->given[arguments->given_count++].value = value;
	return OTA_OK;
}

/* Walks the line; calls `option` with each option and its value, collects the words. */
static enum ota_err walk(int argc, char *const *argv, struct arguments *arguments,
			 bool options_too, struct ota_why *why)
{
	bool only_words = false;
	enum ota_err err = OTA_OK;
	int i;

	arguments->word_count = 0;
	for (i = 1; i < argc && !err; i++) {
		const char *given = argv[i], *value = NULL, *equals;
		const struct verb_option *known;

		if (only_words || given[0] != '-' || !given[1]) {
			arguments->words[arguments->word_count++] = given;
			continue;
		}
		if (!strcmp(given, "-h"))
			given = "--help";
		if (given[1] != '-')
			return ota_fail(why, OTA_BAD_REQUEST,
					"'%s': options begin with two dashes", given);
		only_words = !given[2];
		if (only_words)
			continue;
		equals = strchr(given, '=');
		known = find_anywhere(given + 2, strcspn(given + 2, "="));
		if (equals)
			value = equals + 1;
		else if (known && known->value && i + 1 < argc)
			value = argv[++i];
		arguments->help |= !strcmp(given, "--help");
		if (options_too)
			err = take_option(arguments, given, value, why);
	}
	return err;
}

static enum ota_err check_required(const struct arguments *arguments, struct ota_why *why)
{
	const struct verb *verb = arguments->verb;
	const struct verb_option *each;

	for (each = verb->options; each && each->name; each++)
		if (each->required && !arguments_has(arguments, each->name))
			return ota_fail(why, OTA_BAD_REQUEST, "--%s is needed: %s", each->name,
					each->help);
	if (arguments->word_count < verb->word_min)
		return ota_fail(why, OTA_BAD_REQUEST, "'%s%s%s' wants %s", verb->noun,
				verb->action ? " " : "", verb->action ? verb->action : "",
				verb->words);
	if (arguments->word_count > verb->word_max)
		return ota_fail(why, OTA_BAD_REQUEST, "'%s' is one word too many; it takes %s",
				arguments->words[verb->word_max],
				*verb->words ? verb->words : "no words, only options");
	return OTA_OK;
}

enum ota_err arguments_read(int argc, char *const *argv, struct arguments *ret_arguments,
			    struct ota_why *why)
{
	unsigned used = 0;
	enum ota_err err;

	memset(ret_arguments, 0, sizeof(*ret_arguments));
	if (argc > ARGUMENTS_MAX)
		return ota_fail(why, OTA_TOO_LARGE, "more than %d words", ARGUMENTS_MAX);
	err = walk(argc, argv, ret_arguments, false, why);
	if (err)
		return err;
	ret_arguments->verb =
		verb_find(ret_arguments->words, ret_arguments->word_count, &used, why);
	if (!ret_arguments->verb)
		return OTA_BAD_REQUEST;
	err = walk(argc, argv, ret_arguments, true, why);
	if (err)
		return err;
	ret_arguments->word_count -= used;
	memmove(ret_arguments->words, ret_arguments->words + used,
		ret_arguments->word_count * sizeof(ret_arguments->words[0]));
	return ret_arguments->help ? OTA_OK : check_required(ret_arguments, why);
}

const char *arguments_value(const struct arguments *arguments, const char *name)
{
	const char *value = NULL;
	unsigned i;

	for (i = 0; i < arguments->given_count; i++)
		if (!strcmp(arguments->given[i].option->name, name))
			value = arguments->given[i].value;
	return value;
}

const char *arguments_each(const struct arguments *arguments, const char *name, unsigned i)
{
	unsigned at;

	for (at = 0; at < arguments->given_count; at++)
		if (!strcmp(arguments->given[at].option->name, name) && i-- == 0)
			return arguments->given[at].value;
	return NULL;
}

bool arguments_has(const struct arguments *arguments, const char *name)
{
	unsigned i;

	for (i = 0; i < arguments->given_count; i++)
		if (!strcmp(arguments->given[i].option->name, name))
			return true;
	return false;
}

enum ota_err arguments_number(const struct arguments *arguments, const char *name, uint64_t min,
			      uint64_t max, uint64_t *ret_number, struct ota_why *why)
{
	const char *value = arguments_value(arguments, name);
	uint64_t number = 0;

	if (!value)
		return OTA_OK;
	if (!text_to_u64(value, max, &number) || number < min)
		return ota_fail(why, OTA_BAD_REQUEST, "--%s '%s': allowed is %llu to %llu",
				name, value, (unsigned long long)min, (unsigned long long)max);
	*ret_number = number;
	return OTA_OK;
}

enum ota_err arguments_duration(const struct arguments *arguments, const char *name,
				uint64_t *ret_seconds, struct ota_why *why)
{
	const char *value = arguments_value(arguments, name);
	const struct option_row rows[] = {
		{.key = name,
		 .kind = OPTION_DURATION,
		 .max = UINT64_C(315360000000),
		 .fallback = "",
		 .help = ""},
		{0},
	};
	uint64_t ms = 0;
	enum ota_err err;

	if (!value)
		return OTA_OK;
	err = option_set(rows, &ms, name, value, "the command line", why);
	if (!err)
		*ret_seconds = ms / 1000;
	return err;
}

enum ota_err arguments_share(const char *text, const char *what, uint32_t *ret_share,
			     struct ota_why *why)
{
	char whole[8] = "", part[3] = "00";
	const char *dot = strpbrk(text, ".%");
	size_t len = dot ? (size_t)(dot - text) : strlen(text);
	uint64_t percent = 0, hundredths = 0;
	bool good = len > 0 && len < sizeof(whole);

	if (good)
		memcpy(whole, text, len);
	if (good && dot && *dot == '.') {
		size_t digits = strspn(++dot, "0123456789");

		good = digits == 1 || digits == 2;
		if (good)
			memcpy(part, dot, digits);
		dot += digits;
	}
	good = good && (!dot || !*dot || !strcmp(dot, "%"));
	good = good && text_to_u64(whole, 100, &percent) && text_to_u64(part, 99, &hundredths);
	if (!good || percent * 100 + hundredths > 10000)
		return ota_fail(why, OTA_BAD_REQUEST,
				"%s '%s': allowed is a percentage, as 10, 0.5 or 100", what,
				text);
	*ret_share = (uint32_t)(percent * 100 + hundredths);
	return OTA_OK;
}
