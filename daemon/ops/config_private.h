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

/* Where this key's value lies: a char * or a uint32_t. */
void *sb_config_field(const struct sb_config *config, const struct sb_config_key *key);
bool sb_config_is_text(const struct sb_config_key *key);
/* Puts a copy in the place of a text. 0 or -ENOMEM. */
int sb_config_set_text(char **field, const char *value);

#endif
