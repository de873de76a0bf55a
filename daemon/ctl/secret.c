/* See secret.h. The secret itself goes to no database. */
#include "daemon/ctl/secret.h"
#include "daemon/ctl/database.h"
#include <string.h>

int sb_secret_new(struct sb_secret *ret_secret)
{
	uint8_t proof[SB_TOKEN_PROOF_BYTES];
	uint8_t salt[SB_TOKEN_SALT_BYTES], hash[SB_TOKEN_HASH_BYTES];
	int error = sb_token_secret_new(ret_secret->token.secret);

	if (error == 0) {
		sb_token_proof(&ret_secret->token, proof);
		error = sb_token_hash_new(proof, salt, hash);
		explicit_bzero(proof, sizeof(proof));
	}
	if (error != 0)
		return error;
	sb_database_bytea(ret_secret->salt, salt, sizeof(salt));
	sb_database_bytea(ret_secret->hash, hash, sizeof(hash));
	return 0;
}
