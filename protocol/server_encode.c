/* What the daemon says, but for bookings (event.c). All of it is a few dozen bytes. */
#include "protocol/message.h"
#include <string.h>

static const char *const reset_words[] = {
#define WORD(name, word) [SB_RESET_##name] = word,
	SB_RESETS(WORD)
#undef WORD
};

const char *sb_reset_word(enum sb_reset_reason reason)
{
	return reset_words[reason];
}

static void append_string_field(struct sb_text *text, const char *before, const char *value)
{
	sb_text_append_string(text, before);
	sb_text_append_json(text, value, strlen(value));
}

static void append_int_field(struct sb_text *text, const char *before, int64_t value)
{
	sb_text_append_string(text, before);
	sb_text_append_int(text, value);
}

static void append_cursor(struct sb_text *text, const struct sb_cursor *cursor)
{
	char buffer[SB_CURSOR_MAX + 1];

	sb_text_append_string(text, ",\"cursor\":\"");
	sb_text_append(text, buffer, sb_cursor_format(cursor, buffer));
	sb_text_append(text, "\"", 1);
}

void sb_welcome_encode(struct sb_text *text, const struct sb_welcome *welcome)
{
	append_string_field(text, "{\"type\":\"welcome\",\"session\":", welcome->session);
	append_string_field(text, ",\"mailbox\":", welcome->mailbox);
	append_cursor(text, &welcome->cursor);
	append_int_field(text, ",\"head\":", welcome->head);
	append_int_field(text, ",\"window\":", welcome->window);
	append_int_field(text, ",\"heartbeat_seconds\":", welcome->heartbeat_seconds);
	sb_text_append_string(text, ",\"server_time\":");
	sb_text_append_instant(text, welcome->server_time_us, true);
	append_int_field(text, ",\"reconnect\":{\"min_ms\":", welcome->reconnect_min_ms);
	append_int_field(text, ",\"max_ms\":", welcome->reconnect_max_ms);
	sb_text_append_string(text, "},\"features\":[]}");
}

void sb_live_encode(struct sb_text *text, const struct sb_cursor *cursor)
{
	sb_text_append_string(text, "{\"type\":\"live\"");
	append_cursor(text, cursor);
	sb_text_append(text, "}", 1);
}

void sb_acked_encode(struct sb_text *text, const struct sb_cursor *cursor)
{
	sb_text_append_string(text, "{\"type\":\"acked\"");
	append_cursor(text, cursor);
	sb_text_append(text, "}", 1);
}

void sb_reset_encode(struct sb_text *text, const struct sb_cursor *cursor,
		     enum sb_reset_reason reason)
{
	sb_text_append_string(text, "{\"type\":\"reset\"");
	append_cursor(text, cursor);
	append_string_field(text, ",\"reason\":", reset_words[reason]);
	sb_text_append(text, "}", 1);
}

void sb_goodbye_encode(struct sb_text *text, enum sb_reason reason, uint32_t reconnect_after_ms)
{
	append_string_field(text, "{\"type\":\"goodbye\",\"reason\":", sb_reason_word(reason));
	append_int_field(text, ",\"reconnect_after_ms\":", reconnect_after_ms);
	sb_text_append(text, "}", 1);
}

void sb_error_encode(struct sb_text *text, enum sb_reason code, const char *detail)
{
	append_string_field(text, "{\"type\":\"error\",\"code\":", sb_reason_word(code));
	append_string_field(text, ",\"detail\":", detail);
	sb_text_append(text, "}", 1);
}

void sb_pong_encode(struct sb_text *text)
{
	sb_text_append_string(text, "{\"type\":\"pong\"}");
}

const char *sb_standing_word(enum sb_standing state)
{
	static const char *const words[] = {
#define WORD(name, word) [SB_STANDING_##name] = word,
		SB_STANDINGS(WORD)
#undef WORD
	};

	return words[state];
}

void sb_reconnect_encode(struct sb_text *text, const struct sb_reconnect *reconnect)
{
	append_string_field(text, "{\"state\":", sb_standing_word(reconnect->state));
	append_int_field(text, ",\"retry_after_ms\":", reconnect->retry_after_ms);
	if (reconnect->has_device) {
		append_string_field(text, ",\"epoch\":", reconnect->epoch.text);
		append_int_field(text, ",\"head\":", reconnect->head);
		append_int_field(text, ",\"acked\":", reconnect->acked);
		append_int_field(text, ",\"pending\":", reconnect->pending);
	}
	sb_text_append_string(text, ",\"transports\":[\"websocket\",\"stream\",\"poll\"]}");
}
