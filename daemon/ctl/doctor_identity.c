/* The certificate as a client would judge it, and its key as the daemon needs it. */
#include "daemon/base/address.h"
#include "daemon/ctl/doctor.h"
#include "daemon/ctl/output.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static X509 *leaf_of(const struct sb_doctor *doctor)
{
	return doctor->certificates ? sk_X509_value(doctor->certificates, 0) : NULL;
}

/* ---- the file, and the time ---- */

/* A chain is some kilobytes. */
#define PEM_MAX 1048576

/* A file's contents, to be freed by BIO_free(); NULL with *ret_error. */
static BIO *read_pem(const char *file, struct stat *ret_stat, int *ret_error)
{
	char *bytes = NULL;
	size_t len = 0;
	BIO *copy;

	*ret_error = -sb_doctor_read_file(file, PEM_MAX, &bytes, &len, ret_stat);
	if (*ret_error)
		return NULL;
	copy = BIO_new(BIO_s_secmem());
	sb_need(copy && (len == 0 || BIO_write(copy, bytes, (int)len) == (int)len));
	explicit_bzero(bytes, len);
	free(bytes);
	return copy;
}

/* All certificates of a PEM file; NULL with *ret_error, which is 0 if there is none in it. */
static STACK_OF(X509) * read_certificates(const char *file, int *ret_error)
{
	BIO *in = read_pem(file, NULL, ret_error);
	STACK_OF(X509) *found = in ? sk_X509_new_null() : NULL;
	X509 *next;

	if (!in)
		return NULL;
	sb_need(found);
	while ((next = PEM_read_bio_X509(in, NULL, NULL, NULL)))
		sb_need(sk_X509_push(found, next) > 0);
	ERR_clear_error();
	BIO_free(in);
	if (sk_X509_num(found) > 0)
		return found;
	sk_X509_free(found);
	return NULL;
}

static int64_t unix_seconds(const ASN1_TIME *time)
{
	struct tm utc;

	return ASN1_TIME_to_tm(time, &utc) == 1 ? (int64_t)timegm(&utc) : 0;
}

static void judge_time(const struct sb_doctor *doctor, struct sb_finding *finding)
{
	const char *file = doctor->config.tls_certificate;
	int64_t now = sb_doctor_wall_us() / 1000000;
	int64_t begins = unix_seconds(X509_get0_notBefore(leaf_of(doctor)));
	int64_t ends = unix_seconds(X509_get0_notAfter(leaf_of(doctor)));
	time_t shown = now < begins ? begins : ends;
	struct tm utc;
	char text[32];

	(void)gmtime_r(&shown, &utc);
	(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &utc);
	if (now < begins) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: is valid from %s on only", file, text);
		sb_advise(finding,
			  "is this machine's clock right? Else take one that is valid now");
	} else if (now >= ends) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: expired %s", file, text);
		sb_advise(finding, "renew it, then: slotbellctl reload");
	} else if (ends - now < doctor->brief.expiry_days * 86400) {
		sb_saw(finding, SB_HEALTH_WARN, "%s: ends %s, in %lld days", file, text,
		       (long long)(ends - now) / 86400);
		sb_advise(finding, "is renewal by itself still on? Renew it, then: slotbellctl "
				   "reload");
	} else {
		sb_saw(finding, SB_HEALTH_OK, "%s: good until %s", file, text);
	}
}

void sb_check_certificate(struct sb_doctor *doctor, struct sb_finding *finding)
{
	const char *file = doctor->config.tls_certificate;
	int error;

	if (!doctor->configured) {
		sb_not_checked(finding, "configuration");
		return;
	}
	doctor->certificates = read_certificates(file, &error);
	if (doctor->certificates) {
		judge_time(doctor, finding);
		return;
	}
	sb_saw(finding, SB_HEALTH_FAIL, "%s: %s", file,
	       error ? strerror(error) : "there is no certificate in PEM in it");
	if (error)
		sb_advise(finding, "%s must be able to read it, and to pass the folders above it",
			  doctor->brief.reader);
}

/* ---- the chain ---- */

/* How many there were. */
static int add_authorities(X509_STORE *store, const char *pem)
{
	BIO *in = BIO_new_mem_buf(pem, -1);
	STACK_OF(X509_INFO) * infos;
	int count = 0;

	sb_need(in);
	infos = PEM_X509_INFO_read_bio(in, NULL, NULL, NULL);
	for (int i = 0; i < sk_X509_INFO_num(infos); i++) {
		const X509_INFO *info = sk_X509_INFO_value(infos, i);

		count += info->x509 && X509_STORE_add_cert(store, info->x509) == 1;
		count += info->crl && X509_STORE_add_crl(store, info->crl) == 1;
	}
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	BIO_free(in);
	return count;
}

/* NULL: there are none. */
static X509_STORE *open_store(const struct sb_doctor *doctor)
{
	X509_STORE *store = X509_STORE_new();
	const char *pem = sb_doctor_paper(doctor, SB_PAPER_CA);

	sb_need(store);
	if (!sb_doctor_paper(doctor, SB_PAPER_CA_FILE) ? X509_STORE_set_default_paths(store) == 1
						       : pem && add_authorities(store, pem) > 0)
		return store;
	X509_STORE_free(store);
	return NULL;
}

/* X509_V_OK, or why not. The time is another check's. */
static int verify(const struct sb_doctor *doctor, X509_STORE *store)
{
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	int result = X509_V_ERR_UNSPECIFIED;

	sb_need(context);
	if (X509_STORE_CTX_init(context, store, leaf_of(doctor), doctor->certificates) == 1) {
		X509_STORE_CTX_set_flags(context, X509_V_FLAG_NO_CHECK_TIME);
		(void)X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
		(void)X509_verify_cert(context);
		result = X509_STORE_CTX_get_error(context);
	}
	X509_STORE_CTX_free(context);
	return result;
}

static bool is_unknown_authority(int result)
{
	return result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	       result == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
	       result == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
	       result == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

void sb_check_chain(struct sb_doctor *doctor, struct sb_finding *finding)
{
	const char *trusted = sb_doctor_paper(doctor, SB_PAPER_CA_FILE);
	X509_STORE *store;
	int result;

	if (!doctor->certificates) {
		sb_not_checked(finding, "certificate");
		return;
	}
	store = open_store(doctor);
	if (!store) {
		ERR_clear_error();
		sb_saw(finding, SB_HEALTH_FAIL, "%s: no certificates of authorities can be read",
		       trusted ? trusted : "this system");
		sb_advise(finding, "--ca FILE: a PEM file of whom clients trust");
		return;
	}
	result = verify(doctor, store);
	X509_STORE_free(store);
	if (result == X509_V_OK) {
		sb_saw(finding, SB_HEALTH_OK, "%d certificate%s, up to one that %s trusts",
		       sk_X509_num(doctor->certificates),
		       sk_X509_num(doctor->certificates) == 1 ? "" : "s",
		       trusted ? trusted : "this system");
	} else if (is_unknown_authority(result) && !trusted) {
		sb_saw(finding, SB_HEALTH_WARN,
		       "it ends at an authority that this system does not "
		       "know: %s",
		       X509_verify_cert_error_string(result));
		sb_advise(finding, "your own authority? Then say --ca FILE. Else put its "
				   "intermediate certificates behind it in tls.certificate");
	} else {
		sb_saw(finding, SB_HEALTH_FAIL, "clients will not trust it: %s",
		       X509_verify_cert_error_string(result));
		sb_advise(finding, "tls.certificate: the certificate first, then the intermediate "
				   "ones in order");
	}
}

/* ---- the name ---- */

/* What it is good for, as "DNS:…, IP Address:…"; to be freed. "": nothing. */
static char *names_of(X509 *leaf)
{
	int index = X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1);
	BIO *out = BIO_new(BIO_s_mem());
	char *text = NULL;
	long len;
	char *names;

	sb_need(out);
	if (index >= 0)
		(void)X509V3_EXT_print(out, X509_get_ext(leaf, index), 0, 0);
	len = BIO_get_mem_data(out, &text);
	names = strndup(text ? text : "", (size_t)len);
	sb_need(names);
	BIO_free(out);
	return names;
}

/* The address that it listens at, if that is one that clients could use; else "". */
static void listen_host(const struct sb_doctor *doctor, char host[INET6_ADDRSTRLEN])
{
	struct sockaddr_storage address;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&address;

	*host = '\0';
	if (sb_address_parse(doctor->config.listen_address, &address) != 0)
		return;
	if (address.ss_family == AF_INET && v4->sin_addr.s_addr != htonl(INADDR_ANY))
		(void)inet_ntop(AF_INET, &v4->sin_addr, host, INET6_ADDRSTRLEN);
	else if (address.ss_family == AF_INET6 && !IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		(void)inet_ntop(AF_INET6, &v6->sin6_addr, host, INET6_ADDRSTRLEN);
}

void sb_check_name(struct sb_doctor *doctor, struct sb_finding *finding)
{
	X509 *leaf = leaf_of(doctor);
	char host[INET6_ADDRSTRLEN];
	const char *named = sb_doctor_paper(doctor, SB_PAPER_NAME), *name = named;
	char *names;

	if (!leaf) {
		sb_not_checked(finding, "certificate");
		return;
	}
	listen_host(doctor, host);
	if (!name && *host)
		name = host;
	names = names_of(leaf);
	if (!*names) {
		sb_saw(finding, SB_HEALTH_FAIL,
		       "it has no subjectAltName: clients take it for no "
		       "name at all");
		sb_advise(finding, "have it made for the names that clients connect to");
	} else if (name && X509_check_host(leaf, name, 0, 0, NULL) != 1 &&
		   X509_check_ip_asc(leaf, name, 0) != 1) {
		sb_saw(finding, named ? SB_HEALTH_FAIL : SB_HEALTH_WARN,
		       "it is not for %s, but for %s", name, names);
		sb_advise(finding, named ? "clients must connect to one of these, or it must "
					   "be made for this name too"
					 : "say --name HOST: what clients call the daemon");
	} else {
		sb_saw(finding, SB_HEALTH_OK, "it is for %s%s%s", names,
		       named ? "" : "; --name HOST tries one", "");
	}
	ERR_clear_error();
	free(names);
}

/* ---- the key ---- */

static int no_passphrase(char *buffer, int size, int writing, void *data)
{
	(void)buffer;
	(void)size;
	(void)writing;
	*(bool *)data = true;
	return -1;
}

/* NULL: *ret_why says why. */
static EVP_PKEY *read_key(const struct sb_doctor *doctor, struct stat *ret_stat,
			  const char **ret_why)
{
	int error;
	BIO *in = read_pem(doctor->config.tls_key, ret_stat, &error);
	EVP_PKEY *key;
	bool asked = false;

	*ret_why = in ? NULL : strerror(error);
	if (!in)
		return NULL;
	key = PEM_read_bio_PrivateKey(in, NULL, no_passphrase, &asked);
	BIO_free(in);
	if (!key)
		*ret_why =
			asked ? "is encrypted: take its passphrase off" : "no private key in PEM";
	return key;
}

void sb_check_key(struct sb_doctor *doctor, struct sb_finding *finding)
{
	const char *file = doctor->config.tls_key, *why;
	struct stat stat_now = {0};
	EVP_PKEY *key;

	if (!doctor->configured) {
		sb_not_checked(finding, "configuration");
		return;
	}
	key = read_key(doctor, &stat_now, &why);
	if (!key) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: %s cannot read it: %s", file,
		       doctor->brief.reader, why);
		sb_advise(finding,
			  "chgrp it to the daemon's group, mode 0640; the folders above it "
			  "must let that group through");
	} else if (stat_now.st_mode & S_IRWXO) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: mode %04o lets everybody at it", file,
		       (unsigned int)stat_now.st_mode & 07777);
		sb_advise(finding, "chmod o= %s; and think of a new key: this one was open",
			  sb_doctor_plain(file));
	} else if (!leaf_of(doctor)) {
		sb_not_checked(finding, "certificate");
	} else if (X509_check_private_key(leaf_of(doctor), key) != 1) {
		sb_saw(finding, SB_HEALTH_FAIL, "%s: does not belong to the certificate", file);
		sb_advise(finding, "take the key that %s was made with",
			  doctor->config.tls_certificate);
	} else {
		sb_saw(finding, SB_HEALTH_OK, "%s: belongs to it, mode %04o", file,
		       (unsigned int)stat_now.st_mode & 07777);
	}
	ERR_clear_error();
	EVP_PKEY_free(key);
}
