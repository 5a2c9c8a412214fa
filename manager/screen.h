/* What the user sees: tables, records, lines, bars. Everything that came from the wire is made
 * harmless before it is printed; colours and cursor movements go to terminals only. */
#pragma once

#include "view.h"

#include <stdio.h>

#define SCREEN_COLUMNS_MAX 16
#define SCREEN_FIGURE_SIZE 32 /* a number with its unit */

struct screen {
	FILE *out;
	bool terminal; /* out is one that can move its cursor */
	bool colour;
	bool json;
	unsigned width; /* of the terminal; 0: endless */
	uint64_t now;	/* wall clock in seconds, for ages */
};

enum screen_kind {
	SCREEN_TEXT = 0,
	SCREEN_NUMBER,
	SCREEN_BYTES,  /* 1.9 MiB */
	SCREEN_AGE,    /* Unix seconds → "3 min ago"; 0 → "never" */
	SCREEN_AGE_MS, /* the same of milliseconds */
	SCREEN_TIME,   /* Unix seconds → 2026-01-31 12:00:00Z; 0 → "-" */
	SCREEN_TIME_MS,
	SCREEN_STATE, /* coloured by its meaning */
	SCREEN_YES,   /* yes or - */
	SCREEN_LIST,  /* an array's texts, or an object's {name: number} pairs */
	SCREEN_SHORT, /* the first 12 digits of a digest */
	SCREEN_ERROR, /* an error number: its name, or "allowed" */
	SCREEN_WHEN,  /* Unix seconds to come → "in 3 min 00 s" */
	SCREEN_CODE,  /* a number of which 0 means none */
	SCREEN_SHARE, /* of ten thousand → 12.5 % */
};

struct screen_column {
	const char *title; /* NULL ends the list */
	const char *path;  /* in the element; "" the element itself */
	enum screen_kind kind;
};

void screen_init(struct screen *screen, FILE *out, bool json, bool plain);

/* Prints rows under titles; `none` is said when there are none. On a terminal too narrow the
 * widest text columns are cut. */
struct screen_table;
enum ota_err screen_table_new(const struct screen_column *columns,
			      struct screen_table **ret_table, struct ota_why *why) OTA_CHECKED;
enum ota_err screen_table_add(struct screen *screen, struct screen_table *table,
			      const struct view *element, struct ota_why *why) OTA_CHECKED;
void screen_table_print(struct screen *screen, const struct screen_table *table,
			const char *none);
size_t screen_table_rows(const struct screen_table *table);
void screen_table_free(struct screen_table *table);
void screen_table_free_place(struct screen_table **place);

/* "title  value" lines; what is absent or empty is left out. */
void screen_record(struct screen *screen, const struct screen_column *columns,
		   const struct view *element);
/* One formatted value, harmless and without colour; the caller's buffer. */
void screen_format(const struct screen *screen, enum screen_kind kind, const struct view *value,
		   char *ret_text, size_t size);
/* A value's text, harmless; for what is printed between other things. The buffer is the
 * caller's scratch and what is returned. */
#define SCREEN_WORD_SIZE 160
const char *screen_word(const struct view *value, char scratch[SCREEN_WORD_SIZE]);
/* Text in the colour of the state's meaning, or as it is. */
void screen_state(const struct screen *screen, const char *state, FILE *out);
void screen_bytes(uint64_t bytes, char ret_text[SCREEN_FIGURE_SIZE]);
void screen_duration(uint64_t seconds, char ret_text[SCREEN_FIGURE_SIZE]);
/* Bold on terminals. */
void screen_heading(const struct screen *screen, const char *text);
/* "✓ text" in green, "! text" in yellow, "✗ text" in red. */
enum screen_mark { SCREEN_GOOD, SCREEN_NOTE, SCREEN_BAD };
void screen_line(const struct screen *screen, enum screen_mark mark, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A bar for one long task, with rate and time to go: on a terminal it redraws itself at most
 * ten times a second, elsewhere it prints one line at the end. */
struct screen_bar {
	struct screen *screen;
	const char *what;
	uint64_t total, started_ms, drawn_ms, first; /* first: done when it began (a resume) */
	bool bytes;
};
void screen_bar_start(struct screen_bar *bar, struct screen *screen, const char *what,
		      uint64_t total, bool bytes);
void screen_bar_show(struct screen_bar *bar, uint64_t done);
void screen_bar_end(struct screen_bar *bar, uint64_t done);
