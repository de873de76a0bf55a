/*
 * Every vector of protocol/vectors: accepted ones read as they should, refused
 * ones are refused for the reason they name. Each vector is a case.
 *
 * "expect" is the message as our side writes what it read: defaults filled in,
 * unknown fields gone. "failed_event": the envelope can be read, and the session
 * goes on.
 */
#include "test_protocol_help.h"
#include "tests/fuzz/again.h"
#include <jansson.h>
#include <openssl/evp.h>

static const char *const files[] = {"client-accepted.json", "client-refused.json",
				    "server-accepted.json", "server-refused.json"};

#define VECTORS_MAX 500

/* The vector's bytes; the caller frees them. */
static char *bytes_of(const json_t *vector, size_t *ret_len)
{
	const json_t *plain = json_object_get(vector, "bytes");
	const char *base64 = json_string_value(json_object_get(vector, "bytes_base64"));
	size_t len;
	char *bytes;

	if (plain) {
		len = json_string_length(plain);
		bytes = malloc(len ? len : 1);
		assert_non_null(bytes);
		memcpy(bytes, json_string_value(plain), len);
	} else {
		int decoded;

		assert_non_null(base64);
		len = strlen(base64);
		bytes = malloc(len);
		assert_non_null(bytes);
		decoded = EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)base64,
					  (int)len);
		assert_true(decoded > 0);
		len = (size_t)decoded - (base64[len - 1] == '=') - (base64[len - 2] == '=');
	}
	*ret_len = len;
	return bytes;
}

/* Decodes; what was read goes into `text`, written again. */
static int read_and_write(bool from_client, const char *bytes, size_t len, struct sb_text *text,
			  struct sb_refusal *ret_refusal)
{
	struct sb_client_message client;
	struct sb_server_message server;
	int result;

	if (from_client) {
		result = sb_client_message_decode(bytes, len, &client, ret_refusal);
		if (result == 0)
			sb_client_message_encode(text, &client);
		return result;
	}
	result = sb_server_message_decode(bytes, len, &server, ret_refusal);
	if (result == 0)
		again_server_message(text, &server);
	sb_server_message_fini(&server);
	return result;
}

static void assert_reads_as(const struct sb_text *text, const json_t *expected)
{
	json_error_t error;
	json_t *read;

	assert_false(sb_text_failed(text));
	read = json_loadb(text->data, text->len, 0, &error);
	assert_non_null(read);
	if (!json_equal(read, expected)) {
		char *wanted = json_dumps(expected, JSON_COMPACT);

		fail_msg("read as %.*s instead of %s", (int)text->len, text->data, wanted);
	}
	json_decref(read);
}

static void assert_refused_as(const struct sb_refusal *refusal, const json_t *expected)
{
	const char *reason = json_string_value(json_object_get(expected, "reason"));
	const char *detail = json_string_value(json_object_get(expected, "detail"));

	assert_non_null(reason);
	assert_non_null(detail);
	assert_true(*detail != '\0');
	assert_string_equal(sb_reason_word(refusal->reason), reason);
	if (!strstr(refusal->detail, detail))
		fail_msg("refused with \"%s\", which does not say \"%s\"", refusal->detail, detail);
}

static void a_vector(void **state)
{
	const json_t *vector = *state;
	const char *direction = json_string_value(json_object_get(vector, "direction"));
	const json_t *accepted = json_object_get(vector, "accepted");
	struct sb_refusal refusal = {0};
	struct sb_text text;
	size_t len;
	char *bytes = bytes_of(vector, &len);
	int result;

	assert_non_null(direction);
	assert_true(strcmp(direction, "client") == 0 || strcmp(direction, "server") == 0);
	assert_true(json_is_boolean(accepted));
	sb_text_init(&text);
	result = read_and_write(direction[0] == 'c', bytes, len, &text, &refusal);
	if (json_is_true(accepted)) {
		if (result != 0)
			fail_msg("refused: %s", refusal.detail);
		assert_reads_as(&text, json_object_get(vector, "expect"));
	} else {
		assert_int_equal(result, json_is_true(json_object_get(vector, "failed_event"))
						 ? -EBADMSG
						 : -EPROTO);
		assert_refused_as(&refusal, json_object_get(vector, "refused"));
	}
	sb_text_fini(&text);
	free(bytes);
}

int main(void)
{
	static struct CMUnitTest tests[VECTORS_MAX];
	json_t *all[sizeof(files) / sizeof(*files)];
	size_t count = 0;
	int failed;

	for (size_t f = 0; f < sizeof(files) / sizeof(*files); f++) {
		char *path = print("%s/%s", SB_VECTORS, files[f]);
		json_error_t error;
		json_t *vector;
		size_t i;

		all[f] = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
		if (!json_is_array(all[f]) || json_array_size(all[f]) == 0) {
			(void)fprintf(stderr, "%s:%d: %s\n", path, error.line, error.text);
			return 1;
		}
		json_array_foreach(all[f], i, vector)
		{
			const char *name = json_string_value(json_object_get(vector, "name"));

			if (!name || count == VECTORS_MAX) {
				(void)fprintf(stderr, "%s: vector %zu has no name, or no room\n",
					      path, i);
				return 1;
			}
			tests[count++] = (struct CMUnitTest){name, a_vector, NULL, NULL, vector};
		}
		free(path);
	}
	failed = _cmocka_run_group_tests("protocol/vectors", tests, count, NULL, NULL);
	for (size_t f = 0; f < sizeof(files) / sizeof(*files); f++)
		json_decref(all[f]);
	return failed;
}
