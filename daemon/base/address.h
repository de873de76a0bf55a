/* "ADDRESS:PORT" and "[V6]:PORT", numeric: 127.0.0.1:9464, [::1]:9464. */
#ifndef SB_BASE_ADDRESS_H
#define SB_BASE_ADDRESS_H

#include <sys/socket.h>

/* 0, or -EINVAL. Asks nobody. */
int sb_address_parse(const char *text, struct sockaddr_storage *ret_address);

#endif
