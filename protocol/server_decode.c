/*
 * What a client reads of the daemon's messages, but for the booking itself
 * (server_booking.c).
 *
 * Strings stay in the parsed JSON, which the message owns.
 */
#include "protocol/instant.h"
#include "protocol/json.h"
#include "protocol/server_booking.h"
#include <errno.h>
#include <string.h>

struct source {
	const json_t *root;
	struct sb_json *json;
	struct sb_refusal *refusal;
};

static int read_instant(const json_t *object, const char *path, int64_t *ret_us,
			struct sb_refusal *ret_refusal)
{
	const char *string = "";
	int result =
		sb_json_string(object, path, SB_JSON_REQUIRED, 0, SIZE_MAX, &string, ret_refusal);

	if (result == 0 && sb_instant_parse(string, strlen(string), ret_us) < 0)
		return sb_json_refuse(ret_refusal, "%s is not an instant", path);
	return result;
}

static int read_u32(const json_t *object, const char *path, uint32_t min, uint32_t max,
		    uint32_t *ret_value, struct sb_refusal *ret_refusal)
{
	int64_t value = 0;
	int result = sb_json_int(object, path, SB_JSON_REQUIRED, min, max, &value, ret_refusal);

	*ret_value = (uint32_t)value;
	return result;
}

static int decode_cursor(const struct source *from, const char *path,
			 struct sb_server_message *message)
{
	return sb_json_cursor(from->root, path, SB_JSON_REQUIRED, &message->cursor, from->refusal);
}

static int decode_reconnect(const struct source *from, struct sb_welcome *welcome)
{
	const json_t *reconnect = NULL;
	int result = sb_json_object(from->root, "welcome.reconnect", SB_JSON_REQUIRED, &reconnect,
				    from->refusal);

	if (result == 0)
		result = read_u32(reconnect, "welcome.reconnect.min_ms", 0, UINT32_MAX,
				  &welcome->reconnect_min_ms, from->refusal);
	if (result == 0)
		result = read_u32(reconnect, "welcome.reconnect.max_ms", 0, UINT32_MAX,
				  &welcome->reconnect_max_ms, from->refusal);
	return result;
}

static int decode_welcome(const struct source *from, struct sb_server_message *message)
{
	struct sb_welcome *welcome = &message->welcome;
	int result = sb_json_string(from->root, "welcome.session", SB_JSON_REQUIRED, 1,
				    SB_SESSION_NAME_MAX, &welcome->session, from->refusal);

	if (result == 0)
		result = sb_json_string(from->root, "welcome.mailbox", SB_JSON_REQUIRED, 1,
					SB_EMAIL_MAX, &welcome->mailbox, from->refusal);
	if (result == 0)
		result = decode_cursor(from, "welcome.cursor", message);
	if (result == 0)
		result = sb_json_int(from->root, "welcome.head", SB_JSON_REQUIRED, 0, INT64_MAX,
				     &welcome->head, from->refusal);
	if (result == 0)
		result = read_u32(from->root, "welcome.window", 1, SB_WINDOW_MAX, &welcome->window,
				  from->refusal);
	if (result == 0)
		result = read_u32(from->root, "welcome.heartbeat_seconds", 0, UINT32_MAX,
				  &welcome->heartbeat_seconds, from->refusal);
	if (result == 0)
		result = read_instant(from->root, "welcome.server_time", &welcome->server_time_us,
				      from->refusal);
	if (result == 0)
		result = decode_reconnect(from, welcome);
	if (result == 0)
		result = sb_json_features(from->root, "welcome.features", from->refusal);
	welcome->cursor = message->cursor;
	return result;
}

static int decode_booking(const struct source *from, struct sb_server_message *message)
{
	const json_t *booking = NULL;
	const char *word = "";
	int64_t seq = 0;
	int result = sb_json_int(from->root, "booking.seq", SB_JSON_REQUIRED, 1, INT64_MAX, &seq,
				 from->refusal);

	if (result == 0)
		result = decode_cursor(from, "booking.cursor", message);
	if (result == 0 && message->cursor.seq != seq)
		return sb_json_refuse(from->refusal, "booking.seq is not booking.cursor's");
	if (result == 0)
		result = sb_json_string(from->root, "booking.change", SB_JSON_REQUIRED, 0, SIZE_MAX,
					&word, from->refusal);
	if (result == 0 && sb_change_parse(word, &message->event.change) < 0)
		return sb_json_refuse(from->refusal, "booking.change is not a known change");
	if (result < 0)
		return result;
	result = read_instant(from->root, "booking.published_at", &message->event.published_at_us,
			      from->refusal);
	if (result == 0)
		result = sb_json_object(from->root, "booking.booking", SB_JSON_REQUIRED, &booking,
					from->refusal);
	if (result == 0)
		result = sb_booking_decode(from->json, booking, &message->event.booking,
					   from->refusal);
	return result == -EPROTO ? -EBADMSG : result;
}

static int decode_live(const struct source *from, struct sb_server_message *message)
{
	return decode_cursor(from, "live.cursor", message);
}

static int decode_acked(const struct source *from, struct sb_server_message *message)
{
	return decode_cursor(from, "acked.cursor", message);
}

static int decode_reset(const struct source *from, struct sb_server_message *message)
{
	const char *word = "";
	int result = decode_cursor(from, "reset.cursor", message);

	if (result == 0)
		result = sb_json_string(from->root, "reset.reason", SB_JSON_REQUIRED, 0, SIZE_MAX,
					&word, from->refusal);
	if (result < 0)
		return result;
	for (int i = 0; i < SB_RESET_COUNT; i++) {
		if (strcmp(word, sb_reset_word((enum sb_reset_reason)i)) == 0) {
			message->reset_reason = (enum sb_reset_reason)i;
			return 0;
		}
	}
	return sb_json_refuse(from->refusal, "reset.reason is not a known reason");
}

static int decode_goodbye(const struct source *from, struct sb_server_message *message)
{
	int result = sb_json_copy(from->root, "goodbye.reason", SB_JSON_REQUIRED, message->word,
				  sizeof(message->word), from->refusal);

	if (result == 0)
		result = read_u32(from->root, "goodbye.reconnect_after_ms", 0, UINT32_MAX,
				  &message->reconnect_after_ms, from->refusal);
	return result;
}

static int decode_error(const struct source *from, struct sb_server_message *message)
{
	int result = sb_json_copy(from->root, "error.code", SB_JSON_REQUIRED, message->word,
				  sizeof(message->word), from->refusal);

	if (result == 0)
		result = sb_json_copy(from->root, "error.detail", SB_JSON_REQUIRED, message->detail,
				      sizeof(message->detail), from->refusal);
	return result;
}

static int decode_pong(const struct source *from, struct sb_server_message *message)
{
	(void)from;
	(void)message;
	return 0;
}

static int decode(const struct source *from, struct sb_server_message *message)
{
	static const struct {
		const char *word;
		int (*decode)(const struct source *from, struct sb_server_message *message);
	} types[] = {
		[SB_SERVER_WELCOME] = {"welcome", decode_welcome},
		[SB_SERVER_BOOKING] = {"booking", decode_booking},
		[SB_SERVER_LIVE] = {"live", decode_live},
		[SB_SERVER_ACKED] = {"acked", decode_acked},
		[SB_SERVER_RESET] = {"reset", decode_reset},
		[SB_SERVER_GOODBYE] = {"goodbye", decode_goodbye},
		[SB_SERVER_ERROR] = {"error", decode_error},
		[SB_SERVER_PONG] = {"pong", decode_pong},
	};
	const char *type = "";
	int result = sb_json_string(from->root, "type", SB_JSON_REQUIRED, 0, SIZE_MAX, &type,
				    from->refusal);

	if (result < 0)
		return result;
	for (int i = 0; i < SB_SERVER_UNKNOWN; i++) {
		if (strcmp(type, types[i].word) == 0) {
			message->type = (enum sb_server_type)i;
			return types[i].decode(from, message);
		}
	}
	message->type = SB_SERVER_UNKNOWN;
	return 0;
}

/* Of an event whose booking cannot be read: what to ack, and why. */
static void keep_envelope(struct sb_server_message *message, const struct sb_refusal *refusal)
{
	struct sb_server_message envelope = {.type = SB_SERVER_BOOKING, .cursor = message->cursor};

	envelope.event.change = message->event.change;
	envelope.event.unreadable = true;
	memcpy(envelope.detail, refusal->detail, sizeof(envelope.detail));
	sb_server_message_fini(message);
	*message = envelope;
}

int sb_server_message_decode(const char *bytes, size_t len, struct sb_server_message *ret_message,
			     struct sb_refusal *ret_refusal)
{
	struct source from = {.refusal = ret_refusal};
	int result = sb_json_load(bytes, len, SB_SERVER_MESSAGE_MAX, &from.json, ret_refusal);

	memset(ret_message, 0, sizeof(*ret_message));
	if (result < 0)
		return result;
	ret_message->root = from.json;
	from.root = sb_json_root(from.json);
	result = decode(&from, ret_message);
	if (result == -EBADMSG)
		keep_envelope(ret_message, ret_refusal);
	else if (result < 0)
		sb_server_message_fini(ret_message);
	return result;
}

void sb_server_message_fini(struct sb_server_message *message)
{
	if (!message)
		return;
	sb_json_free(message->root);
	memset(message, 0, sizeof(*message));
}
