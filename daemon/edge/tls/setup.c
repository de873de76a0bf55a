/* The server's SSL_CTX, and what is counted of its handshakes; see setup.h. */
#include "daemon/edge/tls/setup.h"
#include "daemon/edge/tls/identity_private.h"

/* Not called for a handshake that resumes: that one needs no certificate. */
static int on_certificate(SSL *ssl, void *data)
{
	const struct sb_tls *tls = data;
	const struct sb_tls_identity *identity = tls->identity;

	return SSL_use_cert_and_key(ssl, identity->certificate, identity->key, identity->chain, 1);
}

/* Fires once more for what TLS 1.3 does after its handshake. */
static void on_info(const SSL *ssl, int where, int value)
{
	struct sb_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	bool *handshaken = SSL_get_app_data(ssl);

	(void)value;
	if (!handshaken)
		handshaken = tls->adopting;
	if (!(where & SSL_CB_HANDSHAKE_DONE) || !handshaken || *handshaken)
		return;
	*handshaken = true;
	tls->handshakes[SSL_session_reused(ssl) ? SB_HANDSHAKE_RESUMED : SB_HANDSHAKE_FULL]++;
}

void sb_tls_follow(struct lws *wsi, bool *handshaken)
{
	SSL *ssl = lws_get_ssl(wsi);

	if (ssl)
		(void)SSL_set_app_data(ssl, handshaken);
}

void sb_tls_count_failed(struct sb_tls *tls)
{
	tls->handshakes[SB_HANDSHAKE_FAILED]++;
}

const char *sb_handshake_word(enum sb_handshake handshake)
{
	static const char *const words[] = {
#define HANDSHAKE_WORD(name, word) word,
		SB_HANDSHAKES(HANDSHAKE_WORD)
#undef HANDSHAKE_WORD
	};

	return words[handshake];
}

/* RFC 7301 section 3.2. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		   const unsigned char *offered, unsigned int offered_len, void *data)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)data;
	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, offered, offered_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

void sb_tls_set_alpn(SSL_CTX *context)
{
	SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
}

void sb_tls_setup(SSL_CTX *context, struct sb_tls *tls)
{
	(void)SSL_CTX_set_app_data(context, tls);
	(void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	(void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
						   SSL_OP_CIPHER_SERVER_PREFERENCE |
						   SSL_OP_PRIORITIZE_CHACHA);
	/* TLS 1.2: only with forward secrecy and authenticated encryption (RFC 9325 section 4.2).
	 */
	(void)SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
	(void)SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384");
	/* What the socket does not take is given again from a copy. */
	(void)SSL_CTX_set_mode(context,
			       SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Else one read goes on for as long as the peer sends key updates or other records without
	 * data, and no other session is served meanwhile. */
	(void)SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_cert_cb(context, on_certificate, tls);
	SSL_CTX_set_info_callback(context, on_info);
	sb_tickets_setup(context);
}
