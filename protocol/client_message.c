/*
 * What a client says: hello, ack, ping.
 *
 * Read by the daemon (and refused where it is not to the letter), written by
 * the stub plug-in.
 */
#include "protocol/json.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const failure_words[] = {
#define WORD(name, word) [SB_FAILURE_##name] = word,
	SB_FAILURES(WORD)
#undef WORD
};

const char *sb_failure_word(enum sb_failure_reason reason)
{
	return failure_words[reason];
}

static int decode_mode(const json_t *root, enum sb_mode *ret_mode, struct sb_refusal *ret_refusal)
{
	const char *word = "live";
	int result = sb_json_string(root, "hello.mode", SB_JSON_OPTIONAL, 0, SIZE_MAX, &word,
				    ret_refusal);

	if (result < 0)
		return result;
	if (strcmp(word, "live") == 0)
		*ret_mode = SB_MODE_LIVE;
	else if (strcmp(word, "once") == 0)
		*ret_mode = SB_MODE_ONCE;
	else
		return sb_json_refuse(ret_refusal, "hello.mode is neither live nor once");
	return 0;
}

static int decode_client(const json_t *root, struct sb_hello *hello, struct sb_refusal *ret_refusal)
{
	const json_t *client = NULL;
	int result = sb_json_object(root, "hello.client", SB_JSON_OPTIONAL, &client, ret_refusal);

	if (result < 0 || !client)
		return result;
	result = sb_json_copy(client, "hello.client.name", SB_JSON_OPTIONAL, hello->client_name,
			      sizeof(hello->client_name), ret_refusal);
	if (result < 0)
		return result;
	return sb_json_copy(client, "hello.client.version", SB_JSON_OPTIONAL, hello->client_version,
			    sizeof(hello->client_version), ret_refusal);
}

static int decode_hello(const json_t *root, struct sb_hello *hello, struct sb_refusal *ret_refusal)
{
	int result;

	*hello = (struct sb_hello){.has_token = json_object_get(root, "token") != NULL,
				   .has_cursor = json_object_get(root, "cursor") != NULL};
	result = sb_json_copy(root, "hello.token", SB_JSON_OPTIONAL, hello->token,
			      sizeof(hello->token), ret_refusal);
	if (result == 0)
		result = sb_json_cursor(root, "hello.cursor", SB_JSON_OPTIONAL, &hello->cursor,
					ret_refusal);
	if (result == 0)
		result = decode_mode(root, &hello->mode, ret_refusal);
	if (result == 0)
		result = decode_client(root, hello, ret_refusal);
	if (result == 0)
		result = sb_json_features(root, "hello.features", ret_refusal);
	return result;
}

static int decode_failure(const json_t *item, size_t i, const struct sb_ack *ack,
			  struct sb_failure *failure, struct sb_refusal *ret_refusal)
{
	char path[64];
	const char *word = "";
	int result;

	if (!json_is_object(item))
		return sb_json_refuse(ret_refusal, "ack.failed[%zu] is not an object", i);
	(void)snprintf(path, sizeof(path), "ack.failed[%zu].seq", i);
	result =
		sb_json_int(item, path, SB_JSON_REQUIRED, 1, INT64_MAX, &failure->seq, ret_refusal);
	if (result < 0)
		return result;
	if (failure->seq > ack->cursor.seq)
		return sb_json_refuse(ret_refusal, "%s is beyond ack.cursor", path);
	(void)snprintf(path, sizeof(path), "ack.failed[%zu].reason", i);
	result = sb_json_string(item, path, SB_JSON_REQUIRED, 0, SIZE_MAX, &word, ret_refusal);
	if (result < 0)
		return result;
	for (int code = 0; code < SB_FAILURE_COUNT; code++) {
		if (strcmp(word, failure_words[code]) == 0) {
			failure->reason = (enum sb_failure_reason)code;
			return 0;
		}
	}
	return sb_json_refuse(ret_refusal, "%s is not a known reason", path);
}

static bool has_failed(const struct sb_ack *ack, int64_t seq)
{
	for (size_t i = 0; i < ack->failed_count; i++) {
		if (ack->failed[i].seq == seq)
			return true;
	}
	return false;
}

static int decode_ack(const json_t *root, struct sb_ack *ack, struct sb_refusal *ret_refusal)
{
	const json_t *list = NULL, *item;
	size_t i;
	int result =
		sb_json_cursor(root, "ack.cursor", SB_JSON_REQUIRED, &ack->cursor, ret_refusal);

	ack->failed_count = 0;
	if (result == 0)
		result = sb_json_list(root, "ack.failed", SB_JSON_OPTIONAL, SB_FAILED_MAX, &list,
				      ret_refusal);
	if (result < 0 || !list)
		return result;
	json_array_foreach(list, i, item)
	{
		struct sb_failure failure;

		result = decode_failure(item, i, ack, &failure, ret_refusal);
		if (result < 0)
			return result;
		if (has_failed(ack, failure.seq))
			return sb_json_refuse(ret_refusal, "ack.failed[%zu].seq is there twice", i);
		ack->failed[ack->failed_count++] = failure;
	}
	return 0;
}

static int decode(const json_t *root, struct sb_client_message *message,
		  struct sb_refusal *ret_refusal)
{
	const char *type = "";
	int result =
		sb_json_string(root, "type", SB_JSON_REQUIRED, 0, SIZE_MAX, &type, ret_refusal);

	if (result < 0)
		return result;
	if (strcmp(type, "ack") == 0) {
		message->type = SB_CLIENT_ACK;
		return decode_ack(root, &message->ack, ret_refusal);
	}
	if (strcmp(type, "ping") == 0) {
		message->type = SB_CLIENT_PING;
		return 0;
	}
	if (strcmp(type, "hello") == 0) {
		message->type = SB_CLIENT_HELLO;
		return decode_hello(root, &message->hello, ret_refusal);
	}
	return sb_json_refuse(ret_refusal, "type is not one that a client sends");
}

int sb_client_message_decode(const char *bytes, size_t len, struct sb_client_message *ret_message,
			     struct sb_refusal *ret_refusal)
{
	struct sb_json *json;
	int result = sb_json_load(bytes, len, SB_CLIENT_MESSAGE_MAX, &json, ret_refusal);

	if (result < 0)
		return result;
	result = decode(sb_json_root(json), ret_message, ret_refusal);
	sb_json_free(json);
	return result;
}

static void append_json_string(struct sb_text *text, const char *before, const char *value)
{
	sb_text_append_string(text, before);
	sb_text_append_json(text, value, strlen(value));
}

static void append_cursor(struct sb_text *text, const struct sb_cursor *cursor)
{
	char buffer[SB_CURSOR_MAX + 1];

	sb_text_append_string(text, ",\"cursor\":\"");
	sb_text_append(text, buffer, sb_cursor_format(cursor, buffer));
	sb_text_append(text, "\"", 1);
}

static void encode_hello(struct sb_text *text, const struct sb_hello *hello)
{
	sb_text_append_string(text, "{\"type\":\"hello\"");
	if (hello->has_token)
		append_json_string(text, ",\"token\":", hello->token);
	if (hello->has_cursor)
		append_cursor(text, &hello->cursor);
	append_json_string(text, ",\"mode\":", hello->mode == SB_MODE_ONCE ? "once" : "live");
	append_json_string(text, ",\"client\":{\"name\":", hello->client_name);
	append_json_string(text, ",\"version\":", hello->client_version);
	sb_text_append_string(text, "},\"features\":[]}");
}

static void encode_ack(struct sb_text *text, const struct sb_ack *ack)
{
	sb_text_append_string(text, "{\"type\":\"ack\"");
	append_cursor(text, &ack->cursor);
	for (size_t i = 0; i < ack->failed_count; i++) {
		sb_text_append_string(text, i == 0 ? ",\"failed\":[{\"seq\":" : ",{\"seq\":");
		sb_text_append_int(text, ack->failed[i].seq);
		append_json_string(text, ",\"reason\":", failure_words[ack->failed[i].reason]);
		sb_text_append(text, "}", 1);
	}
	sb_text_append_string(text, ack->failed_count > 0 ? "]}" : "}");
}

void sb_client_message_encode(struct sb_text *text, const struct sb_client_message *message)
{
	switch (message->type) {
	case SB_CLIENT_HELLO:
		encode_hello(text, &message->hello);
		break;
	case SB_CLIENT_ACK:
		encode_ack(text, &message->ack);
		break;
	case SB_CLIENT_PING:
		sb_text_append_string(text, "{\"type\":\"ping\"}");
		break;
	}
}
