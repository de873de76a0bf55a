/*
 * Reading the configuration. The file's syntax is libinih's; what keys there
 * are and what they may hold is the table in config.h.
 */
#include "daemon/ops/config_private.h"
#include "daemon/ops/log_sink.h"
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct sb_config_key sb_config_keys[SB_CONFIG_KEY_COUNT] = {
#define KEY(section, key, kind, changes, field, fallback, min, max, unit, what) \
	{#section, #key, kind, changes, offsetof(struct sb_config, field),      \
	 fallback, min,	 max,  unit,	what},
	SB_CONFIG_KEYS(KEY)
#undef KEY
};

/* One reading: what is being read, and what was wrong so far. */
struct reading {
	struct sb_config *config;
	const char *file;
	FILE *errors;
	int problems;
	bool seen[SB_CONFIG_KEY_COUNT]; /* in the file, to find what stands there twice */
};

void *sb_config_field(const struct sb_config *config, const struct sb_config_key *key)
{
	return (char *)(uintptr_t)config + key->offset;
}

bool sb_config_is_text(const struct sb_config_key *key)
{
	return key->kind == TEXT || key->kind == NEEDED;
}

static const struct sb_config_key *find_key(const char *section, const char *name)
{
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		if (!strcmp(sb_config_keys[i].section, section) &&
		    !strcmp(sb_config_keys[i].key, name))
			return &sb_config_keys[i];
	}
	return NULL;
}

int sb_config_set_text(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* 0, -EINVAL or -ENOMEM. */
static int set_value(struct sb_config *config, const struct sb_config_key *key, const char *value)
{
	void *field = sb_config_field(config, key);
	char *end;
	unsigned long number;

	switch (key->kind) {
	case TEXT:
	case NEEDED:
		return sb_config_set_text(field, value);
	case NUMBER:
		if (!isdigit((unsigned char)*value))
			return -EINVAL;
		errno = 0;
		number = strtoul(value, &end, 10);
		if (errno || *end || number < key->min || number > key->max)
			return -EINVAL;
		*(uint32_t *)field = (uint32_t)number;
		return 0;
	case LEVEL:
		return sb_log_level_parse(value, (enum sb_log_level *)field);
	case FORMAT:
		return sb_log_format_parse(value, (enum sb_log_format *)field);
	}
	return -EINVAL;
}

/* A value from anywhere: `where` names the place in the error. */
static void take_value(struct reading *reading, const char *where, const struct sb_config_key *key,
		       const char *value)
{
	int result = set_value(reading->config, key, value);

	if (result == 0)
		result = sb_config_set_text(&reading->config->places[key - sb_config_keys], where);
	if (result == 0)
		return;
	reading->problems++;
	if (result == -ENOMEM)
		(void)fprintf(reading->errors, "%s: out of memory\n", where);
	else if (key->kind == NUMBER)
		(void)fprintf(reading->errors,
			      "%s: [%s] %s = %s: must be a whole number from %u to %u %s (default "
			      "%s): %s\n",
			      where, key->section, key->key, value, key->min, key->max, key->unit,
			      key->fallback, key->what);
	else
		(void)fprintf(reading->errors, "%s: [%s] %s = %s: must be one of: %s\n", where,
			      key->section, key->key, value, key->what);
}

/* ---- the file ---- */

static void unknown_key(struct reading *reading, const char *where, const char *section,
			const char *name)
{
	const char *separator = "";
	bool known_section = false;

	reading->problems++;
	if (!*section) {
		(void)fprintf(reading->errors, "%s: %s stands before any [section]\n", where, name);
		return;
	}
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++)
		known_section |= !strcmp(sb_config_keys[i].section, section);
	if (!known_section) {
		(void)fprintf(reading->errors,
			      "%s: [%s] %s: there is no section [%s]; there are:", where, section,
			      name, section);
		for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
			if (!i || strcmp(sb_config_keys[i].section, sb_config_keys[i - 1].section))
				(void)fprintf(reading->errors, " [%s]", sb_config_keys[i].section);
		}
		(void)fprintf(reading->errors, "\n");
		return;
	}
	(void)fprintf(reading->errors, "%s: [%s] %s: no such key; there are: ", where, section,
		      name);
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		if (strcmp(sb_config_keys[i].section, section))
			continue;
		(void)fprintf(reading->errors, "%s%s", separator, sb_config_keys[i].key);
		separator = ", ";
	}
	(void)fprintf(reading->errors, "\n");
}

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
	struct reading *reading;
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

static void continue_text(struct reading *reading, const char *where,
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
	struct reading *reading = reader->reading;
	const struct sb_config_key *key = find_key(section, name);
	char where[512];

	(void)snprintf(where, sizeof(where), "%s:%d", reading->file, reader->line);
	if (!key && reader->continues && reader->unknown) {
		return 1; /* more of what was told already */
	}
	reader->unknown = !key;
	if (!key) {
		unknown_key(reading, where, section, name);
	} else if (reading->seen[key - sb_config_keys] && reader->continues &&
		   (key->kind == TEXT || key->kind == NEEDED)) {
		continue_text(reading, where, key, value);
	} else if (reading->seen[key - sb_config_keys]) {
		reading->problems++;
		(void)fprintf(reading->errors, "%s: [%s] %s: stands here a second time\n", where,
			      section, name);
	} else {
		reading->seen[key - sb_config_keys] = true;
		take_value(reading, where, key, value);
	}
	return 1;
}

static void read_file(struct reading *reading, const char *file)
{
	struct line_reader reader = {.reading = reading};
	int result;

	if (!file) {
		if (access(SB_CONFIG_FILE, F_OK) != 0)
			return;
		file = SB_CONFIG_FILE;
	}
	reading->file = file;
	reader.file = fopen(file, "re");
	if (!reader.file) {
		reading->problems++;
		(void)fprintf(reading->errors, "%s: cannot be read: %s\n", file, strerror(errno));
		return;
	}
	result = ini_parse_stream(read_line, &reader, on_entry, &reader);
	(void)fclose(reader.file);
	if (result != 0) {
		reading->problems++;
		(void)fprintf(reading->errors,
			      "%s:%d: neither [section], key = value nor # comment\n", file,
			      result);
	}
}

/* ---- environment and command line ---- */

static void environment_name(const struct sb_config_key *key, char buffer[64])
{
	(void)snprintf(buffer, 64, "SLOTBELL_%s_%s", key->section, key->key);
	for (char *c = buffer; *c; c++)
		*c = (char)toupper((unsigned char)*c);
}

static void read_environment(struct reading *reading)
{
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		char name[64];
		const char *value;

		environment_name(&sb_config_keys[i], name);
		value = getenv(name);
		if (value)
			take_value(reading, name, &sb_config_keys[i], value);
	}
}

static void read_setting(struct reading *reading, const char *setting)
{
	const char *dot = strchr(setting, '.'), *equals = dot ? strchr(dot, '=') : NULL;
	char section[32], name[64];
	const struct sb_config_key *key;

	if (!equals || (size_t)(dot - setting) >= sizeof(section) ||
	    (size_t)(equals - dot) > sizeof(name)) {
		reading->problems++;
		(void)fprintf(reading->errors, "--set %s: not section.key=value\n", setting);
		return;
	}
	(void)snprintf(section, sizeof(section), "%.*s", (int)(dot - setting), setting);
	(void)snprintf(name, sizeof(name), "%.*s", (int)(equals - dot - 1), dot + 1);
	key = find_key(section, name);
	if (key)
		take_value(reading, "--set", key, equals + 1);
	else
		unknown_key(reading, "--set", section, name);
}

/* ---- the whole ---- */

static void check_needed(struct reading *reading)
{
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		char name[64];

		if (sb_config_keys[i].kind != NEEDED ||
		    **(char **)sb_config_field(reading->config, &sb_config_keys[i]))
			continue;
		reading->problems++;
		environment_name(&sb_config_keys[i], name);
		(void)fprintf(reading->errors, "%s: [%s] %s is missing: %s (or set %s)\n",
			      reading->file ? reading->file : "configuration",
			      sb_config_keys[i].section, sb_config_keys[i].key,
			      sb_config_keys[i].what, name);
	}
}

int sb_config_read(struct sb_config *ret_config, const char *file, const char *const *settings,
		   size_t count, FILE *errors)
{
	struct reading reading = {.config = ret_config, .errors = errors};

	memset(ret_config, 0, sizeof(*ret_config));
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		if (set_value(ret_config, &sb_config_keys[i], sb_config_keys[i].fallback) != 0)
			return -ENOMEM;
	}
	read_file(&reading, file);
	read_environment(&reading);
	for (size_t i = 0; i < count; i++)
		read_setting(&reading, settings[i]);
	check_needed(&reading);
	return reading.problems;
}

const char *sb_config_place(const struct sb_config *config, const char *name)
{
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		const struct sb_config_key *key = &sb_config_keys[i];
		size_t len = strlen(key->section);

		if (!strncmp(name, key->section, len) && name[len] == '.' &&
		    !strcmp(name + len + 1, key->key) && config->places[i])
			return config->places[i];
	}
	return "default";
}

void sb_config_fini(struct sb_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		free(config->places[i]);
		config->places[i] = NULL;
		if (sb_config_is_text(&sb_config_keys[i])) {
			char **text = sb_config_field(config, &sb_config_keys[i]);

			free(*text);
			*text = NULL;
		}
	}
}
