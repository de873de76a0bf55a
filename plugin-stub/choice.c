/* Decides between websocket, stream and poll by how the tries went. Knows no clock and no socket.
 */
#include "plugin-stub/choice.h"

#include <stddef.h>
#include <string.h>

static const char *const words[] = {
	[SB_WAY_WEBSOCKET] = "websocket",
	[SB_WAY_STREAM] = "stream",
	[SB_WAY_POLL] = "poll",
};

const char *sb_way_word(enum sb_way way)
{
	return words[way];
}

bool sb_way_parse(const char *word, enum sb_way *ret_way)
{
	for (int i = 0; word && i < SB_WAY_COUNT; i++) {
		if (!strcmp(word, words[i])) {
			*ret_way = (enum sb_way)i;
			return true;
		}
	}
	return false;
}

void sb_choice_init(struct sb_choice *choice, enum sb_way first)
{
	*choice = (struct sb_choice){.way = first,
				     .below = first == SB_WAY_WEBSOCKET ? SB_WAY_STREAM : first};
}

/* The connection fell, and no close code says what the server means. */
static bool is_lost(int code)
{
	/* 1002: what libwebsockets makes of some; RFC 6455 section 7.4.1 for the others. */
	return code == 1002 || code == 1005 || code == 1006;
}

static bool go_down(struct sb_choice *choice)
{
	choice->cuts = 0;
	choice->failed = choice->through = false;
	if (choice->way == SB_WAY_POLL)
		return false;
	choice->way = choice->way == SB_WAY_WEBSOCKET ? choice->below : SB_WAY_POLL;
	choice->below = choice->way;
	return true;
}

bool sb_choice_must_ask(const struct sb_choice *choice)
{
	/* A poll begins with that question. */
	return choice->failed && choice->way != SB_WAY_POLL;
}

void sb_choice_on_asked(struct sb_choice *choice, bool through)
{
	choice->failed = false;
	choice->through = through;
}

bool sb_choice_on_end(struct sb_choice *choice, const struct sb_try *tried)
{
	if (tried->by_us)
		return false;
	if (!tried->heard && is_lost(tried->code)) {
		choice->failed = true;
		return choice->through && go_down(choice);
	}
	choice->failed = choice->through = false;
	if (!is_lost(tried->code)) {
		choice->cuts = 0;
		return false;
	}
	if (!tried->welcomed || tried->lasted_ms >= SB_CHOICE_SHORT_MS) {
		choice->cuts = 0;
		return false;
	}
	return ++choice->cuts >= SB_CHOICE_CUTS && go_down(choice);
}

void sb_choice_on_opened(struct sb_choice *choice)
{
	choice->way = SB_WAY_WEBSOCKET;
	choice->through = true;
	choice->cuts = SB_CHOICE_CUTS - 1;
}
