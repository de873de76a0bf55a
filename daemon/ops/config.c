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

#define KEY_COUNT (sizeof(sb_config_keys) / sizeof(*sb_config_keys))

const struct sb_config_key sb_config_keys[] = {
#define KEY(section, key, kind, changes, field, fallback, min, max, what)  \
	{#section, #key, kind, changes, offsetof(struct sb_config, field), \
	 fallback, min,	 max,  what},
	SB_CONFIG_KEYS(KEY)
#undef KEY
};

const size_t sb_config_key_count = KEY_COUNT;

/* One reading: what is being read, and what was wrong so far. */
struct reading {
	struct sb_config *config;
	const char *file;
	FILE *errors;
	int problems;
	bool seen[KEY_COUNT]; /* in the file, to find what stands there twice */
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
	for (size_t i = 0; i < KEY_COUNT; i++) {
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
		return;
	reading->problems++;
	if (result == -ENOMEM)
		(void)fprintf(reading->errors, "%s: out of memory\n", where);
	else if (key->kind == NUMBER)
		(void)fprintf(
			reading->errors,
			"%s: [%s] %s = %s: must be a whole number from %u to %u (default %s): %s\n",
			where, key->section, key->key, value, key->min, key->max, key->fallback,
			key->what);
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
	for (size_t i = 0; i < KEY_COUNT; i++)
		known_section |= !strcmp(sb_config_keys[i].section, section);
	if (!known_section) {
		(void)fprintf(reading->errors,
			      "%s: [%s] %s: there is no section [%s]; there are:", where, section,
			      name, section);
		for (size_t i = 0; i < KEY_COUNT; i++) {
			if (!i || strcmp(sb_config_keys[i].section, sb_config_keys[i - 1].section))
				(void)fprintf(reading->errors, " [%s]", sb_config_keys[i].section);
		}
		(void)fprintf(reading->errors, "\n");
		return;
	}
	(void)fprintf(reading->errors, "%s: [%s] %s: no such key; there are: ", where, section,
		      name);
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (strcmp(sb_config_keys[i].section, section))
			continue;
		(void)fprintf(reading->errors, "%s%s", separator, sb_config_keys[i].key);
		separator = ", ";
	}
	(void)fprintf(reading->errors, "\n");
}

/*
 * The file's lines on their way to libinih, which tells no line numbers as
 * Debian builds it and cuts lines at 199 characters without a word. So lines
 * are counted here, a longer one is an error, and a value that needs more
 * room goes on in the next line, indented.
 */
struct line_reader {
	FILE *file;
	int line;
	bool continues; /* the line begins with a blank */
	struct reading *reading;
};

static char *read_line(char *buffer, int size, void *data)
{
	struct line_reader *reader = data;
	char *line = fgets(buffer, size, reader->file);
	int c;

	if (!line)
		return NULL;
	reader->line++;
	reader->continues = *line == ' ' || *line == '\t';
	if (strchr(line, '\n') || feof(reader->file))
		return line;
	do
		c = fgetc(reader->file);
	while (c != '\n' && c != EOF);
	reader->reading->problems++;
	(void)fprintf(reader->reading->errors,
		      "%s:%d: longer than %d characters; go on in the next line, indented: the "
		      "parts are joined\n",
		      reader->reading->file, reader->line, size - 2);
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
	for (size_t i = 0; i < KEY_COUNT; i++) {
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
	for (size_t i = 0; i < KEY_COUNT; i++) {
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
	for (size_t i = 0; i < KEY_COUNT; i++) {
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

void sb_config_fini(struct sb_config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (sb_config_is_text(&sb_config_keys[i])) {
			char **text = sb_config_field(config, &sb_config_keys[i]);

			free(*text);
			*text = NULL;
		}
	}
}
