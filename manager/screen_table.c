#include "screen.h"

#include "own.h"

#include <string.h>
#include <wchar.h>

#define CELL_MAX   256
#define CELL_LEAST 8 /* a text column is not cut below this */

struct row {
	char *cells[SCREEN_COLUMNS_MAX];
};

struct screen_table {
	const struct screen_column *columns;
	unsigned column_count;
	unsigned width[SCREEN_COLUMNS_MAX];
	struct row *rows;
	size_t count, room;
};

/* Columns that text takes on a terminal: code points; combining and wide ones are rare in what
 * is shown here, and sanitised text has no control characters. */
static unsigned text_width(const char *text)
{
	unsigned width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

enum ota_err screen_table_new(const struct screen_column *columns,
			      struct screen_table **ret_table, struct ota_why *why)
{
	struct screen_table *table = calloc(1, sizeof(*table));
	const struct screen_column *each;

	if (!table)
		return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a table");
	table->columns = columns;
	for (each = columns; each->title && table->column_count < SCREEN_COLUMNS_MAX; each++)
		table->width[table->column_count++] = text_width(each->title);
	*ret_table = table;
	return OTA_OK;
}

enum ota_err screen_table_add(struct screen *screen, struct screen_table *table,
			      const struct view *element, struct ota_why *why)
{
	char text[CELL_MAX];
	struct row *row;
	unsigned i;

	if (table->count == table->room) {
		size_t room = table->room ? 2 * table->room : 64;
		struct row *rows = reallocarray(table->rows, room, sizeof(*rows));

		if (!rows)
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a table");
		table->rows = rows;
		table->room = room;
	}
	row = &table->rows[table->count++];
	memset(row, 0, sizeof(*row));
	for (i = 0; i < table->column_count; i++) {
		screen_format(screen, table->columns[i].kind,
			      view_at(element, table->columns[i].path), text, sizeof(text));
		row->cells[i] = strdup(text);
		if (!row->cells[i])
			return ota_fail(why, OTA_OUT_OF_MEMORY, "no memory for a table");
		if (text_width(text) > table->width[i])
			table->width[i] = text_width(text);
	}
	return OTA_OK;
}

static bool is_right(enum screen_kind kind)
{
	return kind == SCREEN_NUMBER || kind == SCREEN_BYTES || kind == SCREEN_SHARE ||
	       kind == SCREEN_CODE;
}

/* Cuts the widest text columns until the table fits. */
static void fit(const struct screen *screen, const struct screen_table *table,
		unsigned width[SCREEN_COLUMNS_MAX])
{
	unsigned i, sum = 0;

	memcpy(width, table->width, sizeof(table->width));
	for (i = 0; i < table->column_count; i++)
		sum += width[i] + 2;
	while (screen->width && sum > screen->width + 2) {
		unsigned widest = SCREEN_COLUMNS_MAX;

		for (i = 0; i < table->column_count; i++)
			if ((table->columns[i].kind == SCREEN_TEXT ||
			     table->columns[i].kind == SCREEN_LIST) &&
			    width[i] > CELL_LEAST &&
			    (widest == SCREEN_COLUMNS_MAX || width[i] > width[widest]))
				widest = i;
		if (widest == SCREEN_COLUMNS_MAX)
			return;
		width[widest]--;
		sum--;
	}
}

/* The text, cut to the width with an ellipsis, without padding; returns the columns it took. */
static unsigned print_cut(const char *text, unsigned width, FILE *out)
{
	unsigned all = text_width(text), keep = all > width ? width - 1 : all, seen = 0;

	for (; *text; text++) {
		seen += ((unsigned char)*text & 0xc0) != 0x80;
		if (seen > keep)
			break;
		fputc(*text, out);
	}
	if (all > width)
		fputs("…", out);
	return all > width ? width : all;
}

/* `gap`: blanks still to be printed, if anything follows: no line ends with blanks. */
static void print_cell(const struct screen *screen, enum screen_kind kind, const char *text,
		       unsigned width, unsigned *gap)
{
	unsigned taken = text_width(text);
	unsigned pad = taken < width ? width - taken : 0;

	if (is_right(kind))
		*gap += pad;
	if (*text) {
		fprintf(screen->out, "%*s", (int)*gap, "");
		*gap = 0;
	}
	if (kind == SCREEN_STATE || kind == SCREEN_ERROR)
		screen_state(screen, text, screen->out);
	else
		print_cut(text, width, screen->out);
	if (!is_right(kind))
		*gap += pad;
	*gap += 2;
}

static void print_row(const struct screen *screen, const struct screen_table *table,
		      const struct row *row, const unsigned *width)
{
	unsigned gap = 0, i;

	for (i = 0; i < table->column_count; i++)
		print_cell(screen, table->columns[i].kind, row->cells[i], width[i], &gap);
	fputc('\n', screen->out);
}

static void print_titles(const struct screen *screen, const struct screen_table *table,
			 const unsigned *width)
{
	unsigned gap = 0, i;

	fputs(screen->colour ? "\033[1m" : "", screen->out);
	for (i = 0; i < table->column_count; i++)
		print_cell(screen,
			   is_right(table->columns[i].kind) ? SCREEN_NUMBER : SCREEN_TEXT,
			   table->columns[i].title, width[i], &gap);
	fputs(screen->colour ? "\033[0m\n" : "\n", screen->out);
}

void screen_table_print(struct screen *screen, const struct screen_table *table,
			const char *none)
{
	unsigned width[SCREEN_COLUMNS_MAX];
	size_t row;

	if (!table->count) {
		fprintf(screen->out, "%s\n", none);
		return;
	}
	fit(screen, table, width);
	print_titles(screen, table, width);
	for (row = 0; row < table->count; row++)
		print_row(screen, table, &table->rows[row], width);
}

size_t screen_table_rows(const struct screen_table *table)
{
	return table->count;
}

void screen_table_free(struct screen_table *table)
{
	size_t row;
	unsigned i;

	if (!table)
		return;
	for (row = 0; row < table->count; row++)
		for (i = 0; i < table->column_count; i++)
			free(table->rows[row].cells[i]);
	free(table->rows);
	free(table);
}

void screen_table_free_place(struct screen_table **place)
{
	screen_table_free(*place);
}
