/*
 * Reading the configuration: default, file (config_file.c), environment, command
 * line. What keys there are and what they may hold is the table in config.h.
 */
#include "daemon/ops/config_private.h"
#include "daemon/ops/log_sink.h"
#include <ctype.h>
#include <errno.h>
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

void *sb_config_field(const struct sb_config *config, const struct sb_config_key *key)
{
	return (char *)(uintptr_t)config + key->offset;
}

bool sb_config_is_text(const struct sb_config_key *key)
{
	return key->kind == TEXT || key->kind == NEEDED;
}

const struct sb_config_key *sb_config_find_key(const char *section, const char *name)
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
void sb_config_take_value(struct sb_config_reading *reading, const char *where,
			  const struct sb_config_key *key, const char *value)
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

static bool is_section(const char *name)
{
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		if (!strcmp(sb_config_keys[i].section, name))
			return true;
	}
	return false;
}

const char *sb_config_shown(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_.-";

	return name[strspn(name, letters)] ? "(no name)" : name;
}

void sb_config_unknown_key(struct sb_config_reading *reading, const char *where,
			   const char *section, const char *name)
{
	const char *separator = "";

	reading->problems++;
	section = sb_config_shown(section);
	name = sb_config_shown(name);
	if (!*section) {
		(void)fprintf(reading->errors, "%s: %s stands before any [section]\n", where, name);
		return;
	}
	if (!is_section(section)) {
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

/* ---- environment and command line ---- */

static void environment_name(const struct sb_config_key *key, char buffer[64])
{
	(void)snprintf(buffer, 64, "SLOTBELL_%s_%s", key->section, key->key);
	for (char *c = buffer; *c; c++)
		*c = (char)toupper((unsigned char)*c);
}

/* As Kubernetes sets them for a service named slotbell-database: ..._SERVICE_HOST,
 * ..._PORT_5432_TCP. */
static bool is_of_kubernetes(const char *name)
{
	const char *port = strstr(name, "_PORT");

	return strstr(name, "_SERVICE_") || (port && (!port[5] || port[5] == '_'));
}

/* A variable that begins as those of a section do, and is none of its keys'. */
static void check_variable(struct sb_config_reading *reading, const char *variable)
{
	char name[128], section[128], *key;
	size_t len = strcspn(variable, "=");

	if (strncmp(variable, "SLOTBELL_", strlen("SLOTBELL_")) != 0 || len >= sizeof(name))
		return;
	(void)snprintf(name, sizeof(name), "%.*s", (int)len, variable);
	(void)snprintf(section, sizeof(section), "%s", name + strlen("SLOTBELL_"));
	for (char *c = section; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	key = strchr(section, '_');
	if (!key || is_of_kubernetes(name))
		return;
	*key++ = '\0';
	if (is_section(section) && !sb_config_find_key(section, key))
		sb_config_unknown_key(reading, name, section, key);
}

static void read_environment(struct sb_config_reading *reading)
{
	for (char **variable = environ; variable && *variable; variable++)
		check_variable(reading, *variable);

	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		char name[64];
		const char *value;

		environment_name(&sb_config_keys[i], name);
		value = getenv(name);
		if (value)
			sb_config_take_value(reading, name, &sb_config_keys[i], value);
	}
}

static void read_setting(struct sb_config_reading *reading, const char *setting)
{
	const char *dot = strchr(setting, '.'), *equals = dot ? strchr(dot, '=') : NULL;
	char section[32], name[64];
	const struct sb_config_key *key;

	if (!equals || (size_t)(dot - setting) >= sizeof(section) ||
	    (size_t)(equals - dot) > sizeof(name)) {
		reading->problems++;
		(void)fprintf(reading->errors, "--set %s: not section.key=value\n",
			      sb_config_shown(setting));
		return;
	}
	(void)snprintf(section, sizeof(section), "%.*s", (int)(dot - setting), setting);
	(void)snprintf(name, sizeof(name), "%.*s", (int)(equals - dot - 1), dot + 1);
	key = sb_config_find_key(section, name);
	if (key)
		sb_config_take_value(reading, "--set", key, equals + 1);
	else
		sb_config_unknown_key(reading, "--set", section, name);
}

/* ---- the whole ---- */

static void check_needed(struct sb_config_reading *reading)
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

static int read_all(struct sb_config *ret_config, const char *file, FILE *copy,
		    const char *const *settings, size_t count, FILE *errors)
{
	struct sb_config_reading reading = {.config = ret_config, .errors = errors};

	memset(ret_config, 0, sizeof(*ret_config));
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		if (set_value(ret_config, &sb_config_keys[i], sb_config_keys[i].fallback) != 0)
			return -ENOMEM;
	}
	if (copy)
		sb_config_read_stream(&reading, file, copy);
	else
		sb_config_read_file(&reading, file);
	read_environment(&reading);
	for (size_t i = 0; i < count; i++)
		read_setting(&reading, settings[i]);
	check_needed(&reading);
	return reading.problems + sb_config_check(ret_config, errors);
}

int sb_config_read(struct sb_config *ret_config, const char *file, const char *const *settings,
		   size_t count, FILE *errors)
{
	return read_all(ret_config, file, NULL, settings, count, errors);
}

int sb_config_read_copy(struct sb_config *ret_config, const char *file, const char *text,
			FILE *errors)
{
	FILE *copy = fmemopen((void *)(uintptr_t)text, strlen(text), "r");

	return copy ? read_all(ret_config, file, copy, NULL, 0, errors) : -ENOMEM;
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
