#include "verb.h"

#include "option.h"
#include "tool.h"

#include <string.h>

const struct verb *const verb_families[] = {
	verb_init,    verb_product, verb_device, verb_group,  verb_firmware, verb_release,
	verb_manager, verb_root,    verb_audit,	 verb_status, verb_doctor,   NULL,
};

const struct verb_option verb_global_options[] = {
	{"config", "FILE", "configuration file (default ~/.config/otactl.conf)", false, false},
	{"broker", "HOST[:PORT]", "the broker", false, false},
	{"ca", "FILE", "CA certificates that the broker's must come from", false, false},
	{"cert", "FILE", "this manager's certificate", false, false},
	{"key", "FILE", "its private key", false, false},
	{"product", "NAME", "the product", false, false},
	{"timeout", "DURATION", "how long to wait for the broker, as 15s", false, false},
	{"json", NULL, "print the plugin's answer as JSON", false, false},
	{"plain", NULL, "no colours and no moving bars, on a terminal too", false, false},
	{"help", NULL, "what the verb does and takes", false, false},
	{NULL},
};

static const struct verb *next_verb(const struct verb *verb, unsigned *family)
{
	if (verb && verb[1].noun)
		return verb + 1;
	if (verb)
		(*family)++;
	return verb_families[*family];
}

#define VERBS_EACH(name)                                                                       \
	for (unsigned name##_family = 0, name##_once = 1; name##_once; name##_once = 0)        \
		for (const struct verb *name = next_verb(NULL, &name##_family); name;          \
		     name = next_verb(name, &name##_family))

static bool is_first_of_noun(const struct verb *verb)
{
	VERBS_EACH(each)
	{
		if (each == verb)
			return true;
		if (!strcmp(each->noun, verb->noun))
			return false;
	}
	return false;
}

static void list_nouns(struct text *to)
{
	VERBS_EACH(verb)
	if (is_first_of_noun(verb))
		text_printf(to, "%s%s", to->len ? ", " : "", verb->noun);
}

static void list_actions(const char *noun, const char *between, struct text *to)
{
	VERBS_EACH(verb)
	if (!strcmp(verb->noun, noun) && verb->action)
		text_printf(to, "%s%s", to->len ? between : "", verb->action);
}

static bool noun_exists(const char *noun)
{
	VERBS_EACH(verb)
	if (!strcmp(verb->noun, noun))
		return true;
	return false;
}

static void refuse(struct ota_why *why, const char *before, const char *what, const char *after,
		   const struct text *allowed)
{
	enum ota_err err = ota_fail(why, OTA_BAD_REQUEST, "%s'%s'%s %s", before, what, after,
				    allowed->data ? allowed->data : "nothing");

	(void)err;
}

const struct verb *verb_find(const char *const *words, unsigned count, unsigned *ret_used,
			     struct ota_why *why)
{
	const char *noun = count ? words[0] : "", *action = count > 1 ? words[1] : "";
	struct text allowed = {0};

	VERBS_EACH(verb)
	{
		if (strcmp(verb->noun, noun) != 0 ||
		    (verb->action && strcmp(verb->action, action)))
			continue;
		*ret_used = verb->action ? 2 : 1;
		return verb;
	}
	if (!noun_exists(noun)) {
		list_nouns(&allowed);
		refuse(why, "there is no verb ", noun, "; allowed are", &allowed);
	} else {
		list_actions(noun, ", ", &allowed);
		if (*action)
			refuse(why, "no such thing to do: ", action, "; allowed are", &allowed);
		else
			refuse(why, "", noun, " wants one of", &allowed);
	}
	text_done(&allowed);
	return NULL;
}

static int name_width(const struct verb *verb)
{
	return (int)(strlen(verb->noun) + (verb->action ? strlen(verb->action) + 1 : 0));
}

static void print_name(const struct verb *verb, FILE *to)
{
	fprintf(to, "%s%s%s", verb->noun, verb->action ? " " : "",
		verb->action ? verb->action : "");
}

static void print_line(const struct verb *verb, FILE *to)
{
	const int width = 23;

	fprintf(to, "  ");
	print_name(verb, to);
	fprintf(to, "%*s%s\n", width > name_width(verb) ? width - name_width(verb) : 1, "",
		verb->help);
}

void verb_print_all(FILE *to)
{
	fprintf(to, "usage: otactl VERB [OPTION …]\n\n");
	VERBS_EACH(verb)
	print_line(verb, to);
	fprintf(to,
		"\n`otactl VERB --help` shows what a verb takes. These every verb takes:\n\n");
	for (const struct verb_option *each = verb_global_options; each->name; each++)
		fprintf(to, "  --%-*s%s\n", 21,
			each->value && strcmp(each->name, "broker") ? each->name : each->name,
			each->help);
}

void verb_print_noun(const char *noun, FILE *to)
{
	fprintf(to, "usage: otactl %s …\n\n", noun);
	VERBS_EACH(verb)
	if (!strcmp(verb->noun, noun))
		print_line(verb, to);
}

static void print_options(const struct verb_option *options, FILE *to)
{
	const struct verb_option *each;
	char head[64];

	for (each = options; each && each->name; each++) {
		snprintf(head, sizeof(head), "--%s%s%s", each->name, each->value ? " " : "",
			 each->value ? each->value : "");
		fprintf(to, "  %-30s %s%s%s\n", head, each->help,
			each->required ? " (required)" : "",
			each->many ? " (several times)" : "");
	}
}

void verb_print_one(const struct verb *verb, FILE *to)
{
	fprintf(to, "usage: otactl ");
	print_name(verb, to);
	fprintf(to, "%s%s [OPTION …]\n\n%s.\n", *verb->words ? " " : "", verb->words,
		verb->help);
	if (verb->options && verb->options->name) {
		fprintf(to, "\n");
		print_options(verb->options, to);
	}
	fprintf(to, "\nEvery verb takes:\n\n");
	print_options(verb_global_options, to);
}

static void complete_options(const struct verb_option *options, FILE *to)
{
	const struct verb_option *each;

	for (each = options; each && each->name; each++)
		fprintf(to, " --%s", each->name);
}

static void complete_choices(const struct verb_option *options, FILE *to)
{
	const struct verb_option *each;
	const char *c;

	for (each = options; each && each->name; each++) {
		if (!each->value || !strchr(each->value, '|'))
			continue;
		fprintf(to, "\t\t*' --%s') COMPREPLY=($(compgen -W '", each->name);
		for (c = each->value; *c; c++)
			fputc(*c == '|' ? ' ' : *c, to);
		fprintf(to, "' -- \"$cur\")); return ;;\n");
	}
}

void verb_print_completion(FILE *to)
{
	fprintf(to, "# bash completion of otactl; made by `otactl completion`\n"
		    "_otactl() {\n"
		    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
		    "\tlocal verb=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n"
		    "\tcase \"$verb $prev\" in\n"
		    "\t\t*' --'config|*' --'ca|*' --'cert|*' --'key) "
		    "COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n");
	VERBS_EACH(choice)
	complete_choices(choice->options, to);
	fprintf(to, "\tesac\n\tif [ \"$COMP_CWORD\" = 1 ]; then\n"
		    "\t\tCOMPREPLY=($(compgen -W '");
	VERBS_EACH(noun)
	if (is_first_of_noun(noun))
		fprintf(to, " %s", noun->noun);
	fprintf(to, "' -- \"$cur\")); return\n\tfi\n\tcase \"$verb\" in\n");
	VERBS_EACH(verb)
	{
		fprintf(to, "\t\t'");
		print_name(verb, to);
		fprintf(to, " '*|'");
		print_name(verb, to);
		fprintf(to, "') [ \"$COMP_CWORD\" -gt %d ] && { COMPREPLY=($(compgen -W '",
			verb->action ? 2 : 1);
		complete_options(verb->options, to);
		complete_options(verb_global_options, to);
		fprintf(to, "' -- \"$cur\") $(compgen -f -- \"$cur\")); return; } ;;\n");
	}
	fprintf(to, "\tesac\n\tcase \"${COMP_WORDS[1]}\" in\n");
	VERBS_EACH(family)
	{
		struct text actions = {0};

		if (!family->action || !is_first_of_noun(family))
			continue;
		list_actions(family->noun, " ", &actions);
		fprintf(to, "\t\t%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n",
			family->noun, actions.data ? actions.data : "");
		text_done(&actions);
	}
	fprintf(to, "\tesac\n}\ncomplete -F _otactl otactl\n");
}

static void manual_options(const struct verb_option *options, FILE *to)
{
	const struct verb_option *each;

	if (!options || !options->name)
		return;
	fprintf(to, ".Bl -tag -width Ds -compact\n");
	for (each = options; each->name; each++) {
		fprintf(to, ".It Fl \\&-%s", each->name);
		if (each->value)
			fprintf(to, " Ar %s", each->value);
		fprintf(to, "\n%s%s%s.\n", each->help, each->required ? " (required)" : "",
			each->many ? " (several times)" : "");
	}
	fprintf(to, ".El\n");
}

void verb_print_manual(FILE *to)
{
	fprintf(to, ".Sh OPTIONS OF EVERY VERB\n");
	manual_options(verb_global_options, to);
	fprintf(to, ".Sh VERBS\n.Bl -tag -width Ds\n");
	VERBS_EACH(verb)
	{
		fprintf(to, ".It Cm ");
		print_name(verb, to);
		fprintf(to, "%s%s\n%s.\n", *verb->words ? " Ar " : "", verb->words, verb->help);
		manual_options(verb->options, to);
	}
	fprintf(to, ".El\n");
}
