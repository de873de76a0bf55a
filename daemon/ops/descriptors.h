/*
 * How many descriptors the process may open: as many as its sessions need.
 *
 * More is no better: libwebsockets makes tables as long as the limit when it
 * starts, and where the limit is a million or none at all they cost megabytes
 * or are cut to a size that it guesses.
 */
#ifndef SB_OPS_DESCRIPTORS_H
#define SB_OPS_DESCRIPTORS_H

#include <stdint.h>

/* What sessions.max asks for, with all the connections that the door lets wait or be told to go. */
uint64_t sb_descriptors_wanted(uint32_t sessions);

/* What it is. */
uint64_t sb_descriptors_now(void);

/* Sets the limit, as far as the hard one lets it: returns what it is now. */
uint64_t sb_descriptors_limit(uint64_t wanted);

#endif
