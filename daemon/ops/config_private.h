/* The table of keys, for the configuration's own files. */
#ifndef SB_OPS_CONFIG_PRIVATE_H
#define SB_OPS_CONFIG_PRIVATE_H

#include "daemon/ops/config.h"
#include <stdbool.h>
#include <stddef.h>

/* See config.h for what they mean. */
enum sb_config_kind { TEXT, NEEDED, NUMBER, LEVEL, FORMAT };
enum sb_config_changes { RELOAD, START };

struct sb_config_key {
	const char *section, *key;
	enum sb_config_kind kind;
	enum sb_config_changes changes;
	size_t offset;
	const char *fallback;
	uint32_t min, max;
	const char *unit; /* of a number */
	const char *what;
};

extern const struct sb_config_key sb_config_keys[SB_CONFIG_KEY_COUNT];

/* One reading: what is being read, and what was wrong so far. */
struct sb_config_reading {
	struct sb_config *config;
	const char *file;
	FILE *errors;
	int problems;
	bool seen[SB_CONFIG_KEY_COUNT]; /* in the file, to find what stands there twice */
};

/* A section's or key's name as it may be shown; something in its place that is no name may be part
 * of a URL, and have a password. */
const char *sb_config_shown(const char *name);
/* NULL: there is none. */
const struct sb_config_key *sb_config_find_key(const char *section, const char *name);
/* A value from anywhere: `where` names the place in the error. */
void sb_config_take_value(struct sb_config_reading *reading, const char *where,
			  const struct sb_config_key *key, const char *value);
/* A problem, with what keys there are. */
void sb_config_unknown_key(struct sb_config_reading *reading, const char *where,
			   const char *section, const char *name);
/*
 * Where a key's value was said: "FILE:LINE", the environment variable's name,
 * "--set", or "default". `name` is "section.key".
 */
const char *sb_config_place(const struct sb_config *config, const char *name);
/* (config_check.c) How many problems there are with values that could be read. */
int sb_config_check(const struct sb_config *config, FILE *errors);
/* (config_file.c) NULL: SB_CONFIG_FILE, if it is there. */
void sb_config_read_file(struct sb_config_reading *reading, const char *file);
/* The same of what `stream` has, and closes that. */
void sb_config_read_stream(struct sb_config_reading *reading, const char *file, FILE *stream);

/* Where this key's value lies: a char * or a uint32_t. */
void *sb_config_field(const struct sb_config *config, const struct sb_config_key *key);
bool sb_config_is_text(const struct sb_config_key *key);
/* Puts a copy in the place of a text. 0 or -ENOMEM. */
int sb_config_set_text(char **field, const char *value);

#endif
