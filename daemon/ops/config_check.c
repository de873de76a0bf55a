/* What the range of a single key cannot say: the form of texts, and keys that go together. */
#include "daemon/base/address.h"
#include "daemon/base/network.h"
#include "daemon/ops/config_private.h"
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

int sb_config_wrong(const struct sb_config *config, FILE *errors, const char *name,
		    const char *format, ...)
{
	const char *dot = strchr(name, '.');
	va_list args;

	(void)fprintf(errors, "%s: [%.*s] %s ", sb_config_place(config, name), (int)(dot - name),
		      name, dot + 1);
	va_start(args, format);
	(void)vfprintf(errors, format, args);
	va_end(args);
	(void)fputc('\n', errors);
	return 1;
}

static int check_address(const struct sb_config *config, FILE *errors, const char *name,
			 const char *value)
{
	struct sockaddr_storage address;

	if (sb_address_parse(value, &address) == 0)
		return 0;
	return sb_config_wrong(config, errors, name,
			       "= %s: not ADDRESS:PORT, as in 127.0.0.1:8443 or [::]:8443", value);
}

/* What every one of a browser's origins looks like. Another one would be there in vain. */
static bool is_origin(const char *word, size_t len)
{
	size_t scheme = !strncasecmp(word, "https://", 8)  ? 8
			: !strncasecmp(word, "http://", 7) ? 7
							   : 0;

	if (len == 4 && !strncasecmp(word, "null", 4))
		return true; /* what a page without an origin says */
	return scheme && len > scheme && !memchr(word + scheme, '/', len - scheme);
}

static int check_origins(const struct sb_config *config, FILE *errors)
{
	const char *list = config->listen_origins;
	int problems = 0;

	for (list += strspn(list, ", "); *list; list += strspn(list, ", ")) {
		size_t len = strcspn(list, ", ");

		if (!is_origin(list, len))
			problems += sb_config_wrong(
				config, errors, "listen.origins",
				"= %.*s: not an origin, as in https://addin.example.com: "
				"scheme and host, a port if it is not the usual one, "
				"nothing behind",
				(int)len, list);
		list += len;
	}
	return problems;
}

static int check_proxies(const struct sb_config *config, FILE *errors)
{
	struct sb_networks networks;
	char why[1024];

	if (sb_networks_parse(config->listen_trusted_proxies, &networks, why, sizeof(why)) == 0)
		return 0;
	return sb_config_wrong(config, errors, "listen.trusted_proxies", "= %s", why);
}

static int check_socket(const struct sb_config *config, FILE *errors)
{
	const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	const char *path = config->control_socket;

	if (!*path || (*path == '/' && strlen(path) <= max))
		return 0;
	return sb_config_wrong(
		config, errors, "control.socket",
		"= %s: must be a path that begins with / and has at most %zu characters", path,
		max);
}

/* What a key's own range cannot say. */
static int check_retention(const struct sb_config *config, FILE *errors)
{
	if (config->retention_receipts_days >= config->retention_days)
		return 0;
	return sb_config_wrong(
		config, errors, "retention.receipts_days",
		"= %u: must not be below days = %u, or a booking would be forgotten while it "
		"waits",
		config->retention_receipts_days, config->retention_days);
}

int sb_config_check(const struct sb_config *config, FILE *errors)
{
	int problems = check_address(config, errors, "listen.address", config->listen_address);

	if (*config->listen_admin)
		problems += check_address(config, errors, "listen.admin", config->listen_admin);
	return problems + check_origins(config, errors) + check_proxies(config, errors) +
	       check_retention(config, errors) + check_socket(config, errors);
}
