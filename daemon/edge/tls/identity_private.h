/* The inside of an identity, for tls/. */
#ifndef SB_EDGE_TLS_IDENTITY_PRIVATE_H
#define SB_EDGE_TLS_IDENTITY_PRIVATE_H

#include <openssl/ssl.h>
#include <openssl/x509.h>

/* The three belong to `tls`, a context in which the pair was tried and which nobody connects by. */
struct sb_tls_identity {
	SSL_CTX *tls;
	X509 *certificate;
	EVP_PKEY *key;
	STACK_OF(X509) * chain;
};

#endif
