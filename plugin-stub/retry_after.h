/* When an HTTP answer says to come back: what stands before a server, a proxy
 * or a load balancer, speaks no slotbell.v1. */
#ifndef SB_PLUGIN_RETRY_AFTER_H
#define SB_PLUGIN_RETRY_AFTER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Reads a Retry-After in seconds (RFC 9110 section 10.2.3), white space around
 * it included. False for anything else, a date too: whose clock would count?
 */
bool sb_retry_after_parse(const char *text, uint32_t *ret_ms);

#endif
