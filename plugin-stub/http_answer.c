/* Reads what plain HTTP answers. Never trusts that the daemon wrote it: what stands between answers
 * too. */
#include "plugin-stub/http_answer.h"

#include "protocol/limits.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/*
 * What an answer may hold: 32 bookings of 500 attendees have some 50,000 values.
 * Parsed, each value takes up to a hundred times its bytes.
 */
#define VALUES_MAX 262144
/* Around a message are an object and a list. */
#define DEPTH_MAX (SB_JSON_DEPTH_MAX + 2)

/* Counts before jansson makes anything of it. Brackets and commas in strings do not count. */
static bool is_modest(const char *bytes, size_t len)
{
	bool in_string = false;
	size_t values = 0;
	int depth = 0;

	for (size_t i = 0; i < len; i++) {
		switch (bytes[i]) {
		case '"':
			in_string = !in_string;
			break;
		case '\\':
			i += in_string;
			break;
		case '{':
		case '[':
			depth += !in_string;
			values += !in_string;
			break;
		case '}':
		case ']':
			depth -= !in_string;
			break;
		case ',':
			values += !in_string;
			break;
		default:
			break;
		}
		if (depth > DEPTH_MAX || values > VALUES_MAX)
			return false;
	}
	return true;
}

static json_t *load(const struct sb_http_answer *answer)
{
	if (!is_modest(answer->body, answer->body_len))
		return NULL;
	return json_loadb(answer->body, answer->body_len, 0, NULL);
}

static bool read_ms(const json_t *root, uint32_t *ret_ms)
{
	const json_t *value = json_object_get(root, "retry_after_ms");
	json_int_t ms = json_integer_value(value);

	if (!json_is_integer(value) || ms < 0 || ms > UINT32_MAX)
		return false;
	*ret_ms = (uint32_t)ms;
	return true;
}

static int code_of(const char *word)
{
	for (int i = 0; word && i < SB_REASON_COUNT; i++) {
		if (!strcmp(word, sb_reason_word((enum sb_reason)i)))
			return sb_reason_close_code((enum sb_reason)i);
	}
	return 0;
}

void sb_http_answer_end(struct sb_ending *ending, const struct sb_http_answer *answer)
{
	json_t *root;
	const char *reason, *detail;

	if (answer->status == 0 || (answer->status == 200 && !answer->is_whole)) {
		sb_ending_set(ending, SB_ENDING_VANISHED, answer->words);
		return;
	}
	root = load(answer);
	reason = json_string_value(json_object_get(root, "reason"));
	detail = json_string_value(json_object_get(root, "detail"));
	if (ending->code == 0) {
		ending->has_hint = answer->has_hint;
		ending->hint_ms = answer->hint_ms;
		/* The same, and finer. */
		if (read_ms(root, &ending->hint_ms))
			ending->has_hint = true;
	}
	sb_ending_explain(ending, "HTTP %d%s%s", answer->status, detail ? ": " : "",
			  detail ? detail : "");
	sb_ending_set(ending, code_of(reason) ? code_of(reason) : SB_ENDING_VANISHED, "");
	json_decref(root);
}

bool sb_http_answer_reconnect(const struct sb_http_answer *answer,
			      struct sb_reconnect *ret_reconnect)
{
	json_t *root = answer->status == 200 && answer->is_whole ? load(answer) : NULL;
	const char *state = json_string_value(json_object_get(root, "state"));
	const json_t *epoch = json_object_get(root, "epoch");
	const json_t *head = json_object_get(root, "head");
	const json_t *acked = json_object_get(root, "acked");
	bool found = false;

	memset(ret_reconnect, 0, sizeof(*ret_reconnect));
	for (int i = 0; state && i < SB_STANDING_COUNT; i++) {
		if (!strcmp(state, sb_standing_word((enum sb_standing)i))) {
			ret_reconnect->state = (enum sb_standing)i;
			found = true;
		}
	}
	found = found && read_ms(root, &ret_reconnect->retry_after_ms);
	ret_reconnect->head = json_integer_value(head);
	ret_reconnect->acked = json_integer_value(acked);
	ret_reconnect->has_device =
		json_is_string(epoch) && json_is_integer(head) && json_is_integer(acked) &&
		ret_reconnect->acked >= 0 && ret_reconnect->head >= ret_reconnect->acked &&
		!sb_epoch_parse(json_string_value(epoch), json_string_length(epoch),
				&ret_reconnect->epoch);
	json_decref(root);
	return found;
}

void sb_http_answer_not_ready(struct sb_ending *ending, const struct sb_reconnect *reconnect)
{
	if (ending->code == 0) {
		ending->has_hint = reconnect->retry_after_ms > 0;
		ending->hint_ms = reconnect->retry_after_ms;
	}
	sb_ending_explain(ending, "the server is %s", sb_standing_word(reconnect->state));
	sb_ending_set(ending,
		      sb_reason_close_code(reconnect->state == SB_STANDING_DRAINING
						   ? SB_REASON_DRAINING
						   : SB_REASON_BUSY),
		      "");
}

int sb_http_answer_messages(const struct sb_http_answer *answer,
			    bool (*on_message)(void *data, const char *bytes, size_t len),
			    void *data)
{
	json_t *root = load(answer);
	const json_t *list = json_object_get(root, "messages");
	bool go_on = true;
	json_t *item;
	int err = json_is_array(list) ? 0 : -EPROTO;
	size_t i;

	json_array_foreach(list, i, item)
	{
		char *text = json_dumps(item, JSON_COMPACT | JSON_ENCODE_ANY);

		if (!text) {
			err = -ENOMEM;
			break;
		}
		go_on = on_message(data, text, strlen(text));
		free(text);
		if (!go_on)
			break;
	}
	json_decref(root);
	return err;
}
