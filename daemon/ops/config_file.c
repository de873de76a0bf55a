/*
 * The configuration's file. Its syntax is libinih's, which says little of what
 * is wrong with a file; so its lines are looked at on their way to it.
 */
#include "daemon/ops/config_private.h"
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/*
 * The file's lines on their way to libinih, which tells no line numbers as
 * Debian builds it, cuts lines at 199 characters without a word, and of lines
 * that are none of its own tells the first. So lines are counted and looked at
 * here; a value that needs more room goes on in the next line, indented.
 */
struct line_reader {
	FILE *file;
	int line;
	bool continues; /* the line begins with a blank */
	bool has_key;	/* the section has one so far, so that such a line goes on with it */
	bool unknown;	/* that key is not known */
	struct sb_config_reading *reading;
};

/* Whether `key = value` stands there: what follows a blank and ";" is a comment. */
static bool has_equals(const char *text)
{
	for (const char *c = text; *c; c++) {
		if (*c == '=' || *c == ':')
			return true;
		if (*c == ';' && c > text && isspace((unsigned char)c[-1]))
			return false;
	}
	return false;
}

/* Whether libinih will know what this line is. */
static bool is_understood(struct line_reader *reader, const char *line)
{
	if (reader->line == 1 && !strncmp(line, "\xEF\xBB\xBF", 3))
		line += 3; /* the mark of an editor that takes UTF-8 for UTF-16's cousin */
	line += strspn(line, " \t\r\n");
	if (!*line || *line == '#' || *line == ';' || (reader->continues && reader->has_key))
		return true;
	reader->has_key = *line != '[';
	return *line == '[' ? strchr(line, ']') != NULL : has_equals(line);
}

static void complain_of_line(const struct line_reader *reader, const char *words)
{
	reader->reading->problems++;
	(void)fprintf(reader->reading->errors, "%s:%d: %s\n", reader->reading->file, reader->line,
		      words);
}

static char *read_line(char *buffer, int size, void *data)
{
	struct line_reader *reader = data;
	char *line = fgets(buffer, size, reader->file), words[128];
	bool whole;
	int c;

	if (!line)
		return NULL;
	whole = strchr(line, '\n') || feof(reader->file);
	reader->line++;
	reader->continues = *line == ' ' || *line == '\t';
	if (!is_understood(reader, line)) {
		complain_of_line(reader, "neither [section], key = value nor # comment");
		*line = '\0'; /* libinih takes it for an empty one */
	}
	if (whole)
		return line;
	do
		c = fgetc(reader->file);
	while (c != '\n' && c != EOF);
	(void)snprintf(words, sizeof(words),
		       "longer than %d characters; go on in the next line, indented: the parts "
		       "are joined",
		       size - 2);
	complain_of_line(reader, words);
	return line;
}

static void continue_text(struct sb_config_reading *reading, const char *where,
			  const struct sb_config_key *key, const char *more)
{
	char **field = sb_config_field(reading->config, key);
	char *joined;

	if (asprintf(&joined, "%s%s", *field, more) < 0) {
		reading->problems++;
		(void)fprintf(reading->errors, "%s: out of memory\n", where);
		return;
	}
	free(*field);
	*field = joined;
}

static int on_entry(void *data, const char *section, const char *name, const char *value)
{
	struct line_reader *reader = data;
	struct sb_config_reading *reading = reader->reading;
	const struct sb_config_key *key = sb_config_find_key(section, name);
	char where[512];

	(void)snprintf(where, sizeof(where), "%s:%d", reading->file, reader->line);
	if (!key && reader->continues && reader->unknown) {
		return 1; /* more of what was told already */
	}
	reader->unknown = !key;
	if (!key) {
		/* It may be the rest of a URL that was cut into two lines, and begin with a
		 * part of the password. */
		sb_config_unknown_key(reading, where, section,
				      strcmp(section, "database") ? name : "?");
	} else if (reading->seen[key - sb_config_keys] && reader->continues &&
		   (key->kind == TEXT || key->kind == NEEDED)) {
		continue_text(reading, where, key, value);
	} else if (reading->seen[key - sb_config_keys]) {
		reading->problems++;
		(void)fprintf(reading->errors, "%s: [%s] %s: stands here a second time\n", where,
			      section, name);
	} else {
		reading->seen[key - sb_config_keys] = true;
		sb_config_take_value(reading, where, key, value);
	}
	return 1;
}

void sb_config_read_stream(struct sb_config_reading *reading, const char *file, FILE *stream)
{
	struct line_reader reader = {.file = stream, .reading = reading};
	int result;

	reading->file = file;
	result = ini_parse_stream(read_line, &reader, on_entry, &reader);
	(void)fclose(stream);
	if (result != 0) {
		reading->problems++;
		(void)fprintf(reading->errors,
			      "%s:%d: neither [section], key = value nor # comment\n", file,
			      result);
	}
}

void sb_config_read_file(struct sb_config_reading *reading, const char *file)
{
	FILE *stream;

	if (!file) {
		if (access(SB_CONFIG_FILE, F_OK) != 0)
			return;
		file = SB_CONFIG_FILE;
	}
	reading->file = file;
	stream = fopen(file, "re");
	if (stream) {
		sb_config_read_stream(reading, file, stream);
		return;
	}
	reading->problems++;
	(void)fprintf(reading->errors, "%s: cannot be read: %s\n", file, strerror(errno));
}
