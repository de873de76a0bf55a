/* What the four kinds have in common: words and columns. See kind.h. */
#include "daemon/store/kind.h"
#include <errno.h>
#include <string.h>

const uint32_t sb_pg_size_bounds[SB_PG_BUCKETS] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};
const uint32_t sb_pg_seconds_bounds[SB_PG_BUCKETS] = {500,   1000,   2000,   5000,    10000,
						      25000, 100000, 250000, 1000000, 5000000};

const char *sb_pg_kind_word(enum sb_pg_kind kind)
{
	static const char *const words[] = {
#define SB_PG_KIND_WORD(name, word) word,
		SB_PG_KINDS(SB_PG_KIND_WORD)
#undef SB_PG_KIND_WORD
	};

	return words[kind];
}

const char *sb_pg_swept_word(enum sb_pg_swept what)
{
	static const char *const words[] = {
#define SB_PG_SWEPT_WORD(name, word) word,
		SB_PG_SWEPTS(SB_PG_SWEPT_WORD)
#undef SB_PG_SWEPT_WORD
	};

	return words[what];
}

int sb_pg_outcome_parse(const char *word, enum sb_auth_outcome *ret_outcome)
{
	static const char *const words[] = {
		[SB_AUTH_OK] = "ok",
		[SB_AUTH_UNKNOWN] = "unknown",
		[SB_AUTH_REVOKED] = "revoked",
		[SB_AUTH_EXPIRED] = "expired",
	};

	for (size_t i = 0; word && i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i]) == 0) {
			*ret_outcome = (enum sb_auth_outcome)i;
			return 0;
		}
	}
	return -EPROTO;
}

int sb_pg_row_numbering(struct sb_pg_row *row, int column, struct sb_numbering *ret_numbering)
{
	const char *epoch = sb_pg_row_text(row, column + 1);
	const char *previous = sb_pg_row_text(row, column + 2);

	*ret_numbering = (struct sb_numbering){
		.head = sb_pg_row_int(row, column),
		.base = sb_pg_row_int(row, column + 3),
		.floor = sb_pg_row_int(row, column + 4),
	};
	if (!epoch || sb_epoch_parse(epoch, strlen(epoch), &ret_numbering->epoch) < 0)
		return -EPROTO;
	if (previous &&
	    sb_epoch_parse(previous, strlen(previous), &ret_numbering->previous_epoch) < 0)
		return -EPROTO;
	return row->bad ? -EPROTO : 0;
}
