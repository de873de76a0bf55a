/* Frames, and the upgrade before them; see websocket.h. */
#include "daemon/ctl/websocket.h"
#include "protocol/version.h"
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX 4096
#define FIN	 0x80
#define MASKED	 0x80

enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

static bool fail(struct sb_wire *wire, const char *why)
{
	(void)snprintf(wire->why, sizeof(wire->why), "%s", why);
	return false;
}

static bool read_exactly(struct sb_wire *wire, void *bytes, size_t len)
{
	char *at = bytes;

	while (len > 0) {
		ssize_t count = sb_wire_read(wire, at, len);

		if (count == 0)
			return fail(wire, "the connection was closed");
		if (count < 0)
			return false;
		at += count;
		len -= (size_t)count;
	}
	return true;
}

/* Byte by byte, for what follows the head is frames already. */
static bool read_head(struct sb_wire *wire, char head[HEAD_MAX])
{
	for (size_t len = 0; len < HEAD_MAX - 1;) {
		if (!read_exactly(wire, head + len, 1))
			return false;
		head[++len] = '\0';
		if (len >= 4 && strcmp(head + len - 4, "\r\n\r\n") == 0)
			return true;
	}
	return fail(wire, "the answer to the upgrade has no end");
}

bool sb_websocket_open(struct sb_wire *wire, const char *host, const char *path,
		       const char *protocol)
{
	unsigned char nonce[16], key[25];
	char request[1024], head[HEAD_MAX];
	int len;

	if (RAND_bytes(nonce, sizeof(nonce)) != 1)
		return fail(wire, "the system gives no randomness");
	(void)EVP_EncodeBlock(key, nonce, sizeof(nonce));
	len = snprintf(
		request, sizeof(request),
		"GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Protocol: %s\r\nUser-Agent: slotbellctl/" SB_VERSION "\r\n\r\n",
		path, host, (const char *)key, protocol);
	if (len < 0 || (size_t)len >= sizeof(request))
		return fail(wire, "the host's name is too long");
	if (!sb_wire_write(wire, request, (size_t)len) || !read_head(wire, head))
		return false;
	if (strncmp(head, "HTTP/1.1 101 ", strlen("HTTP/1.1 101 ")) == 0)
		return true;
	head[strcspn(head, "\r")] = '\0';
	(void)snprintf(wire->why, sizeof(wire->why), "no websocket but \"%.100s\"", head);
	return false;
}

/* A client's frames are masked (RFC 6455 section 5.3). */
static bool send_frame(struct sb_wire *wire, unsigned char opcode, const char *bytes, size_t len)
{
	unsigned char *frame = malloc(len + 8), mask[4];
	size_t at = 0;
	bool sent;

	if (!frame || len > UINT16_MAX || RAND_bytes(mask, sizeof(mask)) != 1) {
		free(frame);
		return fail(wire, "out of memory");
	}
	frame[at++] = FIN | opcode;
	if (len < 126) {
		frame[at++] = (unsigned char)(MASKED | len);
	} else {
		frame[at++] = MASKED | 126;
		frame[at++] = (unsigned char)(len >> 8);
		frame[at++] = (unsigned char)(len & 0xff);
	}
	memcpy(frame + at, mask, sizeof(mask));
	at += sizeof(mask);
	for (size_t i = 0; i < len; i++)
		frame[at++] = (unsigned char)bytes[i] ^ mask[i % 4];
	sent = sb_wire_write(wire, frame, at);
	free(frame);
	return sent;
}

bool sb_websocket_send(struct sb_wire *wire, const char *text, size_t len)
{
	return send_frame(wire, TEXT, text, len);
}

void sb_websocket_bye(struct sb_wire *wire)
{
	static const char normal[] = {0x03, (char)0xe8}; /* 1000 */

	if (wire->fd >= 0)
		(void)send_frame(wire, CLOSE, normal, sizeof(normal));
}

/* The payload with a terminator, to be freed. NULL: wire->why. */
static char *receive_frame(struct sb_wire *wire, unsigned char *ret_first, size_t *ret_len)
{
	unsigned char head[2], more[8];
	size_t len, more_len;
	char *payload;

	if (!read_exactly(wire, head, sizeof(head)))
		return NULL;
	*ret_first = head[0];
	len = head[1] & 0x7f;
	more_len = len == 127 ? 8 : len == 126 ? 2 : 0;
	if (!read_exactly(wire, more, more_len))
		return NULL;
	for (size_t i = 0; i < more_len; i++)
		len = i ? len << 8 | more[i] : more[i];
	payload = len <= SB_WEBSOCKET_MESSAGE_MAX ? malloc(len + 1) : NULL;
	if (!payload) {
		(void)fail(wire, "a message that is far too long");
		return NULL;
	}
	if (!read_exactly(wire, payload, len)) {
		free(payload);
		return NULL;
	}
	payload[len] = '\0';
	*ret_len = len;
	return payload;
}

static void tell_close(struct sb_wire *wire, const char *payload, size_t len)
{
	const unsigned char *code = (const unsigned char *)payload;

	(void)snprintf(wire->why, sizeof(wire->why), "it closed with %d",
		       len >= 2 ? code[0] << 8 | code[1] : 1005);
}

char *sb_websocket_receive(struct sb_wire *wire, size_t *ret_len)
{
	for (;;) {
		unsigned char first = 0;
		char *payload = receive_frame(wire, &first, ret_len);

		if (!payload || first == (FIN | TEXT))
			return payload;
		if (first == (FIN | CLOSE))
			tell_close(wire, payload, *ret_len);
		else if (first != (FIN | PING) && first != (FIN | PONG))
			(void)fail(wire, "a frame of a kind that was not to be expected");
		if (first == (FIN | PING) && send_frame(wire, PONG, payload, *ret_len)) {
			free(payload);
			continue;
		}
		free(payload);
		if (first != (FIN | PONG))
			return NULL;
	}
}
