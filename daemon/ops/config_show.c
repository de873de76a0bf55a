/* What the configuration in effect is, and in what another one differs. */
#include "daemon/ops/config_private.h"
#include "daemon/ops/log_sink.h"
#include <string.h>

void sb_config_print(const struct sb_config *config, void (*print_url)(const char *url, FILE *out),
		     FILE *out)
{
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		const struct sb_config_key *key = &sb_config_keys[i];
		const void *field = sb_config_field(config, key);

		if (!i || strcmp(key->section, sb_config_keys[i - 1].section))
			(void)fprintf(out, "%s[%s]\n", i ? "\n" : "", key->section);
		(void)fprintf(out, "# %s (", key->what);
		if (key->kind == NUMBER)
			(void)fprintf(out, "%u to %u %s, ", key->min, key->max, key->unit);
		(void)fprintf(out, "default: %s%s)\n%s = ", *key->fallback ? key->fallback : "none",
			      key->changes == START ? ", restart" : "", key->key);
		if (field == &config->database_url) {
			print_url(config->database_url, out);
			(void)fputc('\n', out);
		} else if (key->kind == NUMBER)
			(void)fprintf(out, "%u\n", *(const uint32_t *)field);
		else if (key->kind == LEVEL)
			(void)fprintf(out, "%s\n",
				      sb_log_level_word(*(const enum sb_log_level *)field));
		else if (key->kind == FORMAT)
			(void)fprintf(out, "%s\n",
				      sb_log_format_word(*(const enum sb_log_format *)field));
		else
			(void)fprintf(out, "%s\n", *(char *const *)field);
	}
}

static bool is_same(const struct sb_config_key *key, const struct sb_config *a,
		    const struct sb_config *b)
{
	if (sb_config_is_text(key))
		return !strcmp(*(char *const *)sb_config_field(a, key),
			       *(char *const *)sb_config_field(b, key));
	return *(const uint32_t *)sb_config_field(a, key) ==
	       *(const uint32_t *)sb_config_field(b, key);
}

/* A copy that fails for want of memory leaves the new value, which nobody reads before a restart.
 */
static void take_back(const struct sb_config_key *key, struct sb_config *next,
		      const struct sb_config *running)
{
	if (sb_config_is_text(key))
		(void)sb_config_set_text(sb_config_field(next, key),
					 *(char *const *)sb_config_field(running, key));
	else
		*(uint32_t *)sb_config_field(next, key) =
			*(const uint32_t *)sb_config_field(running, key);
}

void sb_config_follow(struct sb_config *next, const struct sb_config *running, FILE *changed,
		      FILE *restart)
{
	for (size_t i = 0; i < SB_CONFIG_KEY_COUNT; i++) {
		const struct sb_config_key *key = &sb_config_keys[i];

		if (is_same(key, next, running))
			continue;
		(void)fprintf(key->changes == START ? restart : changed, " %s.%s", key->section,
			      key->key);
		if (key->changes == START)
			take_back(key, next, running);
	}
}
