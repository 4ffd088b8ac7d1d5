/*
 * Socket addresses as six int32 words (SOCKET_ADDRESS_WORDS of src/sys/sys.ts): the IP address in host order, IPv4 as
 * ::ffff:a.b.c.d, then port and IPv6 scope id. And those of paths.
 */
#ifndef TAPSTER_SOCKET_H
#define TAPSTER_SOCKET_H

#include <netinet/in.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ADDRESS_WORDS 6

union socket_address {
  struct sockaddr any;
  struct sockaddr_in inet;
  struct sockaddr_in6 inet6;
};

/* Whether the address is of IPv4. */
bool address_is_inet(const int32_t *words);

/* Fills a sockaddr_in for an IPv4 address, a sockaddr_in6 for others; returns its length. */
socklen_t address_from_words(const int32_t *words, union socket_address *address);

/* Fills the address of a path (unix(7)) from a string: 0, -errno, or 1 with an exception pending. */
int address_from_path(napi_env env, napi_value value, struct sockaddr_un *address);

/* Fills the words; all zero for families other than the two. */
void address_to_words(const struct sockaddr *address, int32_t *words);

#endif
