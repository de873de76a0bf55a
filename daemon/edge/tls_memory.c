/* A short stack of buffers before malloc. One thread: the loop's. See tls_memory.h. */
#include "daemon/edge/tls_memory.h"
#include <errno.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* OpenSSL's hooks carry no argument of ours, so this is the process'. */
static struct {
	pthread_t owner; /* libpq looks names up in threads of libuv's, which may use OpenSSL */
	size_t count;
	void *buffers[SB_TLS_BUFFERS_MAX];
} kept;

static bool is_owner(void)
{
	return pthread_equal(pthread_self(), kept.owner);
}

static void *take(size_t size, const char *file, int line)
{
	(void)file;
	(void)line;
	if (size == 0)
		return NULL;
	if (size < SB_TLS_RECORD_BYTES || size > SB_TLS_BUFFER_BYTES)
		return malloc(size);
	if (kept.count && is_owner())
		return kept.buffers[--kept.count];
	return malloc(SB_TLS_BUFFER_BYTES);
}

/* Whatever is as large as a buffer can be one, wherever it came from. */
static void give_back(void *memory, const char *file, int line)
{
	size_t size = memory ? malloc_usable_size(memory) : 0;

	(void)file;
	(void)line;
	if (size < SB_TLS_BUFFER_BYTES || size > SB_TLS_BUFFER_BYTES + 64 ||
	    kept.count == SB_TLS_BUFFERS_MAX || !is_owner())
		free(memory);
	else
		kept.buffers[kept.count++] = memory;
}

static void *resize(void *memory, size_t size, const char *file, int line)
{
	if (!memory)
		return take(size, file, line);
	if (size)
		return realloc(memory, size);
	give_back(memory, file, line);
	return NULL;
}

int sb_tls_memory_setup(void)
{
	kept.owner = pthread_self();
	return CRYPTO_set_mem_functions(take, resize, give_back) == 1 ? 0 : -EBUSY;
}

size_t sb_tls_memory_kept(void)
{
	return kept.count;
}
