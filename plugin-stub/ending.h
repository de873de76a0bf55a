/*
 * How a connection ended, put together from what several callbacks know: the
 * first cause is the one to tell, and the first words that say more than a
 * code does.
 */
#ifndef SB_PLUGIN_ENDING_H
#define SB_PLUGIN_ENDING_H

#include "plugin-stub/client.h"
#include <stddef.h>

#define SB_ENDING_VANISHED   1006 /* RFC 6455 section 7.1.5: no close frame came */
#define SB_ENDING_WORDS_SIZE 200

struct sb_ending {
	int code; /* 0: it has not ended */
	bool has_hint;
	uint32_t hint_ms;
	char words[SB_ENDING_WORDS_SIZE];
};

/* A new connection. */
void sb_ending_clear(struct sb_ending *ending);

/* Words for a person, where there are none yet; cut, and made one printable line. */
void sb_ending_explain(struct sb_ending *ending, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* It has ended, unless it had before. `words` as above. */
void sb_ending_set(struct sb_ending *ending, int code, const char *words);

/* An HTTP answer where an upgrade was due; `retry_after` is that header, or NULL. */
void sb_ending_set_http(struct sb_ending *ending, unsigned int status, const char *retry_after);

/* What the client is told. Its words are those of *ending. */
struct sb_gone sb_ending_gone(const struct sb_ending *ending);

#endif
